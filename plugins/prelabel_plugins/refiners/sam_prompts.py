"""What SAM is asked for a coarse mask: a point in it, one beside it, and a box.

After SAMRefiner (Lin et al., ICLR 2025, arXiv 2502.06756), which also gives SAM the mask itself,
weighted by a Gaussian of the distance to the edge: osam takes no mask, so that prompt is left out.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.weights.sam import SamPrompt

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]

_STEP, _LONGEST_STEP = 0.1, 10
"""By what share of its height or width a box grows at a side, and by how many pixels at most
(SAMRefiner)."""
_ALIKE = 0.5
"""Cosine to the mask's mean vector above which a pixel is like the mask (SAMRefiner)."""
_CONTEXT = 0.5
"""Share of a strip beside the box that has to be like the mask for the box to grow over it. Our own
choice: SAMRefiner's code leaves the growing off by default."""


def prompt_of(mask: Mask, vectors: Float) -> SamPrompt:
    """A box, a point in the mask and, unless the mask fills its box, a point beside it.

    The box comes first: EfficientSAM looks at six points only.

    Args:
        mask: bool (h, w) with at least one pixel.
        vectors: float32 (rows, columns, dim), the photo's embedding.

    Returns:
        The prompt, in pixels of the mask.
    """
    left, top, right, bottom = context_box(mask, likeness(mask, vectors))
    points, labels = [(left, top), (right, bottom), inner_point(mask)], [2, 3, 1]
    beside = outer_point(mask)
    if beside is not None:
        points.append(beside)
        labels.append(0)
    return SamPrompt(np.array(points, dtype=np.float32), np.array(labels, dtype=np.int64))


def inner_point(mask: Mask) -> tuple[int, int]:
    """The pixel of a mask that is farthest from its edge, as x and y.

    Of several it is the first, row by row. The photo's border is an edge, too: else a mask that fills
    the photo would be asked for at a corner.
    """
    distance = cv2.distanceTransform(
        np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )[1:-1, 1:-1]
    row, column = divmod(int(distance.argmax()), mask.shape[1])
    return column, row


def outer_point(mask: Mask) -> tuple[int, int] | None:
    """The pixel in a mask's box that is farthest from the mask, as x and y.

    None if the mask fills its box. Of several it is the first, row by row.
    """
    left, top, right, bottom = box_of(mask)
    outside = (~mask[top : bottom + 1, left : right + 1]).astype(np.uint8)
    if not outside.any():
        return None
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    row, column = divmod(int(distance.argmax()), outside.shape[1])
    return left + column, top + row


def box_of(mask: Mask) -> Box:
    """Left, top, right and bottom of a mask, the last pixels included."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def likeness(mask: Mask, vectors: Float) -> Float:
    """Cosine of each pixel's vector to the mean vector of a mask.

    Args:
        mask: bool (h, w).
        vectors: float32 (rows, columns, dim), a grid over the same photo.

    Returns:
        float32 (h, w) in [-1, 1].
    """
    height, width = mask.shape
    rows, columns = vectors.shape[:2]
    share = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    mean = np.tensordot(np.asarray(share, dtype=np.float32).reshape(rows, columns), vectors, axes=2)
    lengths = np.linalg.norm(vectors, axis=-1) * np.linalg.norm(mean)
    cosine = (vectors @ mean) / np.maximum(lengths, 1e-12)
    # At the photo's size the vectors themselves would take gigabytes.
    enlarged = cv2.resize(
        cosine.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR
    )
    return np.asarray(enlarged, dtype=np.float32).reshape(height, width)


def context_box(mask: Mask, like: Float) -> Box:
    """The mask's box, grown by a step at each side where the strip beside it is mostly like the mask.

    Args:
        mask: bool (h, w) with at least one pixel.
        like: float32 (h, w), how like the mask each pixel is.

    Returns:
        Left, top, right and bottom in pixels, the last included.
    """
    left, top, right, bottom = box_of(mask)
    step_x = int(min(_STEP * (right - left + 1), _LONGEST_STEP))
    step_y = int(min(_STEP * (bottom - top + 1), _LONGEST_STEP))
    rows, columns = slice(top, bottom + 1), slice(left, right + 1)
    alike = like > _ALIKE

    def grows(strip: Mask) -> bool:
        return strip.size > 0 and float(strip.mean()) > _CONTEXT

    grown_left, grown_top = max(0, left - step_x), max(0, top - step_y)
    grown_right = min(mask.shape[1] - 1, right + step_x)
    grown_bottom = min(mask.shape[0] - 1, bottom + step_y)
    return (
        grown_left if grows(alike[rows, grown_left:left]) else left,
        grown_top if grows(alike[grown_top:top, columns]) else top,
        grown_right if grows(alike[rows, right + 1 : grown_right + 1]) else right,
        grown_bottom if grows(alike[bottom + 1 : grown_bottom + 1, columns]) else bottom,
    )
