"""Outlines of masks as polygons."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Mask

_MANY = 2_000
"""Corners above which no crossing is looked for: it takes n² comparisons."""


def outlines(mask: Mask) -> list[NDArray[np.float64]]:
    """The outer outline of each part (8 neighbours) of a mask with a pixel inside, along its
    pixels' edges, corners only: float64 (n, 2), x and y in pixels from the upper left corner.

    Holes are left out, and so are parts inside another's hole: the other's outline has them inside.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    crop = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    # OpenCV's contours go through pixels' centres. With each pixel doubled, the first of the two
    # stands for its left (upper) edge and the second for its right (lower) one.
    doubled = np.repeat(np.repeat(crop.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = ((contour[:, 0].astype(np.int64) + 1) // 2 for contour in contours)
    shift = np.array([left, top])
    return [(_corners(points) + shift).astype(np.float64) for points in whole]


def crosses(points: NDArray[np.float64]) -> bool:
    """Whether two sides of a closed polygon, float64 (n, 2) in any unit, cross inside both. False for
    polygons of more than 2 000 corners, which are not looked at."""
    if len(points) > _MANY:
        return False
    a, b = points, np.roll(points, -1, axis=0)

    def side(p: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n sides, n points): on which side of each side's line each point is."""
        along = b - a
        return np.sign(
            along[:, :1] * (p[None, :, 1] - a[:, 1:]) - along[:, 1:] * (p[None, :, 0] - a[:, :1])
        )

    apart = side(a) * side(b) < 0
    return bool((apart & apart.T).any())


def _corners(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """A closed outline without repeated points and those on a straight line."""
    points = points[np.any(points != np.roll(points, 1, axis=0), axis=1)]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    corners: NDArray[np.int64] = points[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
    return corners
