"""Outlines with fewer corners, so that people can edit them."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Mask
from prelabel.data.polygons import fill_polygons

Points = NDArray[np.float64]
MAX_POINTS = 60
"""The corners that a polygon has at most, where nothing else is asked for."""
_MIN_IOU = 0.95
_STEPS = 8
"""Halvings when looking for the distance at which an outline fits its budget."""


class Outline(NamedTuple):
    """How outlines are simplified. ``tolerance``: pixels that one may stray from the mask's (0:
    exact); less is used where it would cost too much. ``max_points``: the most corners that one
    has, 4 or more, whatever it costs; 0 is no limit."""

    tolerance: float = 1.0
    max_points: int = 0


def simplified(outline: Points, how: Outline) -> tuple[Points, float]:
    """The outline, float64 (n, 2) in whole pixels, with fewer corners, and the IoU of the two.

    Corners stay where they are or go (Douglas-Peucker). With the tolerance the IoU is 0.95 or more;
    a budget of points may cost more than that.
    """
    low = outline.min(axis=0)
    points = (outline - low).astype(np.int32)
    whole = _filled(points)
    found, iou = points, 1.0
    for allowed in (how.tolerance, how.tolerance / 2, how.tolerance / 4, how.tolerance / 8):
        if allowed == 0:
            break
        fewer = _reduced(points, allowed)
        if len(fewer) >= 3 and (cost := _iou(fewer, whole)) >= _MIN_IOU:
            found, iou = fewer, cost
            break
    if how.max_points and len(found) > how.max_points:
        found = _within_budget(points, max(how.max_points, 4))
        iou = _iou(found, whole)
    return found + low, iou


def _within_budget(points: NDArray[np.int32], most: int) -> NDArray[np.int32]:
    """The outline with at most so many corners, 4 or more, and the least distance that gives it."""
    low, high = 0.0, 1.0
    while len(_reduced(points, high)) > most:
        low, high = high, 2 * high
    found = _reduced(points, high)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        fewer = _reduced(points, middle)
        if len(fewer) > most:
            low = middle
        else:
            high, found = middle, fewer
    if len(found) >= 3:
        return found
    # So thin that hardly anything was left: its box.
    (x, y), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return np.array([[x, y], [right, y], [right, bottom], [x, bottom]], dtype=np.int32)


def _reduced(points: NDArray[np.int32], distance: float) -> NDArray[np.int32]:
    return np.asarray(cv2.approxPolyDP(points, distance, True)[:, 0], dtype=np.int32)


def _filled(points: NDArray[np.int32]) -> Mask:
    width, height = (int(n) for n in points.max(axis=0))
    return fill_polygons([points.astype(np.float64)], height=height, width=width)


def _iou(points: NDArray[np.int32], whole: Mask) -> float:
    inside = fill_polygons([points.astype(np.float64)], height=whole.shape[0], width=whole.shape[1])
    return float((inside & whole).sum() / (inside | whole).sum())
