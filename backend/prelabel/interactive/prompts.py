"""Clicks and boxes, and where they are on a grid of pixels or patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.errors import UserError

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Prompts:
    """Clicks and boxes, in fractions of width and height [0, 1] of the EXIF-oriented photo.

    ``points``: x, y, and whether it is positive (on the object) or negative (beside it).
    ``boxes``: x0, y0, x1, y1.
    """

    points: tuple[tuple[float, float, bool], ...] = ()
    boxes: tuple[Box, ...] = ()

    def positive(self) -> list[Point]:
        """Points on the object, within the photo. Raises UserError, as ``object_mask`` does."""
        return [_fractions(x, y) for x, y, is_positive in self.points if is_positive]

    def negative(self) -> list[Point]:
        """Points beside it, within the photo. Raises UserError."""
        return [_fractions(x, y) for x, y, is_positive in self.points if not is_positive]

    def upright_boxes(self) -> list[Box]:
        """Boxes that have an area, from their upper left to their lower right corner, within the
        photo. Raises UserError."""
        boxes = []
        for x0, y0, x1, y1 in self.boxes:
            (ax, ay), (bx, by) = _fractions(x0, y0), _fractions(x1, y1)
            if ax != bx and ay != by:
                boxes.append((min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)))
        return boxes


def _fractions(x: float, y: float) -> Point:
    if not all(math.isfinite(v) and -1 <= v <= 2 for v in (x, y)):
        raise UserError(
            f"expected fractions of the photo's width and height, 0 to 1, got {(x, y)}: "
            "divide percents by 100, pixels by the photo's size"
        )
    return min(max(float(x), 0.0), 1.0), min(max(float(y), 0.0), 1.0)


def cell_of(point: Point, shape: tuple[int, ...]) -> tuple[int, int]:
    """Row and column of a point in a grid of pixels or patches."""
    x, y = point
    return min(int(y * shape[0]), shape[0] - 1), min(int(x * shape[1]), shape[1] - 1)


def window_of(box: Box, *, height: int, width: int) -> tuple[slice, slice]:
    """A box's pixels; at least one."""
    x0, y0, x1, y1 = box
    top, left = min(round(y0 * height), height - 1), min(round(x0 * width), width - 1)
    bottom, right = max(round(y1 * height), top + 1), max(round(x1 * width), left + 1)
    return np.s_[top:bottom, left:right]


def coverage(box: Box, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The share of each patch (h, w) that lies in the box."""
    x0, y0, x1, y1 = box

    def along(start: float, stop: float, n: int) -> NDArray[np.float64]:
        edges = np.arange(n + 1)
        inside = np.minimum(stop * n, edges[1:]) - np.maximum(start * n, edges[:-1])
        return np.asarray(inside.clip(0, 1), dtype=np.float64)

    return along(y0, y1, shape[0])[:, None] * along(x0, x1, shape[1])


def distance(points: Sequence[Point], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Of each pixel to the nearest point, in pixels, float32 (h, w); infinite without points."""
    if not points:
        return np.full(shape, np.inf, dtype=np.float32)
    free = np.ones(shape, dtype=np.uint8)
    for point in points:
        free[cell_of(point, shape)] = 0
    return np.asarray(cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_5), dtype=np.float32)
