"""Annotations of tasks to exemplars: what people drew, with the vectors of its regions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from prelabel.data.masks import decode_rle
from prelabel.errors import PhotoError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Fetcher
from prelabel.label_studio.api.tasks import Task, task_id
from prelabel.label_studio.format.annotations import newest_annotation, result_items, stamp_of
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.format.photos import TaskPhoto, task_photos
from prelabel.label_studio.format.regions import Drawing
from prelabel.label_studio.names.exemplar_lines import PhotoExemplars, PhotoLabels
from prelabel.label_studio.names.exemplars import Lessons
from prelabel.label_studio.names.lessons import find_lessons, read_drawing
from prelabel.label_studio.names.memory import Memory
from prelabel.label_studio.predict.predictor import Predictor
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.teaching import ProjectTeacher
from prelabel.model import FittedModel
from prelabel.segment import Segment
from prelabel.steps.exemplars import Exemplar, is_outdated
from prelabel.steps.patch_labels import BOX_WEIGHT
from prelabel.storage.json import JsonObject
from prelabel.storage.progress import RunLog

_log = logging.getLogger(__name__)
_AT_ONCE = 50
"""Tasks that are read, and whose lessons are written, together: each time the whole file is
replaced."""


def learn_task(
    task: JsonObject,
    label_config: LabelConfig,
    memory: Memory,
    predictor: Predictor,
    options: ResultOptions,
    read: Callable[[TaskPhoto], bytes],
    *,
    shown: Predictor | None = None,
) -> Lessons:
    """The lessons of a task, as the server's API gives it, that are not in ``memory`` yet. If its
    annotations are gone, the lessons are empty. What other code has computed is computed again. The
    photos' features are kept in ``memory`` before this returns. ``read``: returns a photo's bytes.
    ``shown``: what annotators see predictions of, if that is another than ``predictor``. Raises PhotoError, UserError and OSError."""
    annotation = newest_annotation(task)
    stamp = stamp_of(annotation, label_config)
    least = max(options.min_score, label_config.score_threshold)
    found: Lessons = {}
    photos = task_photos(task_id(task), task.get("data"), label_config)
    for photo in photos:
        if memory.knows(photo.name, stamp):
            continue
        if annotation is None:
            found[photo.name] = PhotoExemplars(stamp)
            continue
        lesson = _read_lesson(annotation, photo, photos, label_config, predictor, read(photo))
        known = memory.names.of_photo(photo.name)
        if known.stamp == stamp:  # what was deleted depends on what was shown then
            exemplars = lesson.again(known.exemplars, predictor)
        else:
            exemplars = lesson.exemplars(predictor, least, options.max_regions)
            if shown is not None and shown is not predictor:
                exemplars += lesson.deleted(shown, least, options.max_regions)
        labels = lesson.labels(predictor.vectors_origin, partial=memory.partial)
        memory.features.put(labels.digest, predictor.features(lesson.data))
        found[photo.name] = PhotoExemplars(stamp, exemplars, labels)
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
    *,
    partial: bool = False,
) -> int:
    """Learn from tasks whose annotations have changed, or of which something has to be learned again.
    Photos that cannot be fetched and tasks that were deleted meanwhile are skipped.

    Returns the number of photos learned from. Raises UserError."""
    memory = folder.memory(model.vectors_origin, partial=partial)
    changed = [
        task
        for task in tasks
        if not all(memory.knows(photo.name, task.stamp) for photo in task.photos)
    ]
    if not changed:
        return 0
    predictor = Predictor(model, model.config)
    shown = _shown(folder, model, predictor, log)
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
                            whole[number],
                            label_config,
                            memory,
                            predictor,
                            options,
                            read,
                            shown=shown,
                        )
                    except PhotoError as error:
                        log.skip(f"{number}", str(error))
                else:
                    log.skip(f"{number}", "was deleted meanwhile")
                log.advance()
            memory.names.learn(found)
            learned += len(found)
    predictor.flush()
    return learned


def _shown(
    folder: ProjectFolder, model: FittedModel, predictor: Predictor, log: RunLog
) -> Predictor:
    """What annotators have seen predictions of: the model with what the live names teach."""
    revision = folder.state.revision
    if not revision:
        return predictor
    with log.stage("masks", 1):
        taught = ProjectTeacher(folder, model).taught(revision, _log.warning)
        log.advance()
    return predictor.taught_with(taught) if taught and taught.learned else predictor


@dataclass(frozen=True)
class _Lesson:
    """What an annotation draws on a photo, whose bytes are ``data``. ``corrected``: the annotator
    began with a prediction."""

    photo: TaskPhoto
    data: bytes
    drawing: Drawing
    segment: Segment
    corrected: bool

    def exemplars(self, predictor: Predictor, least: float, most: int) -> tuple[Exemplar, ...]:
        """What was drawn, and what was deleted of the ``most`` regions with a score from ``least`` on."""
        segment = self.segment
        shown = [r for r in segment.regions if r.score >= least][:most]
        taught = find_lessons(self.drawing, shown)
        if not self.corrected:  # a region that was not shown was not deleted
            taught = [lesson for lesson in taught if lesson.name]
        known = {
            number: segment.embeddings[lesson.predicted]
            for number, lesson in enumerate(taught)
            if lesson.predicted is not None and len(segment.embeddings)
        }
        others = [number for number in range(len(taught)) if number not in known]
        if others:
            vectors = predictor.embed(self.data, [taught[number].mask for number in others])
            known.update(zip(others, vectors, strict=True))
        return tuple(
            Exemplar(
                self.photo.name,
                lesson.rle,
                known[number],
                lesson.name,
                origin=predictor.vectors_origin,
                weight=lesson.weight,
            )
            for number, lesson in enumerate(taught)
        )

    def deleted(self, shown: Predictor, least: float, most: int) -> tuple[Exemplar, ...]:
        """What was deleted of the regions of another predictor."""
        if not self.corrected:
            return ()
        segment = shown.segment(self.data)
        regions = [r for r in segment.regions if r.score >= least][:most]
        return tuple(
            Exemplar(
                self.photo.name,
                lesson.rle,
                segment.embeddings[lesson.predicted],
                "",
                origin=shown.vectors_origin,
            )
            for lesson in find_lessons(self.drawing, regions)
            if not lesson.name and lesson.predicted is not None
        )

    def again(self, known: Sequence[Exemplar], predictor: Predictor) -> tuple[Exemplar, ...]:
        """The same regions with the same names, and vectors of the code that is installed now."""
        origin = predictor.vectors_origin
        boxes = [region.rle for region in self.drawing.regions if region.kind == "rectangle"]
        masks = [decode_rle(e.rle) for e in known if e.rle is not None and is_outdated(e, origin)]
        vectors = iter(predictor.embed(self.data, masks) if masks else ())
        return tuple(
            replace(
                e,
                embedding=next(vectors) if is_outdated(e, origin) else e.embedding,
                origin=origin,
                weight=BOX_WEIGHT if e.name and e.rle in boxes else 1.0,
            )
            for e in known
        )

    def labels(self, origin: str, *, partial: bool) -> PhotoLabels:
        """What masks are learned from beside the exemplars."""
        return PhotoLabels(
            digest=self.segment.digest,
            origin=origin,
            unknown=[region.rle for region in self.drawing.regions if not region.label],
            unreadable=bool(self.drawing.unreadable),
            partial=partial,
        )


def _read_lesson(
    annotation: JsonObject,
    photo: TaskPhoto,
    photos: Sequence[TaskPhoto],
    label_config: LabelConfig,
    predictor: Predictor,
    data: bytes,
) -> _Lesson:
    segment = predictor.segment(data)
    size = segment.width, segment.height
    drawing = read_drawing(annotation, photo, photos, size, label_config)
    return _Lesson(photo, data, drawing, segment, _began_with_prediction(annotation))


def _began_with_prediction(annotation: JsonObject) -> bool:
    """Whether the annotator corrected a prediction and did not begin with a blank canvas."""
    origins = (str(item.get("origin", "")) for item in result_items(annotation))
    return bool(annotation.get("parent_prediction")) or any(
        origin.startswith("prediction") for origin in origins
    )
