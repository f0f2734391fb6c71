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


<<<<<<< HEAD
def test_outlines__corners_alone() -> None:
    (outline,) = outlines(box(2, 3, 4, 2))
    assert outline.tolist() == [[2, 3], [2, 5], [6, 5], [6, 3]]
    assert outline.dtype == np.float64
    assert len(outlines(RING)) == 1
    assert len(outlines(RING, holes=True)) == 2
    assert outlines(np.zeros((3, 3), dtype=np.bool_)) == []
=======
def test_outlines__parts_apart_and_parts_at_a_corner() -> None:
    apart = box(0, 0, 2, 2) | box(5, 5, 1, 1)
    assert sorted(map(len, corners(apart))) == [4, 4]
    touching = box(0, 0, 2, 2) | box(2, 2, 2, 2)
    (one,) = outlines(touching)
    assert {(0, 0), (4, 4)} <= {tuple(point) for point in one}


def test_outlines__leave_out_holes_and_what_is_in_them() -> None:
    ring = box(0, 0, 7, 7) & ~box(1, 1, 5, 5)
    assert corners(ring | box(3, 3, 1, 1)) == [{(0, 0), (7, 0), (7, 7), (0, 7)}]


@given(MASKS.filter(lambda mask: bool(mask.any())))
def test_outlines__filled_again_give_the_mask_without_its_holes(mask: Mask) -> None:
    filled = fill_polygons(outlines(mask), height=mask.shape[0], width=mask.shape[1])
    np.testing.assert_array_equal(filled, binary_fill_holes(mask))


def test_fill__pixels_whose_centres_are_inside() -> None:
    triangle = polygon([(0, 0), (4, 0), (0, 4)])
    # Centres (x + ½, y + ½) with x + y + 1 < 4; those on the slope may count as either.
    inside = fill_polygons([triangle], height=4, width=5)
    y, x = np.mgrid[:4, :5]
    clear = x + y + 1 != 4
    np.testing.assert_array_equal(inside[clear], (x + y + 1 < 4)[clear])


def test_fill__a_polygon_inside_another_is_its_hole_in_either_direction() -> None:
    outer = polygon([(0, 0), (6, 0), (6, 6), (0, 6)])
    hole = polygon([(2, 2), (4, 2), (4, 4), (2, 4)])
    expected = box(0, 0, 6, 6, photo=(6, 6)) & ~box(2, 2, 2, 2, photo=(6, 6))
    for inner in (hole, hole[::-1]):
        np.testing.assert_array_equal(fill_polygons([outer, inner], height=6, width=6), expected)


def test_fill__what_reaches_outside_is_cut_at_the_edge() -> None:
    wide = polygon([(-5, 1), (50, 1), (50, 3), (-5, 3)])
    np.testing.assert_array_equal(
        fill_polygons([wide], height=4, width=6), box(0, 1, 6, 2, photo=(4, 6))
    )
    assert not fill_polygons([wide + 100], height=4, width=6).any()
    assert not fill_polygons([], height=4, width=6).any()


def test_fill__two_halves_share_every_pixel_once() -> None:
    # Whatever the slope of the line between them: no pixel twice, none left out.
    rng = np.random.default_rng(0)
    for left, right in rng.uniform(0, 9, (50, 2)):
        upper = polygon([(0, 0), (12, 0), (12, right), (0, left)])
        lower = polygon([(0, left), (12, right), (12, 9), (0, 9)])
        masks = [fill_polygons([part], height=9, width=12) for part in (upper, lower)]
        assert (masks[0] ^ masks[1]).all()
>>>>>>> main


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
