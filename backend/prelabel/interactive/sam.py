"""The object at clicks and in boxes, by a model of the SAM family."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Mask
from prelabel.extras import required
from prelabel.interactive.prompts import Box, Point, window_of


def sam_mask(
    name: str,
    pixels: NDArray[np.uint8],
    *,
    positive: Sequence[Point],
    negative: Sequence[Point],
    boxes: Sequence[Box],
) -> Mask:
    """The object in a photo, uint8 (h, w, 3): bool (h, w), all False where the model finds none.

    All points ask for one object. Each box asks for one of its own, by the points in it; the objects
    are united. ``name``: one of osam's models. Raises UserError.
    """
    with required("sam"):
        from prelabel.weights.sam import SamPrompt, load_sam
    model = load_sam(name)
    embedding = model.embedding(pixels)
    height, width = pixels.shape[:2]
    windows: Sequence[Box | None] = boxes or (None,)
    found = np.zeros((height, width), dtype=np.bool_)
    for box in windows:
        # The box comes first, as EfficientSAM looks at six points only.
        corners = _corners(box, height=height, width=width) if box else []
        on, beside = (
            [_pixel(p, height=height, width=width) for p in points if not box or _is_in(p, box)]
            for points in (positive, negative)
        )
        labels = [2, 3][: len(corners)] + [1] * len(on) + [0] * len(beside)
        points = np.array([*corners, *on, *beside], dtype=np.float32)
        found |= model.mask(embedding, SamPrompt(points, np.array(labels, dtype=np.int64)))
    return found


def _pixel(point: Point, *, height: int, width: int) -> tuple[float, float]:
    """A point in fractions as x and y in pixels; 0 is the middle of the first one, as SAM counts."""
    x, y = point
    return min(max(x * width - 0.5, 0), width - 1), min(max(y * height - 0.5, 0), height - 1)


def _corners(box: Box, *, height: int, width: int) -> list[tuple[float, float]]:
    """The first and the last pixel of a box, x and y."""
    rows, columns = window_of(box, height=height, width=width)
    return [(columns.start, rows.start), (columns.stop - 1, rows.stop - 1)]


def _is_in(point: Point, box: Box) -> bool:
    x0, y0, x1, y1 = box
    return x0 <= point[0] <= x1 and y0 <= point[1] <= y1
