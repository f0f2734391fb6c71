"""A region's mask as an SVG path: a few hundred bytes instead of a picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data import masks
from prelabel.data.records import Region

VIEW_SIDE = 720
"""Long side of the path's coordinate system: half a pixel of a 360-pixel thumbnail each."""


def view_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the SVG viewBox for a photo of this size; at least 1."""
    scale = VIEW_SIDE / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def svg_path(region: Region, *, width: int, height: int) -> str:
    """The region's outline for ``fill-rule="evenodd"``, holes included, in whole view units.

    ``width``, ``height``: the photo's full size in pixels, which is that of the mask.
    The outline runs along the pixels' edges, simplified by at most one unit (half a pixel of the
    thumbnail). Empty for an empty mask.
    """
    x, y, box_width, box_height = region.box
    # Of a large photo's mask every n-th pixel says as much as the view can show.
    step = max(1, max(width, height) // VIEW_SIDE)
    left, top = x - x % step, y - y % step
    mask = masks.decode_rle(region.rle)[
        top + step // 2 : y + box_height : step,
        left + step // 2 : x + box_width : step,
    ]
    if not mask.any():
        return ""
    scale = VIEW_SIDE / max(width, height)
    paths = []
    for contour in _contours(mask, tolerance=2 / (scale * step)):
        # Two nodes of the contour are one sampled pixel, which is ``step`` pixels of the mask.
        points = np.rint((contour * (step / 2) + (left, top)) * scale).astype(int)
        start_x, start_y = points[0].tolist()
        moves = " ".join(f"{dx} {dy}" for dx, dy in np.diff(points, axis=0).tolist() if dx or dy)
        paths.append(f"M{start_x} {start_y}l{moves or '0 0'}z".replace(" -", "-"))
    return "".join(paths)


def _contours(mask: masks.Mask, *, tolerance: float) -> list[NDArray[Any]]:
    """Closed outlines, each int32 (n, 2), x and y: corners of pixel (x, y) are 2x, 2x + 2 …

    OpenCV runs through the centres of the outermost pixels, half a pixel inside. So a pixel is
    drawn as 3 × 3 nodes that share their outer ones with its neighbours: the centres of the
    outermost nodes lie on the pixels' edges.
    """
    height, width = mask.shape
    nodes = np.zeros((2 * height + 1, 2 * width + 1), dtype=np.uint8)
    nodes[1::2, 1::2] = mask
    grown = cv2.dilate(nodes, np.ones((3, 3), dtype=np.uint8))
    contours, _ = cv2.findContours(grown, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [cv2.approxPolyDP(contour, tolerance, closed=True)[:, 0] for contour in contours]
