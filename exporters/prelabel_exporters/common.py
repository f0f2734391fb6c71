"""What the exporters share: text files, ids, categories, and the names of files."""

from __future__ import annotations

import codecs
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TextIO

from prelabel.data import images
from prelabel.data.dataset import ExportContext, Problems
from prelabel.data.masks import Rle, box_rle
from prelabel.data.records import Prediction, Region
from prelabel.errors import PhotoError, UserError
from prelabel.storage.files import is_file, read_file


def text_file(file: Path) -> TextIO:
    """A new text file to write: UTF-8, with the same line ends on every system."""
    return file.open("w", encoding="utf-8", newline="\n")


_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which it starts with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text(file: Path) -> str:
    """A text file with ``\\n`` for all line ends: in UTF-8, where bytes that are not are kept as lone
    surrogates, or in what its byte order mark says. Raises UserError, as for a file in an
    encoding that it is not in."""
    try:
        return decode_text(read_file(file)).replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{file} cannot be read ({reason})") from error


def decode_text(data: bytes) -> str:
    """Like ``read_text``, of bytes, line ends as they are. Raises UnicodeDecodeError."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "surrogateescape")
    return data.decode("utf-8", "surrogateescape")


def whole_number(value: object) -> int | None:
    """The whole number that a value certainly is, as others write them: 640, 640.0 or "640"; None
    for all else, booleans too."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}(\.0*)?\s*", value, re.ASCII):
        return int(value.partition(".")[0])
    return int(value) if isinstance(value, float) and value.is_integer() else None


class JsonList:
    """Writes a JSON list into ``out`` item by item, one to a line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._separator = "[\n"

    def append(self, item: Mapping[str, object]) -> None:
        self._out.write(self._separator + json.dumps(item))
        self._separator = ",\n"

    def close(self) -> None:
        self._out.write("[]" if self._separator == "[\n" else "\n]")


def stable_id(*parts: str, size: int) -> bytes:
    """``size`` bytes that depend only on the parts, whose text may be of bytes that are not UTF-8."""
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=size).digest()


def split_of(photo: str, val_share: float, seed: int) -> str:
    """The list that a photo is in, "val" or "train"; it depends only on its name and the seed."""
    number = int.from_bytes(stable_id(str(seed), photo, size=8)) / 2**64
    return "val" if number < val_share else "train"


def category_ids(context: ExportContext) -> dict[str, int]:
    """Each class's name with its category id: class id + 1, in class order.

    Classes that were given one name are one category, under the first one's id.
    """
    ids: dict[str, int] = {}
    for index, name in enumerate(context.classes):
        ids.setdefault(name, index + 1)
    return ids


def coco_ids(context: ExportContext) -> dict[str, int]:
    """Each class's name with its number in COCO: the one it was given, else as ``category_ids``, or
    the next that no other class has."""
    ids = category_ids(context)
    found: dict[str, int] = {}
    for name in ids:
        number = context.category_ids.get(name)
        if number is None:
            continue
        if number in found.values():
            context.problems.note(
                "classes whose category another class has too, numbered anew", f"{name}: {number}"
            )
        else:
            found[name] = number
    for name, number in ids.items():
        if name not in found:
            while number in found.values():
                number += 1
            found[name] = number
    return {name: found[name] for name in ids}


def class_name(region: Region, prediction: Prediction, context: ExportContext) -> str:
    """The name of a region's class. Raises UserError if the context has no such class."""
    if not 0 <= region.cluster < len(context.classes):
        raise UserError(
            f"{prediction.photo}: a region is of class {region.cluster}, but there are "
            f"{len(context.classes)} classes (from 0): export with the model that predicted it"
        )
    return context.classes[region.cluster]


def without_class(region: Region, prediction: Prediction, context: ExportContext) -> bool:
    """Whether a region has no class. Formats that need one leave it out, which is counted."""
    if region.cluster != -1:
        return False
    kind = "void regions" if region.crowd else "regions without a class"
    context.problems.note(f"{kind}, left out", prediction.photo)
    return True


def note_box(region: Region, prediction: Prediction, context: ExportContext) -> None:
    """Count a region of which only the box is known, in a format of masks."""
    if region.is_box:
        context.problems.note("boxes without a mask, written as filled boxes", prediction.photo)


def filled_box(
    left: float, top: float, right: float, bottom: float, size: Sequence[int]
) -> Rle | None:
    """The mask of a box in a photo of ``size`` (height, width): its sides, in pixels, are rounded, and
    what is outside is cut off. None where no pixel is left; a box that is thinner than a pixel has
    the one that it is in. None as well for sides that are not finite numbers."""
    if not all(map(math.isfinite, (left, top, right, bottom))):
        return None
    height, width = size
    x, end_x = _whole_side(left, right, width)
    y, end_y = _whole_side(top, bottom, height)
    if x >= end_x or y >= end_y:
        return None
    return box_rle((x, y, end_x - x, end_y - y), height=height, width=width)


def _whole_side(begin: float, end: float, length: int) -> tuple[int, int]:
    """Two sides as whole pixels inside a photo; of equal ones, none."""
    begin, end = max(begin, 0.0), min(end, float(length))
    if begin >= end:
        return 0, 0
    first, last = round(begin), round(end)
    return (first, last) if first < last else (math.floor(begin), math.floor(begin) + 1)


def in_front(region: Region) -> tuple[bool, float, int]:
    """Sorts overlapping regions from back to front: crowds at the back, then by score; of equal
    scores the larger region is behind."""
    return not region.crowd, region.score, -region.area


def fits_photo(file: Path, width: int, height: int, problems: Problems) -> bool:
    """Whether a photo has the size of its labels, as far as can be known: a photo that is missing or
    cannot be read is taken to fit. Both that and another size are counted."""
    try:
        found = images.read_size(file)
    except PhotoError as error:
        reason = "is not there" if not is_file(file) else str(error)
        problems.note("photos that cannot be read, their labels kept", f"{file} {reason}")
        return True
    if found != (width, height):
        problems.note(
            "labels of another size than their photo, left out",
            f"{file}: {found[0]} × {found[1]} upright, its labels {width} × {height}",
        )
    return found == (width, height)


def inside_folder(photo: str) -> PurePosixPath:
    """A photo's name as a path. Raises UserError for a name that leads out of the folder."""
    name = PurePosixPath(photo)
    if name.is_absolute() or ".." in name.parts:
        raise UserError(f"{photo}: leads out of the folder of photos, expected a name inside it")
    return name


def free_file(root: Path, photo: str) -> Path:
    """A path for a photo's PNG that no other photo has; its folder is made.

    The disk decides which names are equal, as letter case may count or not. Raises UserError for a
    name that leads out of the folder."""
    name = inside_folder(photo)
    parent = root / name.parent
    parent.mkdir(parents=True, exist_ok=True)
    file, whole = parent / f"{name.stem}.png", f"{name.name}.png"
    while file.exists():
        file, whole = parent / whole, f"_{whole}"
    return file
