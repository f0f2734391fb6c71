"""Annotations of tasks to exemplars: what people drew, with the vectors of its regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from prelabel.data.masks import decode_rle
from prelabel.errors import PhotoError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Fetcher
from prelabel.label_studio.api.tasks import Task, task_id
from prelabel.label_studio.format.annotations import newest_annotation, result_items, stamp_of
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.format.photos import TaskPhoto, task_photos
from prelabel.label_studio.names.exemplars import ExemplarFile, Lessons
from prelabel.label_studio.names.lessons import find_lessons, read_drawing
from prelabel.label_studio.names.table import Exemplar
from prelabel.label_studio.predict.predictor import Predictor
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.model import FittedModel
from prelabel.storage.json import JsonObject
from prelabel.storage.progress import RunLog

_AT_ONCE = 50
"""Tasks that are read, and whose lessons are written, together: each time the whole file is
replaced."""


def learn_task(
    task: JsonObject,
    label_config: LabelConfig,
    names: ExemplarFile,
    predictor: Predictor,
    options: ResultOptions,
    read: Callable[[TaskPhoto], bytes],
) -> Lessons:
    """The lessons of a task, as the server's API gives it, that are not in ``names`` yet. If its
    annotations are gone, the lessons are empty. Exemplars that other code has embedded are embedded
    again. ``read``: returns a photo's bytes. Raises PhotoError."""
    annotation = newest_annotation(task)
    stamp = stamp_of(annotation, label_config)
    found: Lessons = {}
    photos = task_photos(task_id(task), task.get("data"), label_config)
    for photo in photos:
        if (names.stamp_of(photo.name) or "") == stamp:
            if names.is_outdated(photo.name, predictor.vectors_origin):
                known = names.of_photo(photo.name)
                found[photo.name] = stamp, _embedded_again(known, predictor, read(photo))
        elif annotation is None:
            found[photo.name] = stamp, ()
        else:
            found[photo.name] = (
                stamp,
                _exemplars(
                    annotation, photo, photos, label_config, predictor, options, read(photo)
                ),
            )
    return found


def learn_tasks(
    client: Client,
    fetcher: Fetcher,
    tasks: Sequence[Task],
    folder: ProjectFolder,
    model: FittedModel,
    label_config: LabelConfig,
    options: ResultOptions,
    log: RunLog,
) -> int:
    """Learn from tasks whose annotations have changed, or whose regions other code has embedded.
    Photos that cannot be fetched and tasks that were deleted meanwhile are skipped.

    Returns the number of photos learned from. Raises UserError."""
    names = ExemplarFile(folder.names)
    origin = model.vectors_origin
    changed = [
        task
        for task in tasks
        if any(
            (names.stamp_of(photo.name) or "") != task.stamp
            or names.is_outdated(photo.name, origin)
            for photo in task.photos
        )
    ]
    if not changed:
        return 0
    predictor = Predictor(model, model.config)
    learned = 0
    with log.stage("names", len(changed)):
        for start in range(0, len(changed), _AT_ONCE):
            numbers = [task.id for task in changed[start : start + _AT_ONCE]]
            whole = client.find_tasks(folder.project_id, numbers)
            found: Lessons = {}
            for number in numbers:

                def read(photo: TaskPhoto, task_id: int = number) -> bytes:
                    return fetcher.read(photo.uri, task_id=task_id)

                if number in whole:
                    try:
                        found |= learn_task(
                            whole[number], label_config, names, predictor, options, read
                        )
                    except PhotoError as error:
                        log.skip(f"{number}", str(error))
                else:
                    log.skip(f"{number}", "was deleted meanwhile")
                log.advance()
            names.learn(found)
            learned += len(found)
    predictor.flush()
    return learned


def _exemplars(
    annotation: JsonObject,
    photo: TaskPhoto,
    photos: Sequence[TaskPhoto],
    label_config: LabelConfig,
    predictor: Predictor,
    options: ResultOptions,
    data: bytes,
) -> tuple[Exemplar, ...]:
    segment = predictor.segment(data)
    size = segment.width, segment.height
    drawing = read_drawing(annotation, photo, photos, size, label_config)
    least = max(options.min_score, label_config.score_threshold)
    shown = [r for r in segment.regions if r.score >= least][: options.max_regions]
    taught = find_lessons(drawing, shown)
    if not _began_with_prediction(annotation):  # a region that was not shown was not deleted
        taught = [lesson for lesson in taught if lesson.name]
    known = {
        number: segment.embeddings[lesson.predicted]
        for number, lesson in enumerate(taught)
        if lesson.predicted is not None and len(segment.embeddings)
    }
    others = [number for number in range(len(taught)) if number not in known]
    if others:
        vectors = predictor.embed(data, [taught[number].mask for number in others])
        known.update(zip(others, vectors, strict=True))
    return tuple(
        Exemplar(
            photo.name, lesson.rle, known[number], lesson.name, origin=predictor.vectors_origin
        )
        for number, lesson in enumerate(taught)
    )


def _embedded_again(
    exemplars: Sequence[Exemplar], predictor: Predictor, data: bytes
) -> tuple[Exemplar, ...]:
    """The same regions with the same names, and vectors of the code that is installed now."""
    masks = [decode_rle(e.rle) for e in exemplars if e.rle is not None]
    vectors = iter(predictor.embed(data, masks))
    return tuple(
        replace(e, embedding=next(vectors), origin=predictor.vectors_origin)
        if e.rle is not None
        else e
        for e in exemplars
    )


def _began_with_prediction(annotation: JsonObject) -> bool:
    """Whether the annotator corrected a prediction and did not begin with a blank canvas."""
    origins = (str(item.get("origin", "")) for item in result_items(annotation))
    return bool(annotation.get("parent_prediction")) or any(
        origin.startswith("prediction") for origin in origins
    )
