"""Formats that the labelformat package writes: YOLO's polygons, and boxes.

The package is in the extra ``labelformat``. It writes other formats, such as CVAT's, only from a
whole dataset in memory; these are not here, but its own command converts COCO to them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prelabel import extras
from prelabel.data.dataset import ExportContext
from prelabel.data.records import Prediction
from prelabel.storage.files import replacing_files


@dataclass(frozen=True)
class YoloSeg:
    """YOLO's segmentation format (v8 and later): ``data.yaml`` and a text file for each photo.

    A photo ``a/x.jpg`` has the file ``labels/a/x.txt`` with a line for each region: its class, and a
    polygon in fractions of width and height. The file of a photo without regions is empty. Training
    expects the photos in ``images/`` in the same folder: make a link to their folder there.

    A region has one polygon without holes: holes are filled, and separate parts are joined by lines
    without width. Both are counted. Crowds, regions without a class, and photos whose label file
    another photo already has are left out and counted.

    Raises UserError if labelformat is missing, for a region whose class the context does not name,
    and for a photo whose name leads out of the folder.

    Attributes:
        tolerance: how far a polygon may be from the outline, in pixels; ≥ 0, 0 is exact.
    """

    tolerance: float = 1.0

    def __post_init__(self) -> None:
        _check_installed()

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        from prelabel_exporters.labelformat.labels import write_polygons

        with replacing_files(folder) as beside:
            write_polygons(predictions, beside, context, tolerance=self.tolerance)
        return folder / "data.yaml"


@dataclass(frozen=True)
class Boxes:
    """Boxes in a detection format; the regions' masks are lost.

    Crowds, regions without a class, and photos whose label file another photo already has are left
    out and counted. Raises UserError in the same cases as ``yolo-seg``.

    Attributes:
        format: ``yolo`` (data.yaml and labels/, v5 and later), ``kitti`` or ``lightly`` (a file for
            each photo).
    """

    format: Literal["yolo", "kitti", "lightly"] = "yolo"

    def __post_init__(self) -> None:
        _check_installed()

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        from prelabel_exporters.labelformat.labels import write_boxes

        with replacing_files(folder) as beside:
            write_boxes(predictions, beside, context, kind=self.format)
        return folder


def _check_installed() -> None:
    """Raises UserError if labelformat is missing."""
    with extras.required("labelformat"):
        from prelabel_exporters.labelformat import labels  # noqa: F401
