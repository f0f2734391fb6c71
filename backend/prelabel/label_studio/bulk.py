"""A whole Label Studio project at once: read its tasks, fit, predict, import predictions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prelabel.config import Config
from prelabel.errors import PhotoError, UserError
from prelabel.label_studio import label_config, results
from prelabel.label_studio.client import Client
from prelabel.label_studio.fetch import Fetcher
from prelabel.label_studio.label_config import LabelConfig
from prelabel.model import FACTS, FittedModel
from prelabel.photos import PhotoSet
from prelabel.pipeline import choose, fit, predict
from prelabel.progress import Clock, Progress
from prelabel.records import Photo, Prediction
from prelabel.storage import data_folder
from prelabel.threads import ahead

_DOWNLOADS = 8
"""Photos fetched at once: a server's own workers are about as many."""
_BATCH, _BATCH_NUMBERS = 100, 5_000_000
"""Predictions in one request, and numbers in their masks, at most: about 25 MB of JSON."""
_OURS = re.compile(r"[0-9a-f]{12}-[0-9]+")
"""A model version as this tool writes it: ``<fit hash>-<names revision>``."""


@dataclass(frozen=True)
class Options:
    """``labelled``: predict tasks with annotations too. ``replace_own``: earlier predictions of
    this tool are removed once the new ones are in. ``refit``: learn anew from the project's photos.
    ``dry_run``: change nothing on the server. ``gap``: fragments of one class closer than so many
    pixels are one region. ``min_score``: regions below it are left out; the label config may ask
    for more. ``max_regions``: at most so many in a photo."""

    labelled: bool = False
    replace_own: bool = False
    refit: bool = False
    dry_run: bool = False
    gap: int = 0
    min_score: float = 0.0
    max_regions: int = 50


@dataclass
class Totals:
    """What became of the tasks. ``labelled``, ``current``, ``earlier``, ``imported`` and ``failed``
    add up to ``tasks``.

    ``labelled``: have an annotation. ``current``: have a prediction of this model already.
    ``earlier``: have one of another model of this tool, which stays. ``imported``: got a prediction
    now; ``empty`` of them without a region. ``failed``: why, by task id. ``removed``: predictions
    of this tool that were replaced.
    """

    tasks: int = 0
    labelled: int = 0
    current: int = 0
    earlier: int = 0
    imported: int = 0
    empty: int = 0
    regions: int = 0
    removed: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    model_version: str = ""


@dataclass(frozen=True, slots=True)
class _Task:
    id: int
    photos: tuple[tuple[str, str], ...]  # key in the task's data, where the photo lies
    labelled: bool
    own: tuple[tuple[int, str], ...]  # this tool's predictions: id, model version


def is_own(model_version: object) -> bool:
    """Whether a prediction with this version was made by this tool."""
    return isinstance(model_version, str) and bool(_OURS.fullmatch(model_version))


def model_home(server: str, project_id: int) -> Path:
    """The folder of a project's fitted model."""
    place = urlsplit(server)
    host = re.sub(r"[^A-Za-z0-9.]+", "_", f"{place.netloc.rpartition('@')[2]}{place.path}")
    return data_folder() / "label-studio" / host.strip("_") / str(project_id)


def prelabel_project(
    client: Client,
    fetcher: Fetcher,
    project_id: int,
    home: Path,
    config: Config,
    options: Options,
    *,
    progress: Progress | None = None,
) -> Totals:
    """Give every task that wants one a prediction. No annotation is ever touched.

    A killed call goes on where it was: photos and what was computed are in the cache, and a task
    that has a prediction of the model's version is left alone. Raises UserError.
    """
    clock = Clock(progress)
    project = client.project(project_id)
    wanted = label_config.parse(project["label_config"])
    tasks = _read_tasks(client, project_id, int(project.get("task_number") or 0), wanted, clock)
    totals = Totals(tasks=len(tasks))
    model = _model(fetcher, tasks, home, _with_labels(config, wanted), options, clock)
    totals.model_version = model.version

    todo, outdated = _sort(tasks, model.version, options, totals)
    photos = _download(fetcher, todo, totals.failed, clock)
    own = {task.id: task.own for task in todo}
    batch: list[dict[str, Any]] = []

    def send() -> None:
        """Import, and only then remove what is replaced: a kill between the two loses nothing."""
        if batch and not options.dry_run:
            client.import_predictions(project_id, batch)
        totals.imported += len(batch)
        if options.replace_own:
            for prediction in outdated:
                if not options.dry_run:
                    client.delete_prediction(prediction)
                totals.removed += 1
        batch.clear()
        outdated.clear()

    size = 0
    for item in _predictions(model, photos, wanted, options, totals, clock):
        batch.append(item)
        outdated += [prediction for prediction, _ in own[item["task"]]]
        size += sum(len(result["value"].get("rle", ())) for result in item["result"])
        if len(batch) >= _BATCH or size >= _BATCH_NUMBERS:
            send()
            size = 0
    send()
    return totals


