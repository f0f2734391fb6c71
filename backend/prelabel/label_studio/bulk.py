"""A whole Label Studio project at once: read its tasks, fit, predict, import predictions."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from prelabel.config import Config
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Fetcher
from prelabel.label_studio.api.tasks import Task, download, read_tasks, task_of
from prelabel.label_studio.fit import fit_tasks, project_config
from prelabel.label_studio.format.items import Losses
from prelabel.label_studio.format.label_config import LabelConfig, parse_label_config
from prelabel.label_studio.format.photos import NO_IMAGE
from prelabel.label_studio.found_regions import remove_found
from prelabel.label_studio.learn import learn_tasks
from prelabel.label_studio.learning_curve import LearningCurve
from prelabel.label_studio.model_version import is_own
from prelabel.label_studio.predict.task_prediction import (
    NamedRegions,
    ResultOptions,
    TaskPrediction,
    build_task_prediction,
    name_regions,
)
from prelabel.label_studio.prediction_writer import (
    OPEN,
    PredictionWriter,
    TaskAndPrediction,
    Written,
)
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.shared_fit import fit_once
from prelabel.label_studio.teaching import ProjectTeacher
from prelabel.label_studio.unnamed import (
    add_unnamed_labels,
    remove_unnamed_labels,
    unnamed_classes,
)
from prelabel.model import FittedModel
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.steps.exemplars import Names
from prelabel.steps.near_identical import PhotoPrints
from prelabel.steps.taught import Taught
from prelabel.storage.progress import Progress, RunLog

_PORTION = 500
"""Tasks whose photos are on this machine's disk at once: a project may have more than it holds."""


@dataclass(frozen=True)
class Options:
    """``labelled``: predict tasks with annotations too. ``replace_own``: earlier predictions of
    this tool are removed once the new ones are in, and regions that `find_in_project` has added are
    taken out. ``refit``: learn anew from the project's photos.
    ``keep_project_settings``: do not choose which version the label stream shows. ``dry_run``: change
    nothing on the server. ``result_options``: how regions become results. ``partial``: whether there
    may be more objects on annotated photos than were drawn, from now on; None as it was."""

    labelled: bool = False
    replace_own: bool = False
    refit: bool = False
    keep_project_settings: bool = False
    dry_run: bool = False
    result_options: ResultOptions = field(default_factory=ResultOptions)
    partial: bool | None = None


