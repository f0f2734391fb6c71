"""VOC's XML of one photo: its size and its objects' boxes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from prelabel.data.dataset import Problems
from prelabel.data.records import Prediction, Region
from prelabel.storage.files import is_file, read_file
from prelabel_exporters.common import whole_number

_NOT_IN_XML = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Control characters, and lone surrogates (of names that are not UTF-8)."""


def annotation(prediction: Prediction, regions: Sequence[Region], names: Sequence[str]) -> bytes:
    """The XML, in UTF-8. Boxes are 1-based and include their last pixel: x 0 and width 10 are 1 to
    10."""
    size = {"width": prediction.width, "height": prediction.height, "depth": 3}
    root = Element("annotation")
    _texts(root, {"folder": PurePosixPath(prediction.photo).parent.name})
    _texts(root, {"filename": prediction.photo})
    _texts(SubElement(root, "source"), {"database": "prelabel"})
    _texts(SubElement(root, "size"), size)
    _texts(root, {"segmented": 1})
    for region, label in zip(regions, names, strict=True):
        item = SubElement(root, "object")
        _texts(item, {"name": " ".join(label.split()), "pose": "Unspecified"})
        _texts(item, {"truncated": 0, "difficult": 0})
        x, y, width, height = region.box
        box = {"xmin": x + 1, "ymin": y + 1, "xmax": x + width, "ymax": y + height}
        _texts(SubElement(item, "bndbox"), box)
    _indent(root, "\n")
    return f"{ElementTree.tostring(root, encoding='unicode')}\n".encode()


def read_document(file: Path, problems: Problems) -> Element | None:
    """The XML of a file; None, counted, for one that cannot be read."""
    try:
        return ElementTree.fromstring(read_file(file))
    except (OSError, ValueError, LookupError, ElementTree.ParseError) as error:
        problems.note("annotations that cannot be read, left out", f"{file}: {error}")
        return None


def read_annotation(
    file: Path, default: str, problems: Problems
) -> tuple[str, tuple[int, int] | None]:
    """The photo's name (``default`` if the file does not say one that fits), and its width and
    height, None if the file does not say them."""
    root = read_document(file, problems) if is_file(file) else None
    return (default, None) if root is None else photo_and_size(root, file, default, problems)


def photo_and_size(
    root: Element, file: Path, default: str, problems: Problems
) -> tuple[str, tuple[int, int] | None]:
    """Like ``read_annotation``, of a file that was read."""
    sides = (root.findtext("size/width", "0"), root.findtext("size/height", "0"))
    width, height = (whole_number(side.strip() or 0) for side in sides)
    size = None
    if width is None or height is None or min(width, height) < 0:
        stated = f"{sides[0]!r} × {sides[1]!r}"
        problems.note("annotations whose size cannot be read", f"{file}: {stated}")
    elif not width or not height:
        problems.note("annotations that do not state the photo's size", str(file))
    else:
        size = (width, height)
    name = root.findtext("filename") or default
    return _photo(name, default.removesuffix(".jpg")) or default, size


def _photo(name: str, stem: str) -> str:
    """The photo that an annotation called ``stem`` names; "" if it names another one."""
    own = name.rpartition(".")[0]
    if own == stem or stem.startswith(f"{own}."):
        return name
    # VOC's own annotations give the file's name without its folder; others a path of their own.
    last = PurePosixPath(name.replace("\\", "/")).name
    place = PurePosixPath(stem)
    return (place.parent / last).as_posix() if PurePosixPath(last).stem == place.name else ""


def _texts(parent: Element, texts: Mapping[str, object]) -> None:
    """Add children with these names and texts."""
    for name, text in texts.items():
        sound = _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", str(text))
        SubElement(parent, name).text = sound


def _indent(element: Element, line: str) -> None:
    # ElementTree.indent leaves 1 kB to the garbage collector, which may run thousands of photos later.
    if len(element):
        element.text = f"{line}  "
        for child in element:
            _indent(child, f"{line}  ")
            child.tail = f"{line}  "
        element[-1].tail = line
