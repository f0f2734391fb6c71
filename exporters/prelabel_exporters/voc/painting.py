"""A photo's regions as two masks, of classes and of objects, where regions may overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from prelabel.data.dataset import Problems
from prelabel.data.masks import Box, Mask, decode_rle
from prelabel.data.records import Prediction, Region
from prelabel_exporters.common import in_front
from prelabel_exporters.voc.layout import MAX_CLASSES, VOID

Labels = NDArray[np.int32]
"""The number of the region that each pixel shows, (height, width): its index + 1, or 0."""


@dataclass(frozen=True)
class Painting:
    """``classes``, ``objects``: values uint8 (height, width). ``regions``: those that are objects,
    by number from 1, with the boxes of their visible pixels."""

    classes: NDArray[np.uint8]
    objects: NDArray[np.uint8]
    regions: list[Region]


def paint(
    prediction: Prediction,
    regions: Sequence[Region],
    values: Sequence[int],
    *,
    void_border: int,
    problems: Problems,
) -> Painting:
    """Paint regions of these values into a photo's masks.

    ``void_border``: the width of the line of void along the borders of objects, in pixels; 0 for
    none. Regions beyond the 254th object and those without a visible pixel are left out and counted.
    """
    labels = _overlaid(prediction, regions)
    visible = [i for i in _shown(labels) if not regions[i].crowd]
    visible, beyond = visible[:MAX_CLASSES], visible[MAX_CLASSES:]
    for i in beyond:
        problems.note(f"regions beyond a photo's {MAX_CLASSES}, left out", prediction.photo)
        labels[labels == i + 1] = 0
    border = _borders(labels, void_border)
    inside = set(_shown(labels[~border]))
    objects = [i for i in visible if i in inside]
    hidden = {i for i, r in enumerate(regions) if not r.crowd} - set(beyond) - set(objects)
    for _ in hidden:
        problems.note("regions without a visible pixel, left out", prediction.photo)

    class_of = np.array([0, *values], dtype=np.uint8)
    object_of = np.array([0, *(VOID * r.crowd for r in regions)], dtype=np.uint8)
    for number, i in enumerate(objects, start=1):
        object_of[i + 1] = number
    painting = Painting(
        class_of[labels],
        object_of[labels],
        [structs.replace(regions[i], box=_box(labels == i + 1)) for i in objects],
    )
    painting.classes[border] = painting.objects[border] = VOID
    return painting


def _overlaid(prediction: Prediction, regions: Sequence[Region]) -> Labels:
    """The region in front at each pixel."""
    labels = np.zeros((prediction.height, prediction.width), dtype=np.int32)
    for i in sorted(range(len(regions)), key=lambda i: in_front(regions[i])):
        labels[decode_rle(regions[i].rle)] = i + 1
    return labels


def _shown(labels: Labels) -> list[int]:
    """The indices of the regions that have a pixel."""
    return [int(n) - 1 for n in np.unique(labels) if n]


def _box(mask: Mask) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y


def _borders(labels: Labels, width: int) -> Mask:
    """Where a square of ``width`` + 1 pixels shows more than one region: along a straight border,
    that is a line of ``width`` pixels."""
    if not width:
        return np.zeros(labels.shape, dtype=np.bool_)
    regions = labels.astype(np.float32)  # OpenCV does not take int32
    kernel = np.ones((width + 1, width + 1), dtype=np.uint8)
    return np.asarray(cv2.dilate(regions, kernel) != cv2.erode(regions, kernel))
