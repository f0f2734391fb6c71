"""Annotations of boxes without masks, as in VOC's detection task and as labelImg writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from prelabel.data import images
from prelabel.data.dataset import Dataset, Problems
from prelabel.data.masks import rle_area, rle_box
from prelabel.data.records import Prediction, Region
from prelabel.errors import PhotoError, UserError
from prelabel.storage.files import open_file
from prelabel_exporters.common import filled_box, fits_photo
from prelabel_exporters.voc.annotation import photo_and_size, read_document
from prelabel_exporters.voc.labels import LABELMAP, LABELME, OWN, VOC_CLASSES, read_labels
from prelabel_exporters.voc.layout import ANNOTATIONS, IMAGES

_LOOK = 4096
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def find_boxes(source: Path) -> Path | None:
    """The folder that has annotations but no masks: ``Annotations/`` in ``source``, in a VOC folder
    inside it, or ``source`` itself; None without."""
    places = (*sorted(source.glob("VOCdevkit/VOC*")), *sorted(source.glob("VOC*")))
    for folder in (source / ANNOTATIONS, *(place / ANNOTATIONS for place in places), source):
        if folder.is_dir():
            first = next((f for f in sorted(folder.rglob("*.xml")) if f.is_file()), None)
            if first is not None and b"<annotation>" in _beginning(first):
                return folder
    return None


def read_boxes(annotations: Path) -> Dataset:
    """The boxes of such a folder. The classes are those of the list of labels beside it, if there is
    one, then those that the annotations name; without one, VOC's own 20 if there are no others.

    Raises:
        UserError: the list of labels cannot be read, or no annotation has an object.
    """
    root = annotations.parent if annotations.name == ANNOTATIONS else annotations
    folder = next((f for f in (root / IMAGES, root / "images") if f.is_dir()), None)
    problems = Problems()
    classes = _classes(annotations, root, problems)
    index = {name: i for i, name in reversed(list(enumerate(classes)))}
    counted = False

    def stream() -> Iterator[Prediction]:
        nonlocal counted
        own = Problems() if counted else problems
        for file in sorted(annotations.rglob("*.xml")):
            name = file.relative_to(annotations).with_suffix("").as_posix()
            document = read_document(file, own)
            if document is None:
                continue
            photo, size = photo_and_size(document, file, f"{name}.jpg", own)
            labels = _labels(document, file, photo, size or _looked_up(folder, photo), index, own)
            if labels is None:
                continue
            if folder and not fits_photo(folder / photo, labels.width, labels.height, own):
                continue
            yield labels
        counted = True  # another stream finds the same problems

    return Dataset(folder, classes, stream, problems)


def _classes(annotations: Path, root: Path, problems: Problems) -> tuple[str, ...]:
    named: set[str] = set()
    for file in sorted(annotations.rglob("*.xml")):
        document = read_document(file, Problems())
        if document is not None:
            named |= {name for item in document.iter("object") if (name := _name(item))}
    if not named:
        raise UserError(
            f"{str(annotations)!r} has annotations, but none with an object: expected objects with a "
            "name and a bndbox, or masks in SegmentationClass/"
        )
    listed: tuple[str, ...] = ()
    if any((root / name).is_file() for name in (OWN, LABELME, LABELMAP)):
        listed = read_labels(root, problems).classes
    elif named <= set(VOC_CLASSES):
        listed = VOC_CLASSES
    return (*listed, *sorted(named - set(listed)))


def _labels(
    document: Element,
    file: Path,
    photo: str,
    size: tuple[int, int] | None,
    index: dict[str, int],
    problems: Problems,
) -> Prediction | None:
    if size is None or size[0] * size[1] > images.MAX_PIXELS:
        kind = "annotations without a usable size of their photo, left out"
        problems.note(kind, f"{file}: neither stated nor found from {photo}")
        return None
    width, height = size
    regions = []
    for item in document.iter("object"):
        region = _region(item, (height, width), index)
        if region is None:
            kind = "objects without a name or a box inside their photo, left out"
            problems.note(kind, f"{file}: {_name(item) or 'no name'}")
        else:
            regions.append(region)
    return Prediction(photo, "", width, height, tuple(regions), 0, "")


def _region(item: Element, size: tuple[int, int], index: dict[str, int]) -> Region | None:
    """A box whose corners are 1-based and inside it, as VOC's are."""
    name = _name(item)
    try:
        left, top, right, bottom = (float(item.findtext(f"bndbox/{c}", "")) for c in _CORNERS)
    except ValueError:
        return None
    rle = filled_box(left - 1, top - 1, right, bottom, size) if name else None
    if rle is None:
        return None
    return Region(rle, rle_box(rle), rle_area(rle), 1.0, index[name], is_box=True)


def _name(item: Element) -> str:
    return " ".join((item.findtext("name") or "").split())


def _looked_up(folder: Path | None, photo: str) -> tuple[int, int] | None:
    try:
        return images.read_size(folder / photo) if folder else None
    except PhotoError:
        return None


def _beginning(file: Path) -> bytes:
    try:
        with open_file(file) as data:
            return data.read(_LOOK)
    except OSError:
        return b""
