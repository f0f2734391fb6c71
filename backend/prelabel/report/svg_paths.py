"""A mask as an SVG path: a few hundred bytes instead of a picture."""

from __future__ import annotations

import cv2
import numpy as np

from prelabel.data.masks import Mask
from prelabel.data.polygons import outlines

VIEW_SIDE = 720
"""Long side of the path's coordinate system: half a pixel of a 360-pixel thumbnail each."""
_TOLERANCE = 1.25
"""In units of the view; draws the pixels' stairs along a slope as a line."""


def view_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the SVG viewBox for a photo of this size; at least 1."""
    scale = VIEW_SIDE / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def svg_path(mask: Mask, *, view: int = VIEW_SIDE) -> str:
    """The outline of a mask at the photo's full size, for ``fill-rule="evenodd"``, holes included,
    in whole units of a view whose long side is ``view``.

    It runs along the pixels' edges, simplified by ``_TOLERANCE``.
    Empty for an empty mask.
    """
    side = max(mask.shape)
    # Of a large photo's mask every n-th pixel says as much as the view can show.
    step = max(1, side // view)
    sampled = mask[step // 2 :: step, step // 2 :: step]
    paths = []
    for outline in outlines(sampled, holes=True):
        in_view = (outline * (step * view / side)).astype(np.float32)
        corners = cv2.approxPolyDP(in_view[:, None], _TOLERANCE, closed=True)[:, 0]
        points = np.rint(corners).astype(int)
        x, y = points[0].tolist()
        moves = " ".join(f"{dx} {dy}" for dx, dy in np.diff(points, axis=0).tolist() if dx or dy)
        paths.append(f"M{x} {y}l{moves or '0 0'}z".replace(" -", "-"))
    return "".join(paths)
