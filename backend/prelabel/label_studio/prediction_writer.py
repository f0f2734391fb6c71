"""Writing predictions into a project: one of this tool for each task, whoever else writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.tasks import own_predictions
from prelabel.label_studio.api.versions import (
    TaskVersions,
    choose_version,
    count_versions,
    delete_version,
    tasks_with,
    versions_of,
)
from prelabel.label_studio.format.items import PredictionJson
from prelabel.label_studio.led_tasks import read_leading
from prelabel.label_studio.model_version import is_own
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.storage.json import JsonObject
from prelabel.storage.locks import exclusive

TaskAndPrediction = tuple[int, PredictionJson]
_BATCH, _BATCH_NUMBERS = 100, 5_000_000
"""Predictions in one request, and numbers in their masks, at most: about 25 MB of JSON."""
OPEN = 60.0
"""Seconds that an earlier prediction stays once the new one is shown: a person may have the task open,
and Label Studio (1.23) refuses an annotation whose ``parent_prediction`` is gone."""
_PATIENCE = 600.0
"""Seconds to wait for another writer's request."""
_FEW = 3
"""So many predictions are removed one by one: more take less time with a whole version."""


@dataclass
class Written:
    """Numbers of tasks, by what became of their predictions.

    ``imported``: stored. ``current``: there was one of this version already. ``earlier``: there was
    one of another version of this tool, which stays. ``gone``: the task was deleted meanwhile.
    ``removed``: how many predictions of this tool were removed.
    """

    imported: list[int] = field(default_factory=list)
    current: list[int] = field(default_factory=list)
    earlier: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    removed: int = 0


class PredictionWriter:
    """Writes predictions of one model version into a project, so that no task has two of this tool.

    - Writers on this machine take turns, under a lock in the project's folder that ends with its
      process. Inside, just before an import, the server is asked what the tasks have, and those that
      have got a prediction of the version meanwhile are left out.
    - After the import it is asked again: what another machine, or Label Studio with an answer of the
      backend, has stored at the same moment is there by then. Of several with one version, the
      lowest number stays; all writers keep the same one.
    - Earlier ones are removed last, and only from tasks that have one of this version. ``show`` comes
      in between, so that annotators see neither both nor none. They go in one request if no other
      task has one of their version, so it pays to give all tasks that have one a new one.

    ``version``: of all predictions that are written. ``replaces``: whether predictions of a version of
    this tool are removed; by default those of the versions that the folder has given out, so that
    another backend's stay.
    """

    def __init__(
        self,
        client: Client,
        project_id: int,
        folder: ProjectFolder,
        version: str,
        *,
        replaces: Callable[[str], bool] | None = None,
    ) -> None:
        state = folder.state
        known = {state.version, *state.versions}
        self._client = client
        self._project_id = project_id
        self._folder = folder
        self._version = version
        self._replaces = replaces or known.__contains__

    def write(
        self, predictions: Iterable[TaskAndPrediction], *, only_missing: bool = False
    ) -> Written:
        """Import predictions, in batches. ``only_missing``: leave out tasks that have one of any
        version of this tool. Raises UserError."""
        written = Written()
        for batch in _batches(predictions):
            with self._alone():
                self._write_batch(batch, written, only_missing=only_missing)
        return written

    def heal(self, tasks: Sequence[int]) -> int:
        """Remove what is doubled of this tool's predictions in some tasks: more than one of a version,
        and those that are replaced in tasks that have one of this version. How many were removed.
        Raises UserError."""
        with self._alone():
            return self._remove_surplus(tasks)

    def show(self) -> str:
        """Have the label stream show this version, unless it shows a backend, or predictions that are
        not this tool's. What it shows now, for people. Raises UserError."""
        project = self._client.project(self._project_id)
        known = count_versions(self._client, self._project_id)
        shown = project.model_version
        if shown in known.backends:
            return f"what the backend {shown!r} predicts"
        if shown and not is_own(shown):
            return f"predictions of {shown!r}: choose {self._version} in the project's settings"
        if self._version not in known.counts:
            return "no predictions: there are none of this version"
        if shown != self._version:
            choose_version(self._client, self._project_id, self._version)
        if not project.show_collab_predictions:
            return "no predictions: using them is off in the project's settings"
        return f"these predictions: the project's model version is {self._version}"

    def has_earlier(self) -> bool:
        """Whether there is something that ``remove_earlier`` would remove. Raises UserError."""
        counts = count_versions(self._client, self._project_id).counts
        earlier = [v for v in counts if v != self._version and self._is_replaced(v)]
        done = tasks_with(self._client, self._project_id, self._version) if earlier else set()
        return any(tasks_with(self._client, self._project_id, v) & done for v in earlier)

    def remove_earlier(self) -> int:
        """Remove predictions of replaced versions from all tasks that have one of this version, those
        that an interrupted call has left too. How many were removed. Raises UserError."""
        with self._alone():
            known = count_versions(self._client, self._project_id)
            earlier = [v for v in known.counts if v != self._version and self._is_replaced(v)]
            if not earlier:
                return 0
            shown = self._client.project(self._project_id).model_version
            done = tasks_with(self._client, self._project_id, self._version)
            whole: list[str] = []
            some: set[int] = set()
            for version in earlier:
                tasks = tasks_with(self._client, self._project_id, version)
                # Label Studio would forget the setting with the last prediction of that version.
                if len(tasks) > _FEW and tasks <= done and version != shown:
                    whole.append(version)
                else:
                    some |= tasks & done
            with self._shown_instead_of(shown if whole and shown in known.backends else ""):
                removed = sum(delete_version(self._client, self._project_id, v) for v in whole)
            return removed + self._remove_surplus(sorted(some))

    def _write_batch(
        self, batch: Sequence[TaskAndPrediction], written: Written, *, only_missing: bool
    ) -> None:
        """Import what is missing of a batch. The lock is held."""
        by_task = dict(batch)
        before = self._look(list(by_task))
        todo = []
        for task in by_task:
            if task not in before:
                written.gone.append(task)
            elif self._version in before[task].own:
                written.current.append(task)
            elif only_missing and before[task].own:
                written.earlier.append(task)
            else:
                todo.append(task)
        if not todo:
            return
        facts = self._entries({task: by_task[task] for task in todo})
        self._client.import_predictions(self._project_id, facts)
        written.imported += todo
        after = self._look(todo)
        doubled = [task for task, found in after.items() if found.total > before[task].total + 1]
        written.removed += self._remove_surplus(doubled, most=1 if only_missing else None)

    def _entries(self, predictions: Mapping[int, PredictionJson]) -> list[JsonObject]:
        """Predictions as they are imported. Tasks that come first keep their place, by its score."""
        scores = read_leading(self._folder.path).scores
        return [
            {"task": task, **own, "score": scores.get(task, own["score"])}
            for task, own in predictions.items()
        ]

    def _look(self, tasks: Sequence[int]) -> Mapping[int, TaskVersions]:
        found = self._client.find_tasks(self._project_id, tasks, whole=False)
        return {number: versions_of(task) for number, task in found.items()}

    def _remove_surplus(self, tasks: Sequence[int], *, most: int | None = None) -> int:
        several = [task for task, found in self._look(tasks).items() if found.total > 1]
        removed = 0
        for task in self._client.find_tasks(self._project_id, several).values():
            own = list(own_predictions(task))
            for number in surplus(own, self._version, self._replaces, most=most):
                self._client.delete_prediction(number)
                removed += 1
        return removed

    @contextmanager
    def _shown_instead_of(self, backend: str) -> Iterator[None]:
        """Show this version for a moment: Label Studio forgets the backend that it shows when a version
        is deleted, and annotators would see nothing. ``backend``: its title, "" for none."""
        if backend:
            choose_version(self._client, self._project_id, self._version)
        try:
            yield
        finally:
            if backend:
                choose_version(self._client, self._project_id, backend)

    def _is_replaced(self, version: str) -> bool:
        return is_own(version) and self._replaces(version)

    def _alone(self) -> AbstractContextManager[None]:
        return alone(self._folder, self._project_id)


