"""Folders of class masks: ``masks/`` with a PNG for each photo, whose values ``classes.json`` names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prelabel.data import images
from prelabel.data.dataset import Dataset, Problems
from prelabel.data.masks import encode_rle, rle_area, rle_box
from prelabel.data.records import Prediction, Region
from prelabel.errors import PhotoError, UserError
from prelabel_exporters.common import fits_photo
from prelabel_exporters.voc.layout import BACKGROUND, IMAGES, VOID

_MASKS, _NAMES = "masks", "classes.json"
_PHOTOS = ("images", "photos", IMAGES)
_MODES = ("1", "L", "P", "I", "I;16")
"""Of Pillow: one channel of whole numbers."""


def find_class_masks(source: Path) -> Path | None:
    """The folder that has ``classes.json`` and PNGs in ``masks/``: ``source``, or the one above it if
    ``source`` is ``masks/`` itself; None without."""
    for folder in (source, source.parent):
        masks = folder / _MASKS
        if (folder / _NAMES).is_file() and source in (folder, masks):
            return folder if any(masks.rglob("*.png")) else None
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
        for file in sorted((root / _MASKS).rglob("*.png")):
            stem = file.relative_to(root / _MASKS).with_suffix("").as_posix()
            values = _read_values(file, own)
            if values is None:
                continue
            photo = photos.get(stem)
            height, width = values.shape
            if folder and photo and not fits_photo(folder / photo, width, height, own):
                continue
            yield _labels(photo or f"{stem}.jpg", values, names, own)
        counted = True  # another stream finds the same problems

    classes = tuple(names.get(value, f"object {value}") for value in range(1, max(names) + 1))
    return Dataset(folder, classes, stream, problems, has_objects=False)


def _read_names(file: Path) -> dict[int, str]:
    """Names of the classes by value, background and void left out."""
    try:
        found = json.loads(file.read_bytes())
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


def _read_values(file: Path, problems: Problems) -> NDArray[np.int64] | None:
    """The value of each pixel, (height, width); None, counted, for a mask that cannot be used."""
    try:
        with file.open("rb") as data, images.opened(data, ("PNG",)) as image:
            if image.mode not in _MODES:
                raise ValueError(f"has colours (mode {image.mode}), expected one channel")
            return np.array(image, dtype=np.int64)
    except (OSError, ValueError, SyntaxError, PhotoError) as error:
        problems.note("masks that cannot be read, left out", f"{file}: {error}")
        return None


def _labels(
    photo: str, values: NDArray[np.int64], names: dict[int, str], problems: Problems
) -> Prediction:
    regions, unknown = [], []
    for value in np.unique(values).tolist():
        if value in names or value == VOID:
            rle = encode_rle(values == value)
            cluster = -1 if value == VOID else value - 1
            regions.append(
                Region(rle, rle_box(rle), rle_area(rle), 1.0, cluster, crowd=value == VOID)
            )
        elif value != BACKGROUND:
            unknown.append(value)
    if unknown:
        problems.note(
            f"masks with values that {_NAMES} does not name, read as background",
            f"{photo}: {', '.join(map(str, unknown[:5]))}",
        )
    height, width = values.shape
    inside = sum(region.area for region in regions if not region.crowd)
    return Prediction(photo, "", width, height, tuple(regions), inside / values.size, 0, "")