def _read_tasks(
    client: Client, project_id: int, n_tasks: int, wanted: LabelConfig, clock: Clock
) -> list[_Task]:
    keys = list(dict.fromkeys(control.image_key for control in wanted.controls))
    tasks = []
    with clock.stage("tasks", n_tasks):
        for task in client.tasks(project_id):
            data = task.get("data") or {}
            tasks.append(
                _Task(
                    id=int(task["id"]),
                    photos=tuple(
                        (k, data[k]) for k in keys if isinstance(data.get(k), str) and data[k]
                    ),
                    labelled=bool(task.get("total_annotations") or task.get("annotations")),
                    own=tuple(
                        (int(p["id"]), p["model_version"])
                        for p in task.get("predictions") or ()
                        if is_own(p.get("model_version"))
                    ),
                )
            )
            clock.advance()
    return tasks


def _model(
    fetcher: Fetcher,
    tasks: Sequence[_Task],
    home: Path,
    config: Config,
    options: Options,
    clock: Clock,
) -> FittedModel:
    """The project's fitted model, or one that is fitted now on a sample of all its photos."""
    if (home / FACTS).exists() and not options.refit:
        return FittedModel.load(home)
    if not tasks:
        raise UserError("the project has no tasks: import photos first")
    sample = choose(tasks, most=config.fit.photos, seed=config.fit.seed)
    failed: dict[int, str] = {}  # of those that are to be predicted, the reason is told then
    photos = _download(fetcher, sample, failed, clock)
    if not photos:
        task, reason = next(iter(failed.items()), (sample[0].id, "has no image in its data"))
        raise UserError(f"no photo of {len(sample)} tasks can be had; task {task}: {reason}")
    model = fit(PhotoSet(fetcher.folder, tuple(photos)), config, clock=clock)
    clock.skipped.clear()
    model.save(home)
    return model


def _sort(
    tasks: Sequence[_Task], version: str, options: Options, totals: Totals
) -> tuple[list[_Task], list[int]]:
    """Tasks to predict, and predictions of this tool that are to go whatever comes."""
    todo: list[_Task] = []
    outdated: list[int] = []
    for task in tasks:
        if task.labelled and not options.labelled:
            totals.labelled += 1
        elif any(v == version for _, v in task.own):
            totals.current += 1
            outdated += [p for p, v in task.own if v != version]  # killed before they were removed
        elif task.own and not options.replace_own:
            totals.earlier += 1
        elif not task.photos:
            totals.failed[task.id] = "has no image in its data"
        else:
            todo.append(task)
    return todo, outdated


def _download(
    fetcher: Fetcher, tasks: Sequence[_Task], failed: dict[int, str], clock: Clock
) -> list[Photo]:
    """Photos of the tasks, a few at once; why a task's cannot be had goes to ``failed``."""

    def files(task: _Task) -> list[Photo] | PhotoError:
        try:
            return [
                Photo(f"{task.id}/{key}", fetcher.fetch(uri, task_id=task.id))
                for key, uri in task.photos
            ]
        except PhotoError as error:
            return error

    found: list[Photo] = []
    with clock.stage("photos", len(tasks)):
        for task, answer in ahead(files, tasks, workers=_DOWNLOADS):
            if isinstance(answer, PhotoError):
                failed[task.id] = str(answer)
            else:
                found += answer
            clock.advance()
    return found


def _predictions(
    model: FittedModel,
    photos: Sequence[Photo],
    wanted: LabelConfig,
    options: Options,
    totals: Totals,
    clock: Clock,
) -> Iterator[dict[str, Any]]:
    """A prediction for each task, as the server's import wants it. A task with a photo that cannot
    be used has failed, whatever its other photos are."""
    left = {task: set[str]() for task in dict.fromkeys(_task_id(p.name) for p in photos)}
    for photo in photos:
        left[_task_id(photo.name)].add(photo.name)
    parts: dict[int, list[dict[str, Any]]] = {}
    for prediction in predict(model, PhotoSet(Path(), tuple(photos)), clock=clock):
        task = _task_id(prediction.photo)
        merged = results.merge_fragments(prediction, options.gap)
        items = _items(merged, wanted, model.class_names, options)
        parts.setdefault(task, []).extend(items)
        left[task].discard(prediction.photo)
        if not left[task]:
            result = parts.pop(task)
            scores = [item["score"] for item in result]
            totals.empty += not result
            totals.regions += len({item["id"] for item in result})
            yield {
                "task": task,
                "result": result,
                "score": sum(scores) / len(scores) if scores else 0.0,
                "model_version": model.version,
            }
    for name, reason in clock.skipped.items():
        totals.failed.setdefault(_task_id(name), reason)


def _items(
    prediction: Prediction, wanted: LabelConfig, class_names: Sequence[str], options: Options
) -> list[dict[str, Any]]:
    """The result items of one photo, for every control tag that looks at it."""
    key = prediction.photo.partition("/")[2]
    items: list[dict[str, Any]] = []
    for control in wanted.controls:
        if control.image_key == key:
            names: Mapping[int, str | None] = {
                i: wanted.label_for(name, control) for i, name in enumerate(class_names)
            }
            found, _ = results.results(
                prediction,
                names,
                control,
                min_score=max(options.min_score, wanted.score_threshold),
                max_regions=options.max_regions,
            )
            items += found
    return items


def _task_id(photo: str) -> int:
    return int(photo.partition("/")[0])


def _with_labels(config: Config, wanted: LabelConfig) -> Config:
    """The config with the project's labels, unless it names some itself: two classes for each."""
    if config.classes.labels or config.classes.count:
        return config
    classes = config.classes.model_copy(update={"labels": tuple(wanted.label_names)})
    return config.model_copy(update={"classes": classes})
