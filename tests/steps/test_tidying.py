"""Holes and parts of regions; scipy finds them in another way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from prelabel.data.masks import Mask
from prelabel.steps.tidying import drop_parts, fill_holes

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20))
SHARES = st.sampled_from([0.0, 0.02, 0.1, 0.5])


@given(MASKS, MASKS, SHARES)
def test_fill_holes(mask: Mask, others: Mask, share: float) -> None:
    others = np.resize(others, mask.shape)
    expected = mask.copy()
    holes, n = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    for number in range(1, n + 1):
        hole = holes == number
        if hole.sum() < share * mask.sum() and not (hole & others).any():
            expected |= hole
    np.testing.assert_array_equal(fill_holes(mask, share, others), expected)


@given(MASKS, SHARES)
def test_drop_parts(mask: Mask, share: float) -> None:
    found = drop_parts(mask, share)
    parts, n = ndimage.label(mask)
    sizes = [int((parts == number).sum()) for number in range(1, n + 1)]
    large = [number for number, size in enumerate(sizes, 1) if size >= share * mask.sum()]
    expected = np.isin(parts, large) & mask if large else mask
    np.testing.assert_array_equal(found, expected)


def test_fill_holes__by_hand() -> None:
    mask = np.ones((10, 10), dtype=np.bool_)
    mask[2:4, 2:4] = mask[6, 6] = mask[0, 5] = False  # holes of 4 and 1 pixels, and a notch
    nothing = np.zeros_like(mask)
    for share, filled in ((0, 0), (0.01, 0), (0.02, 1), (0.05, 5)):
        assert fill_holes(mask, share, nothing).sum() == 94 + filled
    lens = nothing.copy()
    lens[3, 3] = True  # another region lies in the larger hole
    assert fill_holes(mask, 0.05, lens).sum() == 95


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_empty_masks_stay(share: float) -> None:
    nothing = np.zeros((3, 4), dtype=np.bool_)
    assert not fill_holes(nothing, share, nothing).any()
    assert not drop_parts(nothing, share).any()
