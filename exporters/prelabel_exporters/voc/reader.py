"""Reading PASCAL VOC's segmentation folders; Voc's docstring says what is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data import images
from prelabel.data.colors import voc_color
from prelabel.data.dataset import Dataset, Problems
from prelabel.data.masks import encode_rle, rle_area, rle_box
from prelabel.data.records import Prediction, Region
from prelabel.errors import PhotoError, UserError
from prelabel_exporters.common import fits_photo

VOID = 255
VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
"""VOC's own, value 1 to 20, where a folder has no list of labels."""
Values = NDArray[np.integer[Any]]
_PALETTE = {",".join(map(str, voc_color(value))): value for value in range(256)}


@dataclass(frozen=True)
class _Labels:
    """``names``: by value, from 1. ``colors``: the value of each color (``r,g,b``) in RGB masks."""

    names: dict[int, str]
    colors: dict[str, int]


def is_voc(source: Path) -> bool:
    """Whether a folder, or its VOCdevkit/VOC…, has masks of classes."""
    return source.is_dir() and _root(source) is not None


def read_voc(source: Path) -> Dataset:
    """The labels of such a folder. Raises UserError."""
    root = _root(source)
    if root is None:
        raise UserError(f"{str(source)!r} has no SegmentationClass/: a folder as VOC's wanted")
    problems = Problems()
    known = _labels(root, problems)
    names = known.names
    classes = tuple(names.get(value, f"object {value}") for value in range(1, max(names) + 1))
    state = {"problems": problems}
    folder = root / "JPEGImages"
    photos = folder if folder.is_dir() else None

    def stream() -> Iterator[Prediction]:
        for name in _ids(root):
            labels = _photo(root, photos, name, known, state["problems"])
            if labels is not None:
                yield labels
        state["problems"] = Problems()  # once: a second stream finds the same again

    return Dataset(photos, classes, stream, problems)


def _root(source: Path) -> Path | None:
    for folder in (source, *sorted(source.glob("VOCdevkit/VOC*")), *sorted(source.glob("VOC*"))):
        if (folder / "SegmentationClass").is_dir():
            return folder
    return None


def _ids(root: Path) -> Iterator[str]:
    """What the lists name, in their order; without lists, every PNG."""
    lists = root / "ImageSets" / "Segmentation"
    named = [file for file in (lists / "trainval.txt",) if file.is_file()]
    named = named or sorted(lists.glob("*.txt"))
    if not named:
        folder = root / "SegmentationClass"
        for file in sorted(folder.rglob("*.png")):
            yield file.relative_to(folder).with_suffix("").as_posix()
        return
    seen: set[str] = set()
    for file in named:
        with file.open(encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                if (name := line.strip()) and name not in seen:
                    seen.add(name)
                    yield name


def _labels(root: Path, problems: Problems) -> _Labels:
    """What the folder's list of labels says. Raises UserError."""
    own, common, labelme = (root / f"{n}.txt" for n in ("labels", "labelmap", "class_names"))
    colors = _PALETTE
    try:
        if own.is_file():
            pairs = (line.split("\t", 1) for line in own.read_text("utf-8").splitlines() if line)
            found = {int(value): name for value, name in pairs}
        elif labelme.is_file():
            found = dict(
                enumerate(line.strip() for line in labelme.read_text("utf-8").splitlines())
            )
        elif common.is_file():
            lines = [line for line in common.read_text("utf-8").splitlines() if line.strip()]
            found, colors = _mapped([line for line in lines if not line.startswith("#")])
        else:
            found = dict(enumerate(VOC_CLASSES, start=1))
            problems.note("folders without a list of labels, VOC's own 20 names taken", str(root))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{next(f for f in (own, labelme, common) if f.is_file())} is no list of labels ({error})"
            ": for labels.txt a line for each value, the value, a tab and the name"
        ) from error
    found = {value: name for value, name in found.items() if 0 < value < VOID}
    if not found:
        raise UserError(f"{root}: its list of labels names no class")
    return _Labels(found, colors)


def _mapped(lines: Sequence[str]) -> tuple[dict[int, str], dict[str, int]]:
    """Names by value, and values by color, of labelmap.txt's lines: by their colors, if all are
    different ones of VOC's palette, else by their places."""
    pairs = [line.split(":")[:2] for line in lines]
    own = [color.replace(" ", "") for _, color in pairs]
    values = [_PALETTE.get(color, -1) for color in own]
    colors = _PALETTE
    if -1 in values or len(set(values)) < len(values):
        # By their places, where background is 0 wherever it stands.
        names = [name.strip("_ ").casefold() for name, _ in pairs]
        ground = names.index("background") if "background" in names else 0
        order = sorted(range(len(pairs)), key=lambda i: (i != ground, i))
        values = [order.index(i) for i in range(len(pairs))]
        if any(own):  # datumaro leaves them out where they are the palette's
            ends = {color: value for color, value in _PALETTE.items() if value in (0, VOID)}
            colors = ends | dict(reversed(list(zip(own, values, strict=True))))
    return {value: name for value, (name, _) in zip(values, pairs, strict=True)}, colors