@dataclass
class Totals:
    """What became of the tasks. ``labelled``, ``current``, ``earlier``, ``imported`` and ``failed``
    add up to ``tasks``.

    ``labelled``: have an annotation. ``current``: have a prediction of this model already.
    ``earlier``: have one of another model of this tool, which stays. ``imported``: got a prediction
    now; ``empty`` of them without a region. ``failed``: why, by task id. ``removed``: predictions
    of this tool that were replaced. ``losses``: what the predictions lack. ``learned_from``:
    annotated photos that were learned from now. ``learning``: what all annotations together have taught
    about masks, or why not; "" without any. ``shown``: what the label stream shows, "" if that was
    not looked at. ``labels_kept``: labels of classes that had no name, which annotations still have.
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
    learning: str = ""
    failed: dict[int, str] = field(default_factory=dict)
    losses: Losses = field(default_factory=Losses)
    model_version: str = ""
    shown: str = ""
    labels_kept: str = ""
    near_identical: list[list[int]] = field(default_factory=list)

    def add(self, written: Written) -> None:
        """Count what became of the predictions that were made."""
        self.imported += len(written.imported)
        self.current += len(written.current)
        self.earlier += len(written.earlier)
        self.removed += written.removed
        self.failed |= dict.fromkeys(written.gone, "was deleted meanwhile")


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
    if options.partial is not None:
        folder.update(partial=options.partial)
    if options.replace_own and not options.dry_run:
        remove_found(client, folder)
    fits = folder.state.fits  # before another one that begins now can have ended
    project = client.project(project_id)
    label_config = parse_label_config(project.label_config)
    tasks = read_tasks(client, project_id, project.task_number, label_config, log)
    totals = Totals(tasks=len(tasks))
    model = None if options.refit else folder.newest_model()
    if model is None:
        own = project_config(config, label_config)
        model = fit_once(folder, fits, lambda log: fit_tasks(fetcher, tasks, folder, own, log), log)
    totals.learned_from = learn_tasks(
        client, fetcher, tasks, folder, model, label_config, options.result_options, log
    )
    state = folder.go_live(config, now=True)
    totals.model_version = state.version
    taught = _teach(folder, model, state.revision, totals, log)
    names = folder.names_at(model, state.revision)
    unnamed = unnamed_classes(label_config, model.class_names, names)
    if unnamed and options.result_options.unnamed == "add" and not options.dry_run:
        label_config = parse_label_config(add_unnamed_labels(client, project_id, unnamed))
    todo = _sort(tasks, state.version, options, totals)
    used = replace(model, taught=taught) if taught and taught.learned else model
    predictions = _predict(fetcher, todo, used, names, label_config, options, totals)
    made = _made(predictions, totals, log)
    with log.stage("predictions", len(todo)):
        if options.dry_run:
            totals.imported = sum(1 for _ in made)
            replaced = todo if options.replace_own else []
            totals.removed = sum(len(task.own) for task in replaced)
            return totals
        replaces = is_own if options.replace_own else None
        writer = PredictionWriter(client, project_id, folder, state.version, replaces=replaces)
        totals.add(writer.write(made, only_missing=not options.replace_own))
    if not options.keep_project_settings:
        totals.shown = writer.show()
    totals.removed += _remove_earlier(writer, tasks, log)
    if not unnamed and totals.earlier == 0:
        totals.labels_kept = remove_unnamed_labels(client, project_id)
    return totals


def _teach(
    folder: ProjectFolder, model: FittedModel, revision: int, totals: Totals, log: RunLog
) -> Taught | None:
    """What the annotations teach about masks, with its line in the totals."""
    problems: list[str] = []
    with log.stage("masks", 1):
        taught = ProjectTeacher(folder, model).taught(revision, problems.append)
        log.advance()
    points = {point.revision: point for point in LearningCurve(folder.path).points()}
    if problems:
        totals.learning = problems[0]
    elif taught and revision in points:
        totals.learning = points[revision].text()
    return taught


def _remove_earlier(writer: PredictionWriter, tasks: Sequence[Task], log: RunLog) -> int:
    """Remove what was replaced, once nobody has begun with it any more, and what was doubled."""
    if writer.has_earlier():
        with log.stage("tasks that are open", round(OPEN)):
            for _ in range(round(OPEN)):
                time.sleep(1.0)
                log.advance()
    doubled = [task.id for task in tasks if len(task.own) > 1]
    return writer.remove_earlier() + writer.heal(doubled)


def _made(
    predictions: Iterable[tuple[Task, TaskPrediction]], totals: Totals, log: RunLog
) -> Iterator[TaskAndPrediction]:
    """The predictions as they are imported, counted."""
    for task, prediction in predictions:
        totals.empty += not prediction.n_regions
        totals.regions += prediction.n_regions
        totals.losses += prediction.losses
        yield task.id, prediction.to_json(totals.model_version)
        log.advance()


def _sort(tasks: Sequence[Task], version: str, options: Options, totals: Totals) -> list[Task]:
    """The tasks to predict; the others are counted."""
    todo: list[Task] = []
    for task in tasks:
        if task.labelled and not options.labelled:
            totals.labelled += 1
        elif any(v == version for _, v in task.own):
            totals.current += 1
        elif task.own and not options.replace_own:
            totals.earlier += 1
        elif not task.photos:
            totals.failed[task.id] = NO_IMAGE
        else:
            todo.append(task)
    return todo


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
    other photos are. ``model``: with what annotations teach; ids and names of classes are those that
    were found without."""
    class_names = replace(model, taught=None).class_names
    clusterer = model.config.strategy("clusterer")
    if not todo:
        return  # the weights need not be loaded
    segmenter = PhotoSegmenter(model, model.config)
    prints = PhotoPrints()
    for start in range(0, len(todo), _PORTION):
        portion = {task.id: task for task in todo[start : start + _PORTION]}
        quiet = RunLog()  # one bar for all portions
        photos = download(fetcher, list(portion.values()), totals.failed, quiet)
        task_photos = {photo.name: photo for task in portion.values() for photo in task.photos}
        named: dict[int, list[NamedRegions]] = {}
        for photo, segment in segmenter.each(photos, quiet):
            task = portion[task_of(photo.name)]
            prints.add(photo.name, segment.cls, segment.pixel_hash)
            prediction = segment.classified(photo.name, model, clusterer, version="")
            of_task = named.setdefault(task.id, [])
            of_task.append(
                name_regions(
                    task_photos[photo.name],
                    prediction,
                    segment.embeddings,
                    names,
                    model.taught,
                    segment.shares,
                )
            )
            if len(of_task) == len(task.photos):
                del named[task.id]
                yield (
                    task,
                    build_task_prediction(
                        of_task, label_config, class_names, options.result_options
                    ),
                )
        for name, reason in quiet.skipped.items():
            totals.failed.setdefault(task_of(name), reason)
    tasks = (dict.fromkeys(map(task_of, names)) for names in prints.groups())
    totals.near_identical = [list(own) for own in tasks if len(own) > 1]
