"""A project's tasks: what of them matters here, and fetching their photos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prelabel.data.records import ImageFile
from prelabel.errors import PhotoError, UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import DOWNLOADS, Fetcher
from prelabel.label_studio.format.annotations import newest_annotation, stamp_of
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.format.photos import NO_IMAGE, TaskPhoto, no_photo, task_photos
from prelabel.label_studio.model_version import is_own
from prelabel.storage.json import JsonObject
from prelabel.storage.progress import RunLog
from prelabel.storage.threads import prefetch_map


@dataclass(frozen=True, slots=True)
class Task:
    """``labelled``: has an annotation. ``stamp``: of the newest one, "" if there is none to learn
    from. ``own``: predictions of this tool, id and model version."""

    id: int
    photos: tuple[TaskPhoto, ...]
    labelled: bool = False
    stamp: str = ""
    own: tuple[tuple[int, str], ...] = ()


def read_task(task: JsonObject, label_config: LabelConfig) -> Task:
    """A task as the server's API gives it."""
    annotation, number = newest_annotation(task), task_id(task)
    return Task(
        id=number,
        photos=task_photos(number, task.get("data"), label_config),
        labelled=bool(task.get("total_annotations") or task.get("annotations")),
        stamp=stamp_of(annotation, label_config),
        own=tuple(own_predictions(task)),
    )


def task_id(task: JsonObject) -> int:
    """The id of a task as the server's API gives it. Raises UserError if it has none."""
    number = task.get("id")
    if not isinstance(number, int):
        raise UserError(f"a task has the id {number!r}, expected a whole number")
    return number


def own_predictions(task: JsonObject) -> Iterator[tuple[int, str]]:
    """Id and model version of a task's predictions that are this tool's."""
    predictions = task.get("predictions")
    for entry in predictions if isinstance(predictions, list) else ():
        if isinstance(entry, Mapping) and is_own(entry.get("model_version")):
            yield int(entry["id"]), str(entry["model_version"])


def read_tasks(
    client: Client, project_id: int, n_tasks: int, label_config: LabelConfig, log: RunLog
) -> list[Task]:
    """All tasks of a project, without their masks. ``n_tasks``: about how many. Raises UserError, one if
    none of them has a photo as well."""
    tasks, data = [], None
    with log.stage("tasks", n_tasks):
        for task in client.tasks(project_id):
            data = task.get("data")
            tasks.append(read_task(task, label_config))
            log.advance()
    if tasks and not any(task.photos for task in tasks):
        raise UserError(f"project {project_id}: {no_photo(label_config, data)}")
    return tasks


def download(
    fetcher: Fetcher, tasks: Sequence[Task], failed: dict[int, str], log: RunLog
) -> list[ImageFile]:
    """Fetch the photos of tasks, a few at once. A task with a photo that cannot be fetched gets none,
    and its id and the reason go to ``failed``. Raises UserError if no photo can be fetched at all."""

    def files(task: Task) -> list[ImageFile] | PhotoError:
        try:
            if not task.photos:
                raise PhotoError(NO_IMAGE)
            return [ImageFile(p.name, fetcher.fetch(p.uri, task_id=task.id)) for p in task.photos]
        except PhotoError as error:
            return error

    found: list[ImageFile] = []
    for task, answer in prefetch_map(files, tasks, workers=DOWNLOADS):
        if isinstance(answer, PhotoError):
            failed[task.id] = str(answer)
        else:
            found += answer
        log.advance()
    return found


def task_of(photo: str) -> int:
    """The task that a photo's name begins with."""
    return int(photo.partition("/")[0])