def _photo(
    root: Path, photos: Path | None, name: str, labels: _Labels, problems: Problems
) -> Prediction | None:
    """The labels of one photo, or None where its masks cannot be used."""
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
        problems.note("names in lists that lead out of the folder, left out", f"{root}: {name!r}")
        return None
    file = root / "SegmentationClass" / f"{name}.png"
    classes = _values(file, lambda color: labels.colors.get(color, -1), problems)
    if classes is None:
        return None
    objects_file = root / "SegmentationObject" / f"{name}.png"
    objects: Values | None = None
    if objects_file.is_file():
        objects = _values(objects_file, _object_number, problems)
        if objects is not None and objects.shape != classes.shape:
            problems.note("masks of objects and classes of two sizes, left out", str(objects_file))
            return None
    else:
        problems.note("photos without SegmentationObject: connected parts are objects", str(file))
    photo, size = _stated(root / "Annotations" / f"{name}.xml", f"{name}.jpg", problems)
    height, width = classes.shape
    if size is not None and size != (width, height):
        place = f"{file}: {width} × {height}, stated {size[0]} × {size[1]}"
        problems.note("masks of another size than their photo, left out", place)
        return None
    if photos is not None:
        photo = _there(photos, photo, name)
        if not fits_photo(photos / photo, width, height, problems):
            return None
    beyond = ~np.isin(classes, [0, VOID, *labels.names])
    if beyond.any():
        problems.note("masks with values beyond the classes, taken as background", str(file))
        classes = np.where(beyond, 0, classes)
    if objects is not None and np.isin(objects, [0, VOID])[~np.isin(classes, [0, VOID])].any():
        problems.note("masks with pixels of a class but no object, left out", str(objects_file))
    regions = _regions(classes, objects)
    inside = sum(region.area for region in regions if not region.crowd)
    return Prediction(photo, "", width, height, tuple(regions), inside / (width * height), 0, "")


def _there(photos: Path, photo: str, name: str) -> str:
    """The photo's name in its folder: the XML's, or another ending's that is there."""
    names = (photo, *(f"{name}{ending}" for ending in (".jpg", ".jpeg", ".png")))
    return next((other for other in names if (photos / other).is_file()), photo)


def _regions(classes: Values, objects: Values | None) -> list[Region]:
    """Objects in their order, and void as a crowd without a class."""
    if objects is None:
        objects = np.zeros(classes.shape, dtype=np.int64)
        for value in np.unique(classes[(classes != 0) & (classes != VOID)]):
            _, parts = cv2.connectedComponents((classes == value).astype(np.uint8), connectivity=8)
            objects = np.where(parts > 0, parts + objects.max(), objects)
    else:
        objects = np.where(objects == VOID, 0, objects)
    void = classes == VOID
    found = []
    for number in np.unique(objects[(objects != 0) & ~void]):
        mask = (objects == number) & ~void & (classes != 0)
        if mask.any():
            value = int(np.bincount(classes[mask]).argmax())
            found.append(_region(mask, value - 1, crowd=False))
    if void.any():
        found.append(_region(void, -1, crowd=True))
    return found


def _region(mask: NDArray[np.bool_], cluster: int, *, crowd: bool) -> Region:
    rle = encode_rle(mask)
    return Region(rle, rle_box(rle), rle_area(rle), 1.0, cluster, crowd)


def _values(file: Path, value_of: Callable[[str], int], problems: Problems) -> Values | None:
    """Integers (height, width) of a palette or grey PNG, or of one in colors (CVAT's, datumaro's)."""
    try:
        with file.open("rb") as data, images.opened(data, ("PNG",)) as image:
            if image.mode in ("P", "L"):
                return np.array(image, dtype=np.uint8)
            if image.mode in ("1", "I", "I;16"):
                return np.array(image, dtype=np.int64)
            if image.mode not in ("RGB", "RGBA"):
                raise ValueError(f"its mode is {image.mode}, wanted a palette or RGB")
            pixels = np.array(image.convert("RGB"), dtype=np.int64)
    except (OSError, ValueError, SyntaxError, PhotoError) as error:
        reason = "is not there" if isinstance(error, FileNotFoundError) else str(error)
        problems.note("masks that cannot be read, left out", f"{file}: {reason}")
        return None
    packed = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    found, index = np.unique(packed, return_inverse=True)
    values = [value_of(f"{c >> 16},{c >> 8 & 255},{c & 255}") for c in found.tolist()]
    return np.array(values, dtype=np.int64)[index].reshape(packed.shape)


def _object_number(color: str) -> int:
    """The palette's place; any other color is a number too, beyond it."""
    red, green, blue = (int(channel) for channel in color.split(","))
    return _PALETTE.get(color, 256 + (red << 16 | green << 8 | blue))


def _stated(file: Path, default: str, problems: Problems) -> tuple[str, tuple[int, int] | None]:
    """The photo's name and size by its XML."""
    if not file.is_file():
        return default, None
    try:
        root = ElementTree.fromstring(file.read_bytes())
        size = (int(root.findtext("size/width", "")), int(root.findtext("size/height", "")))
    except (OSError, ValueError, ElementTree.ParseError) as error:
        problems.note("annotations that cannot be read, masks alone taken", f"{file}: {error}")
        return default, None
    name = root.findtext("filename") or default
    # VOC's own say the file's name alone.
    stem, own = default.removesuffix(".jpg"), name.rpartition(".")[0]
    return (name if own == stem or stem.startswith(f"{own}.") else default), size
