"""One project whose predictions follow its names and its model."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import wait
from datetime import UTC, datetime

import msgspec

from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.tasks import task_id
from prelabel.label_studio.api.versions import choose_version, count_versions, versions_of
from prelabel.label_studio.format.items import PredictionJson
from prelabel.label_studio.format.label_config import LabelConfig, parse_label_config
from prelabel.label_studio.prediction_writer import OPEN, PredictionWriter
from prelabel.label_studio.project_state import ProjectState
from prelabel.label_studio.server.jobs import NOT_READY, NamesFacts, Urgency
from prelabel.label_studio.server.projects import Project
from prelabel.label_studio.server.queue import Queue
from prelabel.label_studio.unnamed import add_unnamed_labels, remove_unnamed_labels
from prelabel.storage.json import JsonObject

_AT_ONCE = 100
"""Tasks in the queue together, and in one import."""
_WAIT = 600.0
"""Seconds for so many tasks; those that are not ready then keep what they have."""
_DRAWING = 1800.0
"""Seconds after which a draft that nobody has changed belongs to no open task."""


class StoppedError(Exception):
    """The backend is being stopped."""


class RefreshedProject:
    """Brings a project's predictions up to date; one thread at a time.

    ``add_labels``: put labels of unnamed classes into the label config, and take them out again.
    ``progress``: tasks that are predicted, and how many there are; None if none are.
    """

    def __init__(
        self, project: Project, queue: Queue, stopping: threading.Event, *, add_labels: bool
    ) -> None:
        self._project = project
        self._queue = queue
        self._stopping = stopping
        self._add_labels = add_labels
        self._same: tuple[str, str] | None = None
        self._replaced: dict[str, float] = {}
        self.progress: tuple[int, int] | None = None

    def is_new(self, following: ProjectState) -> bool:
        """Whether a state has to be made live; not if its names are the same as the live ones."""
        versions = self._project.state.version, following.version
        return versions[0] != versions[1] and versions != self._same

    def due(self, now: float) -> bool:
        """Whether earlier predictions are to be removed, by the monotonic clock."""
        return any(now >= at for at in self._replaced.values())

    def refresh(
        self, client: Client, following: ProjectState, answered: Sequence[int] = ()
    ) -> None:
        """Make a state live, and have the tasks that have a prediction of an earlier version
        predicted with it; remove what was replaced before, and what is doubled in the tasks that
        were ``answered``. Raises UserError and StoppedError."""
        project = self._project
        live = project.state
        facts = self._compare(following, live)
        if not facts.changed:
            self._same = live.version, following.version
            following = live
        given_out = {live.version, *following.versions} - {following.version}
        earlier = given_out.intersection(count_versions(client, project.id).counts)
        label_config = self._label_config(client, facts)
        if earlier:
            tasks = self._tasks(client, earlier, following.version)
            writer = PredictionWriter(client, project.id, project.folder, following.version)
            writer.write(self._predictions(following, label_config, tasks))
            self._show(client, writer, following.version)
        project.state = project.folder.make_live(following)
        for version in earlier:
            self._replaced.setdefault(version, time.monotonic() + OPEN)
        if answered:
            PredictionWriter(
                client, project.id, project.folder, following.version, replaces=lambda _: False
            ).heal(answered)
        self._remove(client, facts)

    def add_labels(self, client: Client) -> LabelConfig:
        """The project's label config, with labels of unnamed classes from now on. Raises UserError
        and StoppedError."""
        live = self._project.state
        return self._label_config(client, self._compare(live, live))

    def _compare(self, following: ProjectState, live: ProjectState) -> NamesFacts:
        """What is new in the names of a state; always new with another model or other code."""
        if not following.model:
            return NamesFacts(changed=following.version != live.version)
        job = self._project.job(
            "names",
            following,
            self._project.label_config,
            context={"revision": live.revision},
        )
        entry = self._queue.put(job, Urgency.BACKGROUND)
        wait([entry.result], timeout=_WAIT)
        self._check()
        if entry.answer == NOT_READY:  # the queue has reported why
            return NamesFacts()
        facts = msgspec.json.decode(entry.answer, type=NamesFacts)
        alike = following.version.rpartition("-")[0] == live.version.rpartition("-")[0]
        return facts if alike else msgspec.structs.replace(facts, changed=True)

    def _label_config(self, client: Client, facts: NamesFacts) -> LabelConfig:
        """The project's, with labels of unnamed classes if these may be added."""
        number = self._project.id
        if self._add_labels and facts.unnamed:
            return parse_label_config(add_unnamed_labels(client, number, facts.unnamed))
        return parse_label_config(client.project(number).label_config)

    def _tasks(self, client: Client, earlier: set[str], version: str) -> Mapping[int, JsonObject]:
        """The data of the tasks that have a prediction of an earlier version and none of this one."""
        return {
            task_id(task): data if isinstance(data := task.get("data"), Mapping) else {}
            for one in sorted(earlier)
            for task in client.tasks(self._project.id, version=one)
            if one in (own := versions_of(task).own) and version not in own
        }

    def _predictions(
        self, state: ProjectState, label_config: LabelConfig, tasks: Mapping[int, JsonObject]
    ) -> Iterator[tuple[int, PredictionJson]]:
        """The tasks' predictions, a portion at a time; those that fail keep what they have."""
        numbers = list(tasks)
        try:
            for start in range(0, len(numbers), _AT_ONCE):
                self.progress = start, len(numbers)
                portion = numbers[start : start + _AT_ONCE]
                for number, answer in self._answers(state, label_config, portion, tasks):
                    if answer != NOT_READY:
                        yield number, json.loads(answer)
        finally:
            self.progress = None

    def _answers(
        self,
        state: ProjectState,
        label_config: LabelConfig,
        portion: Sequence[int],
        tasks: Mapping[int, JsonObject],
    ) -> Iterator[tuple[int, bytes]]:
        entries = [
            self._queue.put(
                self._project.job(
                    "predict",
                    state,
                    label_config,
                    task_id=number,
                    data=json.dumps(tasks[number]).encode(),
                ),
                Urgency.BACKGROUND,
            )
            for number in portion
        ]
        wait([entry.result for entry in entries], timeout=_WAIT)
        self._check()
        yield from zip(portion, [entry.answer for entry in entries], strict=True)

    def _show(self, client: Client, writer: PredictionWriter, version: str) -> None:
        """Have annotators see the new version alone. Where the project shows a backend, it is told the
        version until the earlier predictions are gone: with a title, a click on a task would show
        the first of several."""
        shown = client.project(self._project.id).model_version
        if shown in count_versions(client, self._project.id).backends:
            self._project.folder.update(shown_backend=shown)
            choose_version(client, self._project.id, version)
        else:
            writer.show()

    def _remove(self, client: Client, facts: NamesFacts) -> None:
        """Remove the earlier predictions whose tasks nobody has open any more."""
        now, project = time.monotonic(), self._project
        expired = {version for version, at in self._replaced.items() if now >= at}
        if expired and self._is_drawn(client, expired):
            self._replaced |= dict.fromkeys(expired, now + OPEN)
            expired = set()
        if expired:
            writer = PredictionWriter(
                client,
                project.id,
                project.folder,
                project.state.version,
                replaces=expired.__contains__,
            )
            writer.remove_earlier()
            for version in expired:
                del self._replaced[version]
        if self._replaced:
            return
        backend = project.folder.state.shown_backend
        if backend:
            if backend in count_versions(client, project.id).backends:
                choose_version(client, project.id, backend)
            project.folder.update(shown_backend="")
        if self._add_labels and project.state.model and not facts.unnamed:
            remove_unnamed_labels(client, project.id)

    def _is_drawn(self, client: Client, versions: set[str]) -> bool:
        """Whether a task with a prediction of one of these versions has a draft of a person who may be
        at it still."""
        since = datetime.now(UTC).timestamp() - _DRAWING
        for version in versions:
            for task in client.tasks(self._project.id, version=version, fields=["drafts"]):
                drafts = task.get("drafts")
                for draft in drafts if isinstance(drafts, list) else ():
                    if datetime.fromisoformat(draft["updated_at"]).timestamp() > since:
                        return True
        return False

    def _check(self) -> None:
        if self._stopping.is_set():
            raise StoppedError
