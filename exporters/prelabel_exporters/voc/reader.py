"""Reading the folders of PASCAL VOC's segmentation task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from prelabel.data.dataset import Dataset, Problems
from prelabel.data.image_formats import find_photo_file
from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel.storage.files import is_file
from prelabel_exporters.common import fits_photo
from prelabel_exporters.voc.annotation import read_annotation
from prelabel_exporters.voc.labels import Labels, read_labels
from prelabel_exporters.voc.layout import (
    ANNOTATIONS,
    BACKGROUND,
    CLASSES,
    IMAGES,
    OBJECTS,
    VOID,
    find_mask,
    find_root,
)
from prelabel_exporters.voc.lists import Listed, listed
from prelabel_exporters.voc.masks import read_mask
from prelabel_exporters.voc.meaning import classes_of, objects_of
from prelabel_exporters.voc.regions import TooManyError, regions_of

_Masks = tuple[NDArray[np.uint8], NDArray[np.uint16] | None]
"""Of classes and of objects; the latter is None where it cannot be read."""


def read_voc(source: Path) -> Dataset:
    """The labels of a folder that has ``SegmentationClass/``, or of a VOC folder inside it.

    Raises:
        UserError: there is no such folder, or its list of labels cannot be read.
    """
    root = find_root(source)
    if root is None:
        raise UserError(f"{str(source)!r} has no {CLASSES}/: expected a folder like VOC's")
    problems = Problems()
    labels = read_labels(root, problems)
    photos = root / IMAGES if (root / IMAGES).is_dir() else None
    counted = False

    def stream() -> Iterator[Prediction]:
        nonlocal counted
        own = Problems() if counted else problems
        folder = _Folder(root, photos, labels, own)
        for one in listed(root, own):
            if (found := folder.read(one)) is not None:
                yield found
        counted = True  # another stream finds the same problems

    has_objects = any((root / OBJECTS).glob("**/*.*"))
    return Dataset(photos, labels.classes, stream, problems, has_objects=has_objects)


class _Folder:
    """A folder whose photos are read one by one; what is wrong with one is noted."""

    def __init__(self, root: Path, photos: Path | None, labels: Labels, problems: Problems) -> None:
        self._root = root
        self._photos = photos
        self._labels = labels
        self._problems = problems

    def read(self, one: Listed) -> Prediction | None:
        """The labels of a listed photo, or None where its masks cannot be used."""
        name = one.name
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name:
            kind = "names in lists that lead out of the folder, left out"
            self._problems.note(kind, f"{self._root}: {name!r}")
            return None
        masks = self._masks(name)
        if masks is None:
            return None
        classes, objects = masks
        height, width = classes.shape
        photo = self._photo(one, width, height)
        if photo is None:
            return None
        is_object = (classes != BACKGROUND) & (classes != VOID)
        if objects is not None and (is_object & (objects == 0)).any():
            kind = "masks with pixels of a class but no object, which are left out"
            self._problems.note(kind, str(find_mask(self._root / OBJECTS, name)))
        try:
            regions = regions_of(classes, objects)
        except TooManyError as error:
            kind = "masks with more objects than labels have, left out"
            self._problems.note(kind, f"{find_mask(self._root / CLASSES, name)}: {error}")
            return None
        return Prediction(photo, "", width, height, tuple(regions), 0, "")

    def _masks(self, name: str) -> _Masks | None:
        """The masks of a photo; None where that of classes cannot be used."""
        file = find_mask(self._root / CLASSES, name)
        mask = read_mask(file, self._problems)
        if mask is None:
            return None
        classes = classes_of(mask, self._labels.values, self._labels.names)
        if classes is None:
            kind = "masks whose palette is neither VOC's nor that of the list of labels, left out"
            self._problems.note(
                kind, f"{file}: {'; '.join(map(str, list(mask.colors.values())[:4]))}"
            )
            return None
        for note in classes.notes:
            self._problems.note(note, str(file))
        objects_file = find_mask(self._root / OBJECTS, name)
        if not is_file(objects_file):
            kind = "photos without SegmentationObject, whose connected parts are read as objects"
            self._problems.note(kind, str(file))
            return classes.values, None
        objects = read_mask(objects_file, self._problems)
        if objects is None:
            return classes.values, None
        if objects.indices.shape != classes.values.shape:
            kind = "photos whose masks of objects and classes differ in size, left out"
            self._problems.note(kind, str(objects_file))
            return None
        return classes.values, objects_of(objects)

    def _photo(self, one: Listed, width: int, height: int) -> str | None:
        """The photo's name, or None where its size is not that of its masks."""
        name = one.name
        annotation = self._root / ANNOTATIONS / f"{name}.xml"
        photo, size = read_annotation(annotation, f"{name}.jpg", self._problems)
        photo = one.photo or photo
        if size not in (None, (width, height)):
            self._problems.note(
                "masks of another size than their photo, left out",
                f"{self._root / CLASSES / name}.png: {width} × {height}, in the XML "
                f"{size[0]} × {size[1]}",
            )
            return None
        if self._photos is None:
            return photo
        if not is_file(self._photos / photo):
            photo = find_photo_file(self._photos, name) or photo
        fits = fits_photo(self._photos / photo, width, height, self._problems)
        return photo if fits else None
