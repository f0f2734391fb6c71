"""VOC's XML of one photo: its size and its objects' boxes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from xml.etree import ElementTree

from prelabel.data.records import Prediction, Region

_NOT_IN_XML = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Control characters, and lone surrogates (names that are no UTF-8)."""


def annotation(prediction: Prediction, regions: Sequence[Region], names: Sequence[str]) -> bytes:
    """UTF-8. Boxes are 1-based and hold their last pixel: x 0 and width 10 are 1 to 10."""
    root = ElementTree.Element("annotation")
    _text(root, "folder", PurePosixPath(prediction.photo).parent.name)
    _text(root, "filename", prediction.photo)
    _text(ElementTree.SubElement(root, "source"), "database", "prelabel")
    size = ElementTree.SubElement(root, "size")
    for name, value in (("width", prediction.width), ("height", prediction.height), ("depth", 3)):
        _text(size, name, str(value))
    _text(root, "segmented", "1")
    for region, label in zip(regions, names, strict=True):
        item = ElementTree.SubElement(root, "object")
        for name, text in (
            ("name", " ".join(label.split())),
            ("pose", "Unspecified"),
            ("truncated", "0"),
            ("difficult", "0"),
        ):
            _text(item, name, text)
        x, y, width, height = region.box
        box = ElementTree.SubElement(item, "bndbox")
        for name, value in zip(
            ("xmin", "ymin", "xmax", "ymax"), (x + 1, y + 1, x + width, y + height), strict=True
        ):
            _text(box, name, str(value))
    _indent(root, "\n")
    written: str = ElementTree.tostring(root, encoding="unicode")
    return f"{written}\n".encode()


def _indent(element: ElementTree.Element, line: str) -> None:
    # ElementTree's own leaves 1 kB to the garbage collector, which may come thousands of photos late.
    if len(element):
        element.text = f"{line}  "
        for child in element:
            _indent(child, f"{line}  ")
            child.tail = f"{line}  "
        element[-1].tail = line


def _text(parent: ElementTree.Element, name: str, text: str) -> None:
    sound = _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)
    ElementTree.SubElement(parent, name).text = sound
