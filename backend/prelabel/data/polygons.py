"""Outlines of masks as polygons, and polygons filled."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Mask

_MANY = 2_000
"""Corners above which no crossing is looked for: it takes n² comparisons."""


def outlines(mask: Mask, *, holes: bool = False) -> list[NDArray[np.float64]]:
    """The outline of each part (8 neighbours) of a mask, along its pixels' edges, corners only:
    float64 (n, 2), x and y in pixels from the upper left corner; none for an empty mask.

    Without ``holes``, these are left out, and so are parts inside another's hole: the other's
    outline has them inside. With them, the even-odd rule over all outlines gives the mask again.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    crop = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    # OpenCV's contours go through the centres of the mask's outermost pixels. With each pixel
    # doubled, the first of the two stands for its left (upper) edge, the second for its right
    # (lower) one.
    doubled = np.repeat(np.repeat(crop.astype(np.uint8), 2, axis=0), 2, axis=1)
    mode = cv2.RETR_CCOMP if holes else cv2.RETR_EXTERNAL
    contours, _ = cv2.findContours(doubled, mode, cv2.CHAIN_APPROX_NONE)
    on_edges = ((contour[:, 0].astype(np.int64) + 1) // 2 for contour in contours)
    shift = np.array([left, top])
    return [(_corners(points) + shift).astype(np.float64) for points in on_edges]


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


def fill_polygons(polygons: Iterable[NDArray[np.float64]], *, height: int, width: int) -> Mask:
    """The pixels whose centres are inside polygons, by the even-odd rule over all of them: one
    that lies inside another is its hole.

    ``polygons``: float64 (n, 2) each, x and y in pixels from the picture's upper left corner, which
    may lie outside of it. OpenCV's ``fillPoly`` adds every pixel that the line touches, and
    pycocotools draws polygons on a grid of its own, which is right for COCO's alone.
    """
    # Walking along a row, each edge turns outside into inside or back.
    turns = np.zeros((height, width + 1), dtype=np.uint8)
    for points in polygons:
        x0, y0 = (points - 0.5).T  # centres are whole numbers now
        x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
        first = np.clip(np.ceil(np.minimum(y0, y1)), 0, height).astype(np.int64)
        counts = np.clip(np.ceil(np.maximum(y0, y1)), 0, height).astype(np.int64) - first
        edge = np.repeat(np.arange(len(points)), counts)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
        slope = (x1 - x0)[edge] / (y1 - y0)[edge]
        column = np.clip(np.ceil(x0[edge] + (row - y0[edge]) * slope), 0, width).astype(np.int64)
        np.add.at(turns, (row, column), 1)
    inside: Mask = np.bitwise_xor.accumulate(turns & 1, axis=1)[:, :width].astype(np.bool_)
    return inside


def _corners(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """A closed outline without repeated points and those on a straight line."""
    points = points[(points != _shifted(points, 1)).any(axis=1)]
    arriving = points - _shifted(points, 1)
    (dx, dy), (next_dx, next_dy) = arriving.T, _shifted(arriving, -1).T
    corners: NDArray[np.int64] = points[dx * next_dy != dy * next_dx]
    return corners


def _shifted(points: NDArray[np.int64], by: int) -> NDArray[np.int64]:
    """Each point's predecessor (``by`` 1) or successor (-1) on a closed outline. ``np.roll`` takes ten
    times as long."""
    places = np.arange(len(points)) - by
    return np.take(points, places, axis=0, mode="wrap")