def alone(folder: ProjectFolder, project_id: int) -> AbstractContextManager[None]:
    """Change the predictions of a project while nobody else on this machine does. Raises UserError."""
    return exclusive(
        folder.path / "predictions.lock",
        f"the predictions of project {project_id}",
        timeout=_PATIENCE,
    )


def surplus(
    own: Sequence[tuple[int, str]],
    version: str,
    replaces: Callable[[str], bool],
    *,
    most: int | None = None,
) -> list[int]:
    """The numbers of the predictions of a task that are to be removed; never all of them.

    Args:
        own: number and version of each of this tool's.
        version: the one that stays; where it is there, those that it ``replaces`` go.
        replaces: whether predictions of a version may be replaced.
        most: how many may stay, of whatever versions; None for any number. The lowest stay.
    """
    kept: dict[str, int] = {}
    for number, known in own:
        kept[known] = min(number, kept.get(known, number))
    if version in kept:
        kept = {v: n for v, n in kept.items() if v == version or not replaces(v)}
    stay = sorted(kept.values())[:most]
    return sorted({number for number, _ in own}.difference(stay))


def _batches(predictions: Iterable[TaskAndPrediction]) -> Iterator[list[TaskAndPrediction]]:
    """Predictions, as many as one request may hold."""
    batch: list[TaskAndPrediction] = []
    size = 0
    for task, prediction in predictions:
        batch.append((task, prediction))
        size += _n_numbers(prediction)
        if len(batch) >= _BATCH or size >= _BATCH_NUMBERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _n_numbers(prediction: PredictionJson) -> int:
    """How many numbers a prediction's brush masks hold, which is most of its JSON."""
    masks = (item["value"].get("rle") for item in prediction["result"])
    return sum(len(mask) for mask in masks if isinstance(mask, list))
