"""CVAT's XML for images: one file with all photos, their masks and boxes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from prelabel.data.colors import class_color
from prelabel.data.dataset import Dataset, ExportContext
from prelabel.data.records import Prediction, Region
from prelabel.storage.files import replacing_files
from prelabel_exporters.common import category_ids, class_name, text_file, without_class
from prelabel_exporters.cvat.reader import FILE, is_cvat, read_cvat
from prelabel_exporters.cvat.runs import runs_of

_NOT_IN_XML = dict.fromkeys([*range(32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], "\ufffd")


@dataclass(frozen=True)
class Cvat:
    """CVAT's XML for images (version 1.1): writes and reads ``annotations.xml``.

    Written is a ``mask`` for each region, a ``box`` where only the box is known. Read are masks,
    boxes, polygons and ellipses; other shapes, and boxes that are turned, are left out and counted.
    Crowds, void and regions without a class are left out and counted.

    Raises UserError for a region whose class the context does not name.

    Attributes:
        photos: for reading, the folder that the names are relative to.
    """

    photos: str = ""

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        with replacing_files(folder) as beside, text_file(beside / FILE) as out:
            out.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
            out.write("<version>1.1</version>\n")
            out.write(_xml(_meta(context)))
            for number, prediction in enumerate(predictions):
                out.write(_xml(_image(number, prediction, context)))
            out.write("</annotations>\n")
        return folder / FILE

    def recognizes(self, source: Path) -> bool:
        """Such a file, or a folder with ``annotations.xml``."""
        file = source / FILE if source.is_dir() else source
        return file.suffix.lower() == ".xml" and is_cvat(file)

    def read(self, source: Path) -> Dataset:
        """The labels of such a file or folder."""
        file = source / FILE if source.is_dir() else source
        return read_cvat(file, Path(self.photos) if self.photos else None)


def _image(number: int, prediction: Prediction, context: ExportContext) -> Element:
    size = {"width": str(prediction.width), "height": str(prediction.height)}
    image = Element("image", {"id": str(number), "name": _sound(prediction.photo), **size})
    for place, region in enumerate(prediction.regions):
        if region.crowd and region.cluster >= 0:
            context.problems.note("crowds left out", prediction.photo)
        elif not without_class(region, prediction, context):
            label = _sound(class_name(region, prediction, context))
            kind, shape = _shape(region)
            shared = {"label": label, "occluded": "0", "z_order": str(place)}
            SubElement(image, kind, {**shared, **shape})
    return image


def _meta(context: ExportContext) -> Element:
    meta = Element("meta")
    labels = SubElement(SubElement(meta, "task"), "labels")
    for name, number in category_ids(context).items():
        label = SubElement(labels, "label")
        SubElement(label, "name").text = _sound(name)
        color = "#{:02x}{:02x}{:02x}".format(*class_color(number - 1))
        SubElement(label, "color").text = color
    return meta


def _shape(region: Region) -> tuple[str, dict[str, str]]:
    x, y, width, height = region.box
    if region.is_box:
        return "box", {
            "xtl": f"{x:.2f}",
            "ytl": f"{y:.2f}",
            "xbr": f"{x + width:.2f}",
            "ybr": f"{y + height:.2f}",
        }
    runs = runs_of(region.mask[y : y + height, x : x + width])
    place = {"left": str(x), "top": str(y), "width": str(width), "height": str(height)}
    return "mask", {"rle": ", ".join(map(str, runs)), **place}


def _xml(element: Element) -> str:
    return f"{ElementTree.tostring(element, encoding='unicode')}\n"


def _sound(text: str) -> str:
    """Text without what XML cannot hold."""
    return text.translate(_NOT_IN_XML)
