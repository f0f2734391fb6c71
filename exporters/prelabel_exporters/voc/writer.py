"""PASCAL VOC: palette PNGs of classes and objects, boxes as XML, lists of photos."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
from msgspec import structs
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from prelabel.data.colors import voc_color
from prelabel.data.dataset import Dataset, ExportContext
from prelabel.data.masks import Box, Mask, decode_rle
from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.storage.files import replacing_files
from prelabel_exporters.common import (
    category_ids,
    class_name,
    free_file,
    in_front,
    stable_id,
    text_file,
    without_class,
)
from prelabel_exporters.voc.annotation import annotation
from prelabel_exporters.voc.images import put_image
from prelabel_exporters.voc.reader import is_voc, read_voc

CLASSES, OBJECTS, BOXES, IMAGES, LISTS = (
    *("SegmentationClass", "SegmentationObject", "Annotations", "JPEGImages"),
    "ImageSets/Segmentation",
)
DEVKIT = "VOCdevkit/VOC2012"
LABELS, LABELMAP = "labels.txt", "labelmap.txt"
VOID = 255
MAX_CLASSES = 254
"""Values are 8 bits; 0 is background and 255 VOC's void."""

_PALETTE = [channel for value in range(256) for channel in voc_color(value)]


@dataclass(frozen=True)
class Voc:
    """PASCAL VOC: writes and reads the folders of its segmentation task.

    - A photo ``a/x.jpg`` is ``a/x`` in the lists: ``SegmentationClass/a/x.png`` and
      ``SegmentationObject/a/x.png``, of the EXIF-oriented photo's size, with VOC's palette, and
      ``Annotations/a/x.xml``, whose ``filename`` is the photo's name (in ``JPEGImages/``, where it
      was put there). If ``a/x.png`` is a photo too, the one that comes second keeps its whole name:
      ``a/x.png.png``.
    - A pixel's class is its region's class id + 1, 0 for background; classes of one name share the
      first's value. Its object is the region's place among those that can be seen, from 1. Where
      regions overlap, the higher score wins, of equal ones the smaller. Crowds and void are 255.
      Regions without a class, and those behind the 254th of a photo, are left out and counted, as
      are those of which no pixel can be seen. A box holds the pixels under the void border too.
    - ``labels.txt`` has a line for each value: the value, a tab, the name (white space in it as
      single spaces); ``labelmap.txt`` says the same as CVAT and datumaro do.
    - Files of an earlier export are replaced once all are written; others are left alone.

    Writing raises UserError for more than 254 classes, a region whose class the context does not
    name, and a photo whose name leads out of the folder.

    Attributes:
        images: ``link`` or ``copy`` puts the photos into ``JPEGImages/``, ``none`` leaves them where
            they are. One that is not a JPEG, or is rotated by EXIF, is written upright as a JPEG
            and counted.
        void_border: width in pixels of a line of 255 along the borders of objects, half of it on
            either side; ≥ 0. VOC's own has 5; of an odd width, the pixel in the middle goes right
            and down.
        val_share: the share of photos in ``val.txt``; in [0, 1]. Where a photo goes depends on its
            name and the seed alone, so that it stays there when others come.
        seed: of that choice.
        devkit: everything below ``VOCdevkit/VOC2012/``, where torchvision looks for it.
    """

    images: Literal["none", "link", "copy"] = "none"
    void_border: Annotated[int, Field(ge=0)] = 0
    val_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    seed: int = 0
    devkit: bool = False

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        if len(context.classes) > MAX_CLASSES:
            raise UserError(
                f"VOC's masks hold at most {MAX_CLASSES} classes, found {len(context.classes)}: "
                "use fewer classes, or another format"
            )
        root = folder / DEVKIT if self.devkit else folder
        root.mkdir(parents=True, exist_ok=True)
        ids = category_ids(context)
        with replacing_files(root) as beside:
            for name in (CLASSES, OBJECTS, BOXES, LISTS):
                (beside / name).mkdir(parents=True)
            with contextlib.ExitStack() as stack:
                lists = {
                    name: stack.enter_context(
                        (beside / LISTS / f"{name}.txt").open(
                            "w", encoding="utf-8", errors="surrogateescape", newline="\n"
                        )
                    )
                    for name in ("train", "val", "trainval")
                }
                for prediction in predictions:
                    name = self._add(prediction, beside, ids, context)
                    if len(name.splitlines()) != 1 or name != name.strip():
                        context.problems.note("names that no list can hold", repr(name))
                        continue
                    for chosen in ("trainval", self._side(prediction.photo)):
                        lists[chosen].write(f"{name}\n")
            with text_file(beside / LABELS) as labels:
                labels.write("0\tbackground\n")
                for name, value in ids.items():
                    labels.write(f"{value}\t{' '.join(name.split())}\n")
            with text_file(beside / LABELMAP) as labels:
                # Void is named as well: datumaro refuses masks with a color that is not.
                labels.write("# label:color_rgb:parts:actions\n")
                for name, value in _labelmap(ids, context):
                    color = ",".join(str(channel) for channel in voc_color(value))
                    labels.write(f"{name}:{color}::\n")
        return root / CLASSES

    def recognizes(self, source: Path) -> bool:
        """A folder with ``SegmentationClass/`` in it, or in its ``VOCdevkit/VOC*/``."""
        return is_voc(source)

    def read(self, source: Path) -> Dataset:
        """The labels of such a folder."""
        return read_voc(source)

    def _add(
        self,
        prediction: Prediction,
        beside: Path,
        ids: Mapping[str, int],
        context: ExportContext,
    ) -> str:
        """Write a photo's files; its name in the lists."""
        file = free_file(beside / CLASSES, prediction.photo)
        name = file.relative_to(beside / CLASSES).with_suffix("").as_posix()
        regions = [
            r for r in prediction.regions if r.crowd or not without_class(r, prediction, context)
        ]
        values = [
            VOID if region.crowd else ids[class_name(region, prediction, context)]
            for region in regions
        ]
        classes, objects, seen = _painted(prediction, regions, values, self.void_border, context)
        for kind, pixels in ((CLASSES, classes), (OBJECTS, objects)):
            image = Image.fromarray(pixels)
            image.putpalette(_PALETTE)
            target = beside / kind / f"{name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            image.save(target, format="PNG")
        names = [class_name(region, prediction, context) for region in seen]
        target = beside / BOXES / f"{name}.xml"
        target.parent.mkdir(parents=True, exist_ok=True)
        photo_file = context.photos / prediction.photo
        is_own = photo_file.resolve().is_relative_to(beside.parent.resolve())
        is_put = self.images != "none" and put_image(
            photo_file,
            beside / IMAGES / f"{name}.jpg",
            size=(prediction.width, prediction.height),
            # A link to what this export itself replaces would be one to itself.
            link=self.images == "link" and not is_own,
            problems=context.problems,
        )
        photo = f"{name}.jpg" if is_put else prediction.photo
        target.write_bytes(annotation(structs.replace(prediction, photo=photo), seen, names))
        return name

    def _side(self, photo: str) -> str:
        number = int.from_bytes(stable_id(str(self.seed), photo, size=8)) / 2**64
        return "val" if number < self.val_share else "train"


