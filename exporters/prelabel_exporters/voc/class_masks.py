"""Folders of class masks: ``masks/`` with a PNG for each photo, whose values ``classes.json`` names."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prelabel.data import images
from prelabel.data.dataset import Dataset, Problems
from prelabel.data.masks import encode_rle, rle_area, rle_box
from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.storage.files import read_file
from prelabel_exporters.common import decode_text, fits_photo
from prelabel_exporters.voc.layout import BACKGROUND, IMAGES, MASK_ENDINGS, VOID
from prelabel_exporters.voc.masks import VALUES, read_mask
from prelabel_exporters.voc.meaning import NO_CLASS, classes_of

_MASKS, _NAMES = "masks", "classes.json"
_UNNAMED = f"masks with values that {_NAMES} does not name, read as background"
_PHOTOS = ("images", "photos", IMAGES)


def find_class_masks(source: Path) -> Path | None:
    """The folder that has ``classes.json`` and PNGs in ``masks/``: ``source``, or the one above it if
    ``source`` is ``masks/`` itself; None without."""
    for folder in (source, source.parent):
        masks = folder / _MASKS
        if (folder / _NAMES).is_file() and source in (folder, masks):
            return folder if any(_files(masks)) else None
    return None


def read_class_masks(root: Path) -> Dataset:
    """The labels of such a folder: one region for each class in a photo, as masks of classes do not
    tell objects apart; void as a crowd.

    Raises:
        UserError: ``classes.json`` is not a list or a dictionary of names.
    """
    names = _read_names(root / _NAMES)
    problems = Problems()
    folder = next((root / name for name in _PHOTOS if (root / name).is_dir()), None)
    photos = _by_stem(folder) if folder else {}
    counted = False

    def stream() -> Iterator[Prediction]:
        nonlocal counted
        own = Problems() if counted else problems
        for file in _files(root / _MASKS):
            stem = file.relative_to(root / _MASKS).with_suffix("").as_posix()
            values = _read_values(file, names, own)
            if values is None:
                continue
            photo = photos.get(stem)
            height, width = values.shape
            if folder and photo and not fits_photo(folder / photo, width, height, own):
                continue
            yield _labels(photo or f"{stem}.jpg", values)
        counted = True  # another stream finds the same problems

    classes = tuple(names.get(value, f"object {value}") for value in range(1, max(names) + 1))
    return Dataset(folder, classes, stream, problems, has_objects=False)


def _files(masks: Path) -> list[Path]:
    return sorted(file for file in masks.rglob("*") if file.suffix.lower() in MASK_ENDINGS)


def _read_names(file: Path) -> dict[int, str]:
    """Names of the classes by value, background and void left out."""
    try:
        found = json.loads(decode_text(read_file(file)))
        pairs = found.items() if isinstance(found, dict) else enumerate(found)
        names = {int(value): str(name) for value, name in pairs}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(
            f"{file} does not name classes ({error}): expected a name for each value of the masks, "
            'as in {"1": "cat", "2": "dog"}'
        ) from error
    names = {value: name for value, name in names.items() if BACKGROUND < value < VOID}
    if not names:
        raise UserError(f"{file} names no class: expected at least one value from 1 to {VOID - 1}")
    return names


def _by_stem(folder: Path) -> dict[str, str]:
    """The names of the photos in a folder by their names without ending; of several, the first."""
    found: dict[str, str] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in images.EXTENSIONS:
            name = file.relative_to(folder)
            found.setdefault(name.with_suffix("").as_posix(), name.as_posix())
    return found


def _read_values(
    file: Path, names: Collection[int], problems: Problems
) -> NDArray[np.uint8] | None:
    """The class of each pixel, (height, width); None, counted, for a mask that cannot be used."""
    mask = read_mask(file, problems)
    if mask is None:
        return None
    if mask.kind == "colors":
        kind = "masks that cannot be read, left out"
        problems.note(kind, f"{file}: has colours, expected one channel or a palette")
        return None
    classes = classes_of(mask, VALUES, names)
    if classes is None:
        problems.note("masks whose palette is only partly VOC's, left out", str(file))
        return None
    for note in classes.notes:
        note = _UNNAMED if note == NO_CLASS else note
        problems.note(note, str(file))
    return classes.values


def _labels(photo: str, values: NDArray[np.uint8]) -> Prediction:
    regions = []
    for value in np.unique(values[values != BACKGROUND]).tolist():
        rle = encode_rle(values == value)
        cluster = -1 if value == VOID else value - 1
        regions.append(Region(rle, rle_box(rle), rle_area(rle), 1.0, cluster, crowd=value == VOID))
    height, width = values.shape
    return Prediction(photo, "", width, height, tuple(regions), 0, "")
