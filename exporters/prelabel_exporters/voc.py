"""PASCAL VOC's SegmentationClass: one palette PNG per photo, a pixel's value is its class."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from prelabel.colors import voc_color
from prelabel.errors import UserError
from prelabel.masks import decode_rle
from prelabel.records import Prediction
from prelabel.strategies import ExportContext
from prelabel_exporters.common import category_ids, class_name, replacing

FOLDER = "SegmentationClass"
LABELS = "labels.txt"
MAX_CLASSES = 254
"""Values are 8 bits; 0 is background and 255 VOC's void."""

_PALETTE = [channel for value in range(256) for channel in voc_color(value)]


@dataclass(frozen=True)
class Voc:
    """Writes ``SegmentationClass/`` and, beside it, ``labels.txt``.

    - A photo ``a/x.jpg`` becomes ``SegmentationClass/a/x.png``, of the EXIF-oriented photo's size,
      with VOC's palette; one without regions is all background. If ``a/x.png`` is a photo too, the
      one that comes second keeps its whole name: ``a/x.png.png``.
    - A pixel's value is its region's class id + 1, 0 for background; classes of one name share the
      first's value. Where regions overlap, the higher score wins.
    - ``labels.txt`` has a line for each value: the value, a tab, the name (white space in it as
      single spaces).
    - PNGs of an earlier export are replaced once all are written; other files are left alone.

    Raises UserError for more than 254 classes, a region whose class the context does not name, and
    a photo whose name leads out of the folder.
    """

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        if len(context.classes) > MAX_CLASSES:
            raise UserError(
                f"VOC's masks hold at most {MAX_CLASSES} classes, found {len(context.classes)}: "
                "use fewer classes, or another format"
            )
        ids = category_ids(context)
        # A fixed name, so that what a killed run leaves is cleared away by the next.
        beside = folder / f".{FOLDER}.part"
        shutil.rmtree(beside, ignore_errors=True)
        try:
            beside.mkdir()
            for prediction in predictions:
                image = Image.fromarray(_values(prediction, ids, context))
                image.putpalette(_PALETTE)
                image.save(_free_file(beside, prediction.photo), format="PNG")
            with replacing(folder / LABELS) as labels:
                labels.write("0\tbackground\n")
                for name, value in ids.items():
                    labels.write(f"{value}\t{' '.join(name.split())}\n")
            _move(beside, folder / FOLDER)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return folder / FOLDER


def _values(
    prediction: Prediction, ids: Mapping[str, int], context: ExportContext
) -> NDArray[np.uint8]:
    """uint8 (height, width): each pixel's category id, or 0."""
    values = np.zeros((prediction.height, prediction.width), dtype=np.uint8)
    for region in sorted(prediction.regions, key=lambda region: region.score):
        values[decode_rle(region.rle)] = ids[class_name(region, prediction, context)]
    return values


def _free_file(root: Path, photo: str) -> Path:
    """The PNG for a photo, in a folder that exists. Asks the disk, as it knows equal names best."""
    name = PurePosixPath(photo)
    if name.is_absolute() or ".." in name.parts:
        raise UserError(f"{photo}: leads out of the folder of photos, wanted a name inside it")
    parent = root / name.parent
    parent.mkdir(parents=True, exist_ok=True)
    file, whole = parent / f"{name.stem}.png", f"{name.name}.png"
    while file.exists():
        file, whole = parent / whole, f"_{whole}"
    return file


def _move(source: Path, target: Path) -> None:
    """Every file below ``source`` to its place below ``target``, one rename each."""
    for folder, _, names in os.walk(source):
        place = target / Path(folder).relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            Path(folder, name).replace(place / name)
