"""Formats that the labelformat package writes: YOLO's polygons, and boxes.

The package is in the extra ``labelformat``. It writes more formats, but only from a whole dataset in
memory; its own command converts COCO to them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from prelabel import extras
from prelabel.data.dataset import Dataset, ExportContext
from prelabel.data.records import Prediction
from prelabel.storage.files import replacing_files


@dataclass(frozen=True)
class YoloSeg:
    """YOLO's segmentation format (v8 and later), which Ultralytics trains with as it is.

    Written and read are ``data.yaml``, lists of photos, and a text file for each photo. A photo ``a/x.jpg`` has the file ``labels/a/x.txt`` with a line for each region: its class, and a
    polygon in fractions of width and height. The file of a photo without regions is empty. The photos
    belong into ``images/`` in the same folder: make a link to their folder there, or set ``images``.

    A region has one polygon without holes: holes are filled, or cut open; separate parts are joined by
    lines without width. All are counted. Crowds, regions without a class, and photos whose label file
    another photo already has are left out and counted.

    Read are polygons and boxes, of a folder or a ``data.yaml``: names as list or dictionary, photos
    as folders or lists, each split. Without a ``data.yaml``, ``classes.txt`` or ``obj.names`` names
    the classes. Photos that are not there have no size, and are left out and counted.

    Raises UserError if labelformat is missing, for a region whose class the context does not name,
    and for a photo whose name leads out of the folder.

    Attributes:
        tolerance: how far a polygon may be from the outline, in pixels; ≥ 0, 0 is exact.
        holes: ``fill`` them, or ``cut`` the region into parts without holes.
        images: ``link`` or ``copy`` puts the photos into ``images/``, ``none`` does not.
        val_share: share of the photos in ``val.txt``; in [0, 1]. The list of a photo depends only on
            its name and the seed. With 0, ``train`` and ``val`` are both the folder ``images/``.
        seed: seed of that choice.
        photos: for reading, the folder that the photos are in, if it is another.
    """

    tolerance: Annotated[float, Field(ge=0)] = 1.0
    holes: Literal["fill", "cut"] = "fill"
    images: Literal["none", "link", "copy"] = "none"
    val_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    seed: int = 0
    photos: str = ""

    def __post_init__(self) -> None:
        _check_installed()

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        from prelabel_exporters.labelformat.labels import write_polygons
        from prelabel_exporters.labelformat.layout import Layout

        with replacing_files(folder) as beside:
            layout = Layout(beside, context, self.images, self.val_share, self.seed)
            write_polygons(
                layout.watch(predictions),
                beside,
                context,
                tolerance=self.tolerance,
                cuts_holes=self.holes == "cut",
            )
            layout.close()
        return folder / "data.yaml"

    def recognizes(self, source: Path) -> bool:
        """A ``data.yaml`` with names and splits, or a folder with YOLO's labels."""
        from prelabel_exporters.labelformat.source import find_source

        return find_source(source) is not None

    def read(self, source: Path) -> Dataset:
        """The labels of such a folder or file."""
        from prelabel_exporters.labelformat.reader import read_yolo

        return read_yolo(source, Path(self.photos) if self.photos else None)


@dataclass(frozen=True)
class Boxes:
    """Boxes in a detection format; the regions' masks are lost.

    Crowds, regions without a class, and photos whose label file another photo already has are left
    out and counted. Raises UserError in the same cases as ``yolo-seg``.

    Attributes:
        format: ``yolo`` (as ``yolo-seg``, v5 and later), ``kitti`` or ``lightly`` (a file for each
            photo).
        images: of ``yolo``, as in ``yolo-seg``; likewise the rest.
        val_share: share of the photos in ``val.txt``.
        seed: seed of that choice.
    """

    format: Literal["yolo", "kitti", "lightly"] = "yolo"
    images: Literal["none", "link", "copy"] = "none"
    val_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        _check_installed()

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        from prelabel_exporters.labelformat.labels import write_boxes
        from prelabel_exporters.labelformat.layout import Layout

        with replacing_files(folder) as beside:
            if self.format != "yolo":
                write_boxes(predictions, beside, context, kind=self.format)
                return folder
            layout = Layout(beside, context, self.images, self.val_share, self.seed)
            write_boxes(layout.watch(predictions), beside, context, kind=self.format)
            layout.close()
        return folder


def _check_installed() -> None:
    """Raises UserError if labelformat is missing."""
    with extras.required("labelformat"):
        from prelabel_exporters.labelformat import labels  # noqa: F401
