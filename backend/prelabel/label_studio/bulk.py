"""A whole Label Studio project at once: read its tasks, fit, predict, import predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from prelabel.config import Config
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Fetcher
from prelabel.label_studio.api.tasks import Task, download, read_tasks, task_of
from prelabel.label_studio.fit import fit_tasks, project_config
from prelabel.label_studio.format.items import Losses
from prelabel.label_studio.format.label_config import LabelConfig, parse_label_config
from prelabel.label_studio.format.photos import NO_IMAGE
from prelabel.label_studio.learn import learn_tasks
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.names.table import Names
from prelabel.label_studio.predict.task_prediction import (
    NamedRegions,
    ResultOptions,
    TaskPrediction,
    build_task_prediction,
    name_regions,
)
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.model import FittedModel
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.storage.json import JsonObject
from prelabel.storage.progress import Progress, RunLog

_PORTION = 500
"""Tasks whose photos are on this machine's disk at once: a project may have more than it holds."""
_BATCH, _BATCH_NUMBERS = 100, 5_000_000
"""Predictions in one request, and numbers in their masks, at most: about 25 MB of JSON."""


@dataclass(frozen=True)
class Options:
    """``labelled``: predict tasks with annotations too. ``replace_own``: earlier predictions of
    this tool are removed once the new ones are in. ``refit``: learn anew from the project's photos.
    ``dry_run``: change nothing on the server. ``result_options``: how regions become results."""

    labelled: bool = False
    replace_own: bool = False
    refit: bool = False
    dry_run: bool = False
    result_options: ResultOptions = field(default_factory=ResultOptions)


@dataclass
class Totals:
    """What became of the tasks. ``labelled``, ``current``, ``earlier``, ``imported`` and ``failed``
    add up to ``tasks``.

    ``labelled``: have an annotation. ``current``: have a prediction of this model already.
    ``earlier``: have one of another model of this tool, which stays. ``imported``: got a prediction
    now; ``empty`` of them without a region. ``failed``: why, by task id. ``removed``: predictions
    of this tool that were replaced. ``losses``: what the predictions lack. ``learned_from``:
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


def predict_project(
    client: Client,
    fetcher: Fetcher,
    project_id: int,
    folder: ProjectFolder,
    config: Config,
    options: Options,
    *,
    progress: Progress | None = None,
) -> Totals:
    """Give every task that needs one a prediction. No annotation is ever touched.

    After an interruption, the same call continues: photos and results are in the cache, and tasks
    that have a prediction of the model's version are left alone. Raises UserError.
    """
    log = RunLog(progress)
    project = client.project(project_id)
    label_config = parse_label_config(project.label_config)
    tasks = read_tasks(client, project_id, project.task_number, label_config, log)
    totals = Totals(tasks=len(tasks))
    model = None if options.refit else folder.newest_model()
    if model is None:
        model = fit_tasks(fetcher, tasks, folder, project_config(config, label_config), log)
    totals.learned_from = learn_tasks(
        client, fetcher, tasks, folder, model, label_config, options.result_options, log
    )
    state = folder.go_live(config, now=True)
    totals.model_version = state.version
    names = Names(
        ExemplarFile(folder.names_file(state.revision)).exemplars,
        model.classes,
        clusterer=model.config.strategy("clusterer"),
        origin=model.vectors_origin,
    )
    todo, outdated = _sort(tasks, state.version, options, totals)
    batch = _Batch(client, project_id, options, totals)
    batch.replace(outdated)
    with log.stage("predictions", len(todo)):
        for task, prediction in _predict(
            fetcher, todo, model, names, label_config, options, totals
        ):
            batch.add(task, prediction)
            log.advance()
        batch.send()
    return totals


class _Batch:
    """Predictions that are imported in one request, and the earlier ones that they replace."""

    def __init__(self, client: Client, project_id: int, options: Options, totals: Totals) -> None:
        self._client = client
        self._project_id = project_id
        self._options = options
        self._totals = totals
        self._predictions: list[JsonObject] = []
        self._replaced: list[int] = []
        self._size = 0

    def replace(self, predictions: Iterable[int]) -> None:
        """Remove earlier predictions once this batch is imported, if the options say so."""
        self._replaced += predictions

    def add(self, task: Task, prediction: TaskPrediction) -> None:
        """Add a task's prediction; a full batch is sent."""
        self._totals.empty += not prediction.n_regions
        self._totals.regions += prediction.n_regions
        self._totals.losses += prediction.losses
        facts = prediction.to_json(self._totals.model_version)
        self._predictions.append({"task": task.id, **facts})
        self.replace(number for number, _ in task.own)
        self._size += prediction.n_numbers
        if len(self._predictions) >= _BATCH or self._size >= _BATCH_NUMBERS:
            self.send()

    def send(self) -> None:
        """Import, and only then remove what is replaced: a kill between the two loses nothing."""
        if self._predictions and not self._options.dry_run:
            self._client.import_predictions(self._project_id, self._predictions)
        self._totals.imported += len(self._predictions)
        if self._options.replace_own:
            for number in self._replaced:
                if not self._options.dry_run:
                    self._client.delete_prediction(number)
                self._totals.removed += 1
        self._predictions.clear()
        self._replaced.clear()
        self._size = 0


def _sort(
    tasks: Sequence[Task], version: str, options: Options, totals: Totals
) -> tuple[list[Task], list[int]]:
    """Tasks to predict; and predictions of this tool that are replaced already, but are still there
    as an earlier call was killed."""
    todo: list[Task] = []
    outdated: list[int] = []
    for task in tasks:
        if task.labelled and not options.labelled:
            totals.labelled += 1
        elif any(v == version for _, v in task.own):
            totals.current += 1
            outdated += [number for number, v in task.own if v != version]
        elif task.own and not options.replace_own:
            totals.earlier += 1
        elif not task.photos:
            totals.failed[task.id] = NO_IMAGE
        else:
            todo.append(task)
    return todo, outdated


def _predict(
    fetcher: Fetcher,
    todo: Sequence[Task],
    model: FittedModel,
    names: Names,
    label_config: LabelConfig,
    options: Options,
    totals: Totals,
) -> Iterator[tuple[Task, TaskPrediction]]:
    """A prediction of each task. A task with a photo that cannot be used has failed, whatever its
    other photos are."""
    clusterer = model.config.strategy("clusterer")
    if not todo:
        return  # the weights need not be loaded
    segmenter = PhotoSegmenter(model, model.config)
    for start in range(0, len(todo), _PORTION):
        portion = {task.id: task for task in todo[start : start + _PORTION]}
        quiet = RunLog()  # one bar for all portions
        photos = download(fetcher, list(portion.values()), totals.failed, quiet)
        task_photos = {photo.name: photo for task in portion.values() for photo in task.photos}
        named: dict[int, list[NamedRegions]] = {}
        for photo, segment in segmenter.each(photos, quiet):
            task = portion[task_of(photo.name)]
            prediction = segment.classified(
                photo.name, classes=model.classes, clusterer=clusterer, version=""
            )
            of_task = named.setdefault(task.id, [])
            of_task.append(
                name_regions(
                    task_photos[photo.name],
                    prediction,
                    segment.embeddings,
                    names,
                )
            )
            if len(of_task) == len(task.photos):
                del named[task.id]
                yield (
                    task,
                    build_task_prediction(
                        of_task, label_config, model.class_names, options.result_options
                    ),
                )
        for name, reason in quiet.skipped.items():
            totals.failed.setdefault(task_of(name), reason)