def _labelmap(ids: Mapping[str, int], context: ExportContext) -> list[tuple[str, int]]:
    """Names and values of labelmap.txt, where no name may come twice or begin a comment."""
    found = {"background": 0, "ignored": VOID}
    for name, value in ids.items():
        plain = " ".join(name.replace(":", " ").split()).lstrip("#") or "_"
        while plain in found:
            plain += "_"
        if plain != " ".join(name.split()):
            context.problems.note("classes with another name in labelmap.txt", f"{name}: {plain}")
        found[plain] = value
    return sorted(found.items(), key=lambda item: item[1])


def _painted(
    prediction: Prediction,
    regions: list[Region],
    values: list[int],
    void_border: int,
    context: ExportContext,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[Region]]:
    """Classes and objects, uint8 (height, width), and the regions that are objects there.

    The regions' boxes are those of what can be seen of them.
    """
    shape = (prediction.height, prediction.width)
    numbers = np.zeros(shape, dtype=np.int32)
    for i in sorted(range(len(regions)), key=lambda i: in_front(regions[i])):
        numbers[decode_rle(regions[i].rle)] = i + 1
    visible = [i for i in _found(numbers) if not regions[i].crowd]
    for i in visible[MAX_CLASSES:]:
        context.problems.note("regions behind a photo's 254th, left out", prediction.photo)
        numbers[numbers == i + 1] = 0
    border = _borders(numbers, void_border) if void_border else np.zeros(shape, dtype=np.bool_)
    inside = set(_found(numbers[~border]))
    shown = [i for i in visible[:MAX_CLASSES] if i in inside]
    hidden = {i for i, region in enumerate(regions) if not region.crowd}
    for _ in hidden - set(visible[MAX_CLASSES:]) - set(shown):
        context.problems.note("regions without a pixel to be seen, left out", prediction.photo)
    class_of = np.zeros(len(regions) + 1, dtype=np.uint8)
    object_of = np.zeros(len(regions) + 1, dtype=np.uint8)
    for i, region in enumerate(regions):
        class_of[i + 1] = values[i]
        if region.crowd:
            object_of[i + 1] = VOID
    for number, i in enumerate(shown, start=1):
        object_of[i + 1] = number
    seen = [structs.replace(regions[i], box=_box(numbers == i + 1)) for i in shown]
    classes, objects = class_of[numbers], object_of[numbers]
    classes[border] = objects[border] = VOID
    return classes, objects, seen


def _found(numbers: NDArray[np.int32]) -> list[int]:
    """Places of the regions in what was painted, where 0 is none."""
    return [int(n) - 1 for n in np.unique(numbers) if n]


def _box(mask: Mask) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y


def _borders(numbers: NDArray[np.int32], width: int) -> NDArray[np.bool_]:
    """Where a square of ``width`` + 1 pixels has several objects in it.

    A straight border lies inside ``width`` such squares.
    """
    objects = numbers.astype(np.float32)  # OpenCV takes no int32
    kernel = np.ones((width + 1, width + 1), dtype=np.uint8)
    return np.asarray(cv2.dilate(objects, kernel) != cv2.erode(objects, kernel))
