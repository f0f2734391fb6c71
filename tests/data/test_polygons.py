"""Outlines of masks, filled again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import binary_fill_holes

from builders import RING, box
from prelabel.data.masks import Mask
from prelabel.data.polygons import crosses, fill_polygons, outlines

MASKS = hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def filled(mask: Mask, *, holes: bool) -> Mask:
    height, width = mask.shape
    return fill_polygons(outlines(mask, holes=holes), height=height, width=width)


@given(mask=MASKS)
def test_outlines__with_holes_give_the_mask_again(mask: Mask) -> None:
    assert np.array_equal(filled(mask, holes=True), mask)


@given(mask=MASKS)
def test_outlines__without_holes_give_the_mask_without_holes(mask: Mask) -> None:
    assert np.array_equal(filled(mask, holes=False), binary_fill_holes(mask))


def test_outlines__corners_alone() -> None:
    (outline,) = outlines(box(2, 3, 4, 2))
    assert outline.tolist() == [[2, 3], [2, 5], [6, 5], [6, 3]]
    assert outline.dtype == np.float64
    assert len(outlines(RING)) == 1
    assert len(outlines(RING, holes=True)) == 2
    assert outlines(np.zeros((3, 3), dtype=np.bool_)) == []


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([[0, 0], [4, 0], [4, 4], [0, 4]], False),
        ([[0, 0], [4, 4], [4, 0], [0, 4]], True),  # a bow tie
        ([[0, 0], [4, 0], [2, 0], [2, 4]], False),  # touches itself
    ],
)
def test_crosses(points: list[list[float]], expected: bool) -> None:
    assert crosses(np.array(points, dtype=np.float64)) == expected


def test_crosses__is_not_looked_for_among_many_corners() -> None:
    points = np.tile([[0.0, 0.0], [4.0, 4.0], [4.0, 0.0], [0.0, 4.0]], (501, 1))
    assert not crosses(points)
