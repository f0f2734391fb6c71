"""Reading Label Studio's tasks from a file; LabelStudio's docstring says what is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from prelabel.data import images
from prelabel.data.dataset import Dataset, Problems
from prelabel.data.records import Prediction
from prelabel.errors import PhotoError
from prelabel.label_studio.format.dataset import TaskLabels
from prelabel.label_studio.format.label_choice import LabelChoice
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.format.labelled_task import NamedPhoto
from prelabel.label_studio.format.regions import Size
from prelabel.label_studio.format.task_file import json_tasks


def read_tasks(
    file: Path, choice: LabelChoice, *, label_config: LabelConfig | None, photos: Path | None
) -> Dataset:
    """The labels of a file. ``photos``: the folder that names are relative to, if it is known.
    Raises UserError for a file that is damaged anywhere: it is looked through at once."""
    problems = Problems()
    labels = TaskLabels(
        lambda: json_tasks(file),
        choice,
        label_config=label_config,
        source=str(file),
        problems=problems,
    )

    def find_size(named: NamedPhoto) -> Size | None:
        if photos is None:
            return named.stated
        try:
            image = images.read_image(photos / named.name)
        except PhotoError as error:
            if named.stated is None:
                raise
            problems.note(
                "photos that are not there, whose labels are kept",
                f"{file}, task {named.photo.task}: {photos / named.name} {error}",
            )
            return named.stated
        return image.width, image.height

    def stream() -> Iterator[Prediction]:
        yield from labels.stream(find_size)
        if photos is None:
            return
        for found in _photos_in(photos):
            if found not in labels.names:
                problems.note("photos in the folder that no task has", str(photos / found))

    return Dataset(
        photos,
        labels.classes,
        stream,
        problems,
        labels.model_version,
        category_ids=labels.category_ids,
    )


def _photos_in(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            if Path(name).suffix.lower() in images.EXTENSIONS:
                yield (Path(place) / name).relative_to(folder).as_posix()
