"""A Label Studio project as a source of labels: its tasks, and what is drawn on their photos."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prelabel.data import images
from prelabel.data.dataset import Dataset, Problems
from prelabel.errors import PhotoError, UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Fetcher
from prelabel.label_studio.format import label_config
from prelabel.label_studio.format.annotations import What, chosen
from prelabel.label_studio.format.dataset import NamedPhoto, TaskLabels
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.format.regions import Size
from prelabel.storage.files import replacing
from prelabel.storage.progress import Progress, RunLog
from prelabel.storage.threads import prefetch_map

_DOWNLOADS = 8
"""Photos fetched at once: a server's own workers are about as many."""


@contextmanager
def project_dataset(
    client: Client,
    fetcher: Fetcher,
    project_id: int,
    *,
    what: What,
    photos: Path | None = None,
    progress: Progress | None = None,
) -> Iterator[Dataset]:
    """A project's labels as they are now; they can be streamed as long as the context is open.

    ``what``: which labels count. ``photos``: a folder to put the photos into, under their names in
    the dataset; without it, only those are fetched whose size no region states, to look at it.
    A photo that cannot be had is left out if its size is needed, and noted in any case.
    Classes are the labels, as the label config has them. Raises UserError, one for a file of
    another content where a photo is to go as well.
    """
    log = RunLog(progress)
    project = client.project(project_id)
    problems = Problems()
    with tempfile.TemporaryDirectory(prefix="prelabel-") as folder:
        file = Path(folder) / "tasks.jsonl"
        with log.stage("tasks", project.task_number):
            _keep_tasks(client, project_id, what, file, log)
        labels = TaskLabels(
            lambda: _tasks(file),
            what=what,
            config=_config(project.label_config),
            source=f"project {project_id}",
            problems=problems,
        )
        wanted = [p.name for p in labels.photos() if photos or p.stated is None]
        with log.stage("photos", len(wanted)):
            sizes, failed = _look_at(labels, fetcher, photos, log)

        def look(photo: NamedPhoto) -> Size | None:
            if photo.name in failed:
                if photo.stated is None:
                    raise failed[photo.name]
                problems.note(
                    "photos that cannot be had, whose labels are kept",
                    f"task {photo.task}: {photo.name} {failed[photo.name]}",
                )
            return sizes.get(photo.name, photo.stated)

        yield Dataset(
            photos, labels.classes, lambda: labels.stream(look), problems, labels.model_version
        )


def _keep_tasks(client: Client, project_id: int, what: What, file: Path, log: RunLog) -> None:
    """What counts of each task, a line each: so that the project is asked once, whatever comes."""
    with file.open("w", encoding="ascii") as out:
        for task in client.tasks(project_id):
            entry, predicted = chosen(task, what)
            kept = {key: task.get(key) for key in ("id", "data", "meta")}
            kept["predictions" if predicted else "annotations"] = [entry] if entry else []
            out.write(json.dumps(kept) + "\n")
            log.advance()


def _tasks(file: Path) -> Iterator[Mapping[str, Any]]:
    with file.open(encoding="ascii") as lines:
        for line in lines:
            yield json.loads(line)


def _config(xml: str) -> LabelConfig | None:
    """None for one that this tool could not fill (Brush and Labels apart, say): what is drawn can
    still be read."""
    try:
        return label_config.parse_label_config(xml)
    except UserError:
        return None


def _look_at(
    labels: TaskLabels, fetcher: Fetcher, folder: Path | None, log: RunLog
) -> tuple[dict[str, Size], dict[str, PhotoError]]:
    """Sizes by name, and why there is none. Several photos are fetched at once."""

    def size(photo: NamedPhoto) -> Size | PhotoError:
        try:
            file = fetcher.fetch(photo.uri, task_id=photo.task)
            picture = images.read_image(file)
        except PhotoError as error:
            return error
        if folder:
            _put(file, folder / photo.name)
        return picture.width, picture.height

    sizes: dict[str, Size] = {}
    failed: dict[str, PhotoError] = {}
    wanted = (photo for photo in labels.photos() if folder or photo.stated is None)
    for photo, answer in prefetch_map(size, wanted, workers=_DOWNLOADS):
        if isinstance(answer, PhotoError):
            failed[photo.name] = answer
        else:
            sizes[photo.name] = answer
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
