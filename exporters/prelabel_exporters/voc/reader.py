"""Reading the folders of PASCAL VOC's segmentation task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from prelabel.data.dataset import Dataset, Problems
from prelabel.data.masks import Mask, encode_rle, rle_area, rle_box
from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel_exporters.common import fits_photo
from prelabel_exporters.voc.annotation import read_annotation
from prelabel_exporters.voc.labels import Labels, read_labels
from prelabel_exporters.voc.layout import (
    ANNOTATIONS,
    BACKGROUND,
    CLASSES,
    IMAGES,
    LISTS,
    OBJECTS,
    VOID,
    find_root,
)
from prelabel_exporters.voc.masks import Values, object_number, read_mask


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
        folder = _Folder(root, photos, labels, Problems() if counted else problems)
        for name in _listed(root):
            if (found := folder.read(name)) is not None:
                yield found
        counted = True  # another stream finds the same problems

    has_objects = any((root / OBJECTS).glob("**/*.*"))
    return Dataset(photos, labels.classes, stream, problems, has_objects=has_objects)


def _listed(root: Path) -> Iterator[str]:
    """The photos that the lists name, in their order; without lists, those that have masks."""
    lists = root / LISTS
    whole = lists / "trainval.txt"
    files = [whole] if whole.is_file() else sorted(lists.glob("*.txt"))
    if not files:
        masks = root / CLASSES
        for file in sorted(masks.rglob("*.png")):
            yield file.relative_to(masks).with_suffix("").as_posix()
        return
    seen: set[str] = set()
    for file in files:
        with file.open(encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                if (name := line.strip()) and name not in seen:
                    seen.add(name)
                    yield name


class _Folder:
    """A folder whose photos are read one by one; what is wrong with one is noted."""

    def __init__(self, root: Path, photos: Path | None, labels: Labels, problems: Problems) -> None:
        self._root = root
        self._photos = photos
        self._labels = labels
        self._problems = problems

    def read(self, name: str) -> Prediction | None:
        """The labels of a listed photo, or None where its masks cannot be used."""
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
        photo = self._photo(name, width, height)
        if photo is None:
            return None
        classes = self._known(name, classes)
        if objects is not None and _neither(objects)[~_neither(classes)].any():
            kind = "masks with pixels of a class but no object, which are left out"
            self._problems.note(kind, str(self._root / OBJECTS / f"{name}.png"))
        regions = _regions(classes, _parts(classes) if objects is None else objects)
        inside = sum(region.area for region in regions if not region.crowd)
        return Prediction(
            photo, "", width, height, tuple(regions), inside / (width * height), 0, ""
        )

    def _masks(self, name: str) -> tuple[Values, Values | None] | None:
        """The masks of classes and of objects; the latter is None where it cannot be read."""
        file = self._root / CLASSES / f"{name}.png"
        classes = read_mask(file, lambda color: self._labels.values.get(color, -1), self._problems)
        if classes is None:
            return None
        objects_file = self._root / OBJECTS / f"{name}.png"
        if not objects_file.is_file():
            kind = "photos without SegmentationObject, whose connected parts are read as objects"
            self._problems.note(kind, str(file))
            return classes, None
        objects = read_mask(objects_file, object_number, self._problems)
        if objects is not None and objects.shape != classes.shape:
            kind = "photos whose masks of objects and classes differ in size, left out"
            self._problems.note(kind, str(objects_file))
            return None
        return classes, objects

    def _known(self, name: str, classes: Values) -> Values:
        """Values that are not classes become background."""
        unknown = ~np.isin(classes, [BACKGROUND, VOID, *self._labels.names])
        if not unknown.any():
            return classes
        kind = "masks with values that are not classes, read as background"
        self._problems.note(kind, str(self._root / CLASSES / f"{name}.png"))
        return np.where(unknown, BACKGROUND, classes)

    def _photo(self, name: str, width: int, height: int) -> str | None:
        """The photo's name, or None where its size is not that of its masks."""
        annotation = self._root / ANNOTATIONS / f"{name}.xml"
        photo, size = read_annotation(annotation, f"{name}.jpg", self._problems)
        if size not in (None, (width, height)):
            self._problems.note(
                "masks of another size than their photo, left out",
                f"{self._root / CLASSES / name}.png: {width} × {height}, in the XML "
                f"{size[0]} × {size[1]}",
            )
            return None
        if self._photos is None:
            return photo
        names = (photo, *(f"{name}{ending}" for ending in (".jpg", ".jpeg", ".png")))
        photo = next((other for other in names if (self._photos / other).is_file()), photo)
        fits = fits_photo(self._photos / photo, width, height, self._problems)
        return photo if fits else None


def _neither(values: Values) -> Mask:
    """Where values are background or void."""
    return np.isin(values, [BACKGROUND, VOID])


def _parts(classes: Values) -> Values:
    """Connected parts of each class as objects, numbered from 1; 0 elsewhere."""
    objects = np.zeros(classes.shape, dtype=np.int64)
    for value in np.unique(classes[~_neither(classes)]):
        _, parts = cv2.connectedComponents((classes == value).astype(np.uint8), connectivity=8)
        objects = np.where(parts > 0, parts + objects.max(), objects)
    return objects


def _regions(classes: Values, objects: Values) -> list[Region]:
    """Objects by number, each of the class that most of its pixels have; void as a crowd."""
    void = classes == VOID
    inside = ~_neither(classes)
    found = []
    for number in np.unique(objects[~_neither(objects) & ~void]):
        mask = (objects == number) & inside
        if mask.any():
            value = int(np.bincount(classes[mask]).argmax())
            found.append(_region(mask, value - 1, crowd=False))
    if void.any():
        found.append(_region(void, -1, crowd=True))
    return found


def _region(mask: Mask, cluster: int, *, crowd: bool) -> Region:
    rle = encode_rle(mask)
    return Region(rle, rle_box(rle), rle_area(rle), 1.0, cluster, crowd)
