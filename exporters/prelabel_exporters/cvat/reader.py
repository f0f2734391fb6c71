"""Reading CVAT's XML for images; Cvat's docstring says what is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from prelabel.data import images
from prelabel.data.dataset import Dataset, Problems
from prelabel.data.masks import Mask, Rle, encode_rle, rle_area, rle_box
from prelabel.data.polygons import fill_polygons
from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.storage.files import open_file
from prelabel_exporters.common import filled_box, fits_photo, whole_number
from prelabel_exporters.cvat.runs import mask_of
from prelabel_exporters.photo_names import PhotoNames

FILE = "annotations.xml"
_LOOK = 1 << 16
_OTHERS = ("polyline", "points", "skeleton", "cuboid", "tag")
Size = tuple[int, int]
"""Height and width."""


def is_cvat(file: Path) -> bool:
    """Whether a file begins like CVAT's XML for images."""
    try:
        with open_file(file) as data:
            head = data.read(_LOOK)
    except OSError:
        return False
    return b"<annotations" in head and (b"<image " in head or b"<meta>" in head)


def read_cvat(file: Path, photos: Path | None) -> Dataset:
    """The labels of a file, which is read photo by photo. Raises UserError for one that is damaged
    anywhere: it is looked through at once."""
    classes: dict[str, int] = {}
    names: list[str] = []
    for element in _elements(file):
        if element.tag == "label" and (name := element.findtext("name")):
            classes.setdefault(name, len(classes))
        elif element.tag == "image":
            names.append(element.get("name", ""))
            for shape in element:
                if shape.tag not in _OTHERS and (label := shape.get("label")):
                    classes.setdefault(label, len(classes))
    if not classes:
        raise UserError(f"{file} names no label: expected CVAT's XML for images, with labels")
    problems = Problems()
    known = PhotoNames(names, photos, file.parent)
    counted = False

    def stream() -> Iterator[Prediction]:
        nonlocal counted
        own = Problems() if counted else problems
        taken: set[str] = set()
        for element in _elements(file):
            if element.tag == "image":
                named = known.of(element.get("name", ""))
                if named is None or named.name in taken:
                    kind = "images whose name cannot be used or comes twice, left out"
                    own.note(kind, f"{file}: {element.get('name')!r}")
                    continue
                taken.add(named.name)
                labels = _labels(element, named.name, file, classes, own)
                if labels is not None and _fits(photos, labels, own):
                    yield labels
        counted = True  # another stream finds the same problems

    return Dataset(photos, tuple(classes), stream, problems)


def _fits(photos: Path | None, labels: Prediction, problems: Problems) -> bool:
    if photos is None:
        return True
    return fits_photo(photos / labels.photo, labels.width, labels.height, problems)


def _elements(file: Path) -> Iterator[Element]:
    """Labels and images, one after the other; nothing is kept of those before."""
    try:
        with open_file(file) as data:
            for event, element in ElementTree.iterparse(data, events=("start", "end")):
                if event == "start":
                    if element.tag == "track":
                        raise UserError(
                            f"{file} is CVAT's XML for videos: export the task as 'CVAT for images'"
                        )
                elif element.tag in ("label", "image"):
                    yield element
                    element.clear()
    except (OSError, ValueError, LookupError, ElementTree.ParseError) as error:
        raise UserError(f"{file} is not XML that can be read ({error})") from error


def _labels(
    image: Element, photo: str, file: Path, classes: Mapping[str, int], problems: Problems
) -> Prediction | None:
    width, height = (whole_number(image.get(side, "")) for side in ("width", "height"))
    place = f"{file}, {photo}"
    if not width or not height or min(width, height) < 1 or width * height > images.MAX_PIXELS:
        problems.note("images without a usable width and height, left out", place)
        return None
    regions = []
    for shape in image:
        if shape.tag in _OTHERS or shape.get("rotation", "0").strip("0.") != "":
            problems.note("shapes that are not areas, or turned boxes, left out", place)
            continue
        try:
            regions.append(_region(shape, (height, width), classes))
        except (ValueError, OverflowError) as error:
            problems.note("shapes that cannot be read, left out", f"{place}: {shape.tag}, {error}")
    return Prediction(photo, "", width, height, tuple(regions), 0, "")


def _region(shape: Element, size: Size, classes: Mapping[str, int]) -> Region:
    """Raises ValueError."""
    read = _SHAPES.get(shape.tag)
    if read is None:
        raise ValueError("expected a mask, a box, a polygon or an ellipse")
    rle = read(shape, size)
    if rle is None or not rle_area(rle):
        raise ValueError("it has no pixel in its photo")
    label = shape.get("label", "")
    if label not in classes:
        raise ValueError("it has no label")
    is_box = shape.tag == "box"
    return Region(rle, rle_box(rle), rle_area(rle), 1.0, classes[label], is_box=is_box)


def _numbers(shape: Element, *names: str) -> list[float]:
    numbers = [float(shape.get(name, "")) for name in names]
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a coordinate is not a finite number")
    return numbers


def _box(shape: Element, size: Size) -> Rle | None:
    left, top, right, bottom = _numbers(shape, "xtl", "ytl", "xbr", "ybr")
    return filled_box(left, top, right, bottom, size)


def _polygon(shape: Element, size: Size) -> Rle:
    pairs = [pair.split(",") for pair in shape.get("points", "").split(";") if pair.strip()]
    points = np.array([[float(n) for n in pair] for pair in pairs], dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise ValueError(f"{len(pairs)} corners")
    if not np.isfinite(points).all() or np.abs(points).max() > 1e7:
        raise ValueError("a corner is not two finite numbers near its photo")
    return encode_rle(fill_polygons([points], height=size[0], width=size[1]))


def _ellipse(shape: Element, size: Size) -> Rle:
    x, y, radius_x, radius_y = _numbers(shape, "cx", "cy", "rx", "ry")
    if radius_x <= 0 or radius_y <= 0:
        raise ValueError("a radius is not above 0")
    rows, columns = np.ogrid[: size[0], : size[1]]
    inside: Mask = ((columns + 0.5 - x) / radius_x) ** 2 + ((rows + 0.5 - y) / radius_y) ** 2 <= 1
    return encode_rle(inside)


def _mask(shape: Element, size: Size) -> Rle:
    left, top, width, height = (
        whole_number(shape.get(name, "")) for name in ("left", "top", "width", "height")
    )
    if left is None or top is None or width is None or height is None:
        raise ValueError("its box is not four whole numbers")
    if min(left, top) < 0 or min(width, height) < 1:
        raise ValueError("its box does not lie in its photo")
    if left + width > size[1] or top + height > size[0]:
        raise ValueError("its box does not lie in its photo")
    runs = [whole_number(run) for run in shape.get("rle", "").split(",")]
    whole = np.zeros(size, dtype=np.bool_)
    known = [run for run in runs if run is not None]
    if len(known) < len(runs):
        raise ValueError("its rle has what is not a whole number")
    whole[top : top + height, left : left + width] = mask_of(known, height, width)
    return encode_rle(whole)


_SHAPES: dict[str, Callable[[Element, Size], Rle | None]] = {
    "box": _box,
    "polygon": _polygon,
    "ellipse": _ellipse,
    "mask": _mask,
}
