"""A Label Studio project as a source of labels: its tasks, and what is drawn on their photos."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prelabel.data import images
from prelabel.data.dataset import Dataset, Problems
from prelabel.errors import PhotoError, UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import DOWNLOADS, Fetcher
from prelabel.label_studio.format.annotations import LabelSource, chosen
from prelabel.label_studio.format.dataset import TaskLabels
from prelabel.label_studio.format.label_choice import LabelChoice
from prelabel.label_studio.format.label_config import parse_leniently
from prelabel.label_studio.format.labelled_task import NamedPhoto
from prelabel.label_studio.format.regions import Size
from prelabel.storage.files import replacing
from prelabel.storage.json import JsonObject
from prelabel.storage.progress import Progress, RunLog
from prelabel.storage.threads import prefetch_map


@contextmanager
def project_dataset(
    client: Client,
    fetcher: Fetcher,
    project_id: int,
    *,
    choice: LabelChoice | None = None,
    photos: Path | None = None,
    progress: Progress | None = None,
) -> Iterator[Dataset]:
    """A project's labels as they are now; they can be streamed as long as the context is open.

    ``choice``: which labels count, left out: both kinds. ``photos``: a folder to put the photos into, under their names in
    the dataset; without it, only those are fetched whose size no region states, to look at it.
    A photo that cannot be fetched is left out if its size is needed, and noted in any case.
    Classes are the labels, as the label config has them. Raises UserError, one for a file of
    another content where a photo is to go as well.
    """
    log = RunLog(progress)
    choice = choice or LabelChoice()
    project = client.project(project_id)
    problems = Problems()
    with tempfile.TemporaryDirectory(prefix="prelabel-") as folder:
        file = Path(folder) / "tasks.jsonl"
        with log.stage("tasks", project.task_number):
            _keep_tasks(client, project_id, choice.what, file, log)
        labels = TaskLabels(
            lambda: _tasks(file),
            choice,
            label_config=parse_leniently(project.label_config),
            source=f"project {project_id}",
            problems=problems,
        )
        n_fetched = sum(bool(photos) or named.stated is None for named in labels.photos())
        with log.stage("photos", n_fetched):
            sizes, failed = _fetch_sizes(labels, fetcher, photos, log)

        def find_size(named: NamedPhoto) -> Size | None:
            if named.name in failed:
                if named.stated is None:
                    raise failed[named.name]
                problems.note(
                    "photos that cannot be fetched, whose labels are kept",
                    f"task {named.photo.task}: {named.name} {failed[named.name]}",
                )
            return sizes.get(named.name, named.stated)

        yield Dataset(
            photos,
            labels.classes,
            lambda: labels.stream(find_size),
            problems,
            labels.model_version,
            category_ids=labels.category_ids,
        )


def _keep_tasks(
    client: Client, project_id: int, what: LabelSource, file: Path, log: RunLog
) -> None:
    """Write the labels that count of each task to a file, so that they are downloaded only once."""
    with file.open("w", encoding="ascii") as out:
        for task in client.tasks(project_id):
            entry, predicted = chosen(task, what)
            kept = {key: task.get(key) for key in ("id", "data", "meta")}
            kept["predictions" if predicted else "annotations"] = [entry] if entry else []
            out.write(json.dumps(kept) + "\n")
            log.advance()


def _tasks(file: Path) -> Iterator[JsonObject]:
    with file.open(encoding="ascii") as lines:
        for line in lines:
            yield json.loads(line)


def _fetch_sizes(
    labels: TaskLabels, fetcher: Fetcher, folder: Path | None, log: RunLog
) -> tuple[dict[str, Size], dict[str, PhotoError]]:
    """Sizes by name, and errors by name. Several photos are fetched at once."""

    def size(named: NamedPhoto) -> Size | PhotoError:
        try:
            file = fetcher.fetch(named.photo.uri, task_id=named.photo.task)
            image = images.read_image(file)
        except PhotoError as error:
            return error
        if folder:
            _put(file, folder / named.name)
        return image.width, image.height

    sizes: dict[str, Size] = {}
    failed: dict[str, PhotoError] = {}
    photos = (named for named in labels.photos() if folder or named.stated is None)
    for named, answer in prefetch_map(size, photos, workers=DOWNLOADS):
        if isinstance(answer, PhotoError):
            failed[named.name] = answer
        else:
            sizes[named.name] = answer
        log.advance()
    return sizes, failed


def _put(photo: Path, target: Path) -> None:
    """A copy, unless it is there already."""
    if target.exists():
        if target.is_file() and target.stat().st_size == photo.stat().st_size:
            return
        raise UserError(
            f"{target} is there and is another photo: name a new or an empty folder with "
            "--photos-into"
        )
    with replacing(target) as beside:
        shutil.copyfile(photo, beside)
