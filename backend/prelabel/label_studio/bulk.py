"""A whole Label Studio project at once: read its tasks, fit, predict, import predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from prelabel.config import Config
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Fetcher
from prelabel.label_studio.api.tasks import Task, download, read_tasks, task_of
from prelabel.label_studio.fit import fit_tasks, project_config
from prelabel.label_studio.format import label_config
from prelabel.label_studio.format.items import Losses
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.format.photos import NO_IMAGE
from prelabel.label_studio.learn import learn_tasks
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.names.table import Names
from prelabel.label_studio.predict import task_prediction
from prelabel.label_studio.predict.task_prediction import NamedRegions, ResultOptions
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.model import FittedModel
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.storage.progress import Progress, RunLog
from prelabel.strategies.protocols import Clusterer

_PORTION = 500
"""Tasks whose photos are on this machine's disk at once: a project may have more than it holds."""
_BATCH, _BATCH_NUMBERS = 100, 5_000_000
"""Predictions in one request, and numbers in their masks, at most: about 25 MB of JSON."""


@dataclass(frozen=True)
class Options:
    """``labelled``: predict tasks with annotations too. ``replace_own``: earlier predictions of
    this tool are removed once the new ones are in. ``refit``: learn anew from the project's photos.
    ``dry_run``: change nothing on the server. ``shape``: how regions become results."""

    labelled: bool = False
    replace_own: bool = False
    refit: bool = False
    dry_run: bool = False
    shape: ResultOptions = field(default_factory=ResultOptions)


@dataclass
class Totals:
    """What became of the tasks. ``labelled``, ``current``, ``earlier``, ``imported`` and ``failed``
    add up to ``tasks``.

    ``labelled``: have an annotation. ``current``: have a prediction of this model already.
    ``earlier``: have one of another model of this tool, which stays. ``imported``: got a prediction
    now; ``empty`` of them without a region. ``failed``: why, by task id. ``removed``: predictions
    of this tool that were replaced. ``losses``: what the predictions have not. ``learned_from``:
    annotated photos that taught names now.
    """

    tasks: int = 0
    labelled: int = 0
    current: int = 0
    earlier: int = 0
    imported: int = 0
    empty: int = 0
    regions: int = 0
    removed: int = 0
    learned_from: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    losses: Losses = field(default_factory=Losses)
    model_version: str = ""


def prelabel_project(
    client: Client,
    fetcher: Fetcher,
    project_id: int,
    home: ProjectFolder,
    config: Config,
    options: Options,
    *,
    progress: Progress | None = None,
) -> Totals:
    """Give every task that wants one a prediction. No annotation is ever touched.

    A killed call goes on where it was: photos and what was computed are in the cache, and a task
    that has a prediction of the model's version is left alone. Raises UserError.
    """
    log = RunLog(progress)
    project = client.project(project_id)
    wanted = label_config.parse_label_config(project.label_config)
    tasks = read_tasks(client, project_id, project.task_number, wanted, log)
    totals = Totals(tasks=len(tasks))
    model = None if options.refit else home.newest_model()
    if model is None:
        model = fit_tasks(fetcher, tasks, home, project_config(config, wanted), log)
    totals.learned_from = learn_tasks(
        client, fetcher, tasks, home, model, wanted, options.shape, log
    )
    state = home.go_live(config, now=True)
    totals.model_version = state.version

    todo, outdated = _sort(tasks, state.version, options, totals)
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

    names = Names(
        ExemplarFile(home.names_file(state.revision)).exemplars,
        model.classes,
        clusterer=model.config.strategy("clusterer"),
    )
    size = 0
    with log.stage("predictions", len(todo)):
        for task, answer in _answers(fetcher, todo, model, names, wanted, options, totals, log):
            totals.empty += not answer.n_regions
            totals.regions += answer.n_regions
            totals.losses += answer.losses
            batch.append({"task": task, **answer.to_json(state.version)})
            outdated += [prediction for prediction, _ in own[task]]
            size += sum(len(item["value"].get("rle", ())) for item in answer.result)
            if len(batch) >= _BATCH or size >= _BATCH_NUMBERS:
                send()
                size = 0
        send()
    return totals


def _sort(
    tasks: Sequence[Task], version: str, options: Options, totals: Totals
) -> tuple[list[Task], list[int]]:
    """Tasks to predict, and predictions of this tool that are to go whatever comes."""
    todo: list[Task] = []
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
            totals.failed[task.id] = NO_IMAGE
        else:
            todo.append(task)
    return todo, outdated


def _answers(
    fetcher: Fetcher,
    todo: Sequence[Task],
    model: FittedModel,
    names: Names,
    wanted: LabelConfig,
    options: Options,
    totals: Totals,
    log: RunLog,
) -> Iterator[tuple[int, task_prediction.TaskPrediction]]:
    """An answer for each task. A task with a photo that cannot be used has failed, whatever its
    other photos are."""
    clusterer: Clusterer = model.config.strategy("clusterer")
    if not todo:
        return  # the weights need not be loaded
    segmenter = PhotoSegmenter(model, model.config)
    for start in range(0, len(todo), _PORTION):
        portion = {task.id: task for task in todo[start : start + _PORTION]}
        quiet = RunLog()  # one bar for all portions
        photos = download(fetcher, list(portion.values()), totals.failed, quiet)
        places = {p.name: p for task in portion.values() for p in task.photos}
        left = {t: len(portion[t].photos) for t in dict.fromkeys(task_of(p.name) for p in photos)}
        parts: dict[int, list[NamedRegions]] = {}
        for photo, segment in segmenter.each(photos, quiet):
            task = task_of(photo.name)
            prediction = segment.classified(
                photo.name, classes=model.classes, clusterer=clusterer, version=""
            )
            parts.setdefault(task, []).append(
                task_prediction.name_regions(
                    places[photo.name], prediction, segment.embeddings, names, len(model.classes)
                )
            )
            if len(parts[task]) == left[task]:
                yield (
                    task,
                    task_prediction.build_task_prediction(
                        parts.pop(task), wanted, model.class_names, options.shape
                    ),
                )
                log.advance()
        for name, reason in quiet.skipped.items():
            totals.failed.setdefault(task_of(name), reason)
