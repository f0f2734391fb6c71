"""Masks by hand and drawn at random, with all that codecs find hard."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prelabel.data.masks import Mask


def _ring(height: int, width: int) -> Mask:
    mask = np.ones((height, width), dtype=np.bool_)
    mask[height // 4 : height - height // 4, width // 4 : width - width // 4] = False
    return mask


def _one_pixel(height: int, width: int, y: int, x: int) -> Mask:
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[y, x] = True
    return mask


def _frame(height: int, width: int) -> Mask:
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[[0, -1]] = mask[:, [0, -1]] = True
    return mask


HAND_MADE = {
    "1x1 empty": np.zeros((1, 1), dtype=np.bool_),
    "1x1 full": np.ones((1, 1), dtype=np.bool_),
    "empty": np.zeros((7, 5), dtype=np.bool_),
    "full": np.ones((7, 5), dtype=np.bool_),
    "one row": np.array([[1, 0, 0, 1, 1, 1, 0]], dtype=np.bool_),
    "one column": np.array([[0], [1], [1], [0]], dtype=np.bool_),
    "first pixel": _one_pixel(6, 9, 0, 0),
    "last pixel": _one_pixel(6, 9, 5, 8),
    "checkerboard": np.indices((9, 8)).sum(axis=0) % 2 == 0,
    "ring": _ring(12, 10),
    "frame": _frame(6, 11),
    "holes in holes": _frame(9, 9) | np.pad(_frame(5, 5), 2),
    # 4 × 16 384 = 65 536 values is the longest run that is not cut.
    "longest run": np.ones((128, 128), dtype=np.bool_),
    "longest run and a pixel": np.ones((1, 16385), dtype=np.bool_),
    "runs of several pieces": np.repeat([[True, False]], [16384 * 3, 16384 * 2 + 1], axis=1),
    **{f"run of {n}": np.arange(200)[None] < n for n in (1, 2, 3, 4, 5, 63, 64, 65)},
}

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)


@st.composite
def blocky_masks(draw: st.DrawFn) -> Mask:
    """Rectangles set and cleared one over another: long runs, holes, holes in holes, edges."""
    height, width = draw(SHAPES)
    mask = np.full((height, width), draw(st.booleans()))
    for _ in range(draw(st.integers(0, 5))):
        rows = sorted(draw(st.tuples(*[st.integers(0, height)] * 2)))
        columns = sorted(draw(st.tuples(*[st.integers(0, width)] * 2)))
        mask[slice(*rows), slice(*columns)] = draw(st.booleans())
    return mask


MASKS = (
    st.sampled_from(list(HAND_MADE.values())) | blocky_masks() | hnp.arrays(np.bool_, shape=SHAPES)
)
