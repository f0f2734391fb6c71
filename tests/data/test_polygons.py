"""Outlines, fills and crossings, by hand and against SciPy and exact arithmetic."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from builders import box
from prelabel.data.masks import Mask
from prelabel.data.polygons import crosses, fill_polygons, outlines
from support.mask_cases import HAND_MADE, MASKS

Points = list[tuple[float, float]]


def polygon(points: Points) -> NDArray[np.float64]:
    return np.array(points, dtype=np.float64)


def corners(mask: Mask) -> list[set[tuple[float, float]]]:
    return [{(float(x), float(y)) for x, y in points} for points in outlines(mask)]


def test_outlines__of_a_box_and_of_an_l() -> None:
    assert corners(box(2, 1, 3, 4)) == [{(2, 1), (5, 1), (5, 5), (2, 5)}]
    mask = box(0, 0, 1, 3) | box(0, 2, 3, 1)
    assert corners(mask) == [{(0, 0), (1, 0), (1, 2), (3, 2), (3, 3), (0, 3)}]


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


@given(MASKS)
def test_outlines__with_holes_give_the_mask_again(mask: Mask) -> None:
    height, width = mask.shape
    again = fill_polygons(outlines(mask, holes=True), height=height, width=width)
    np.testing.assert_array_equal(again, mask)


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


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(0, 0), (4, 0), (4, 4), (0, 4)], False),
        ([(0, 0), (4, 4), (4, 0), (0, 4)], True),  # a bow tie
        ([(0, 0), (2, 0), (2, 2), (4, 2), (4, 4), (2, 4), (2, 2), (0, 2)], False),  # only touches
        ([(0, 0), (1, 1), (2, 2)], False),
        ([(0, 0), (5, 0)], False),
    ],
)
def test_crosses__by_hand(points: Points, expected: bool) -> None:
    assert crosses(polygon(points)) == expected


coordinate = st.integers(0, 6)


@given(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=8))
def test_crosses__as_exact_arithmetic_has_it(points: list[tuple[int, int]]) -> None:
    def turn(p: tuple[int, int], q: tuple[int, int], r: tuple[int, int]) -> int:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    sides = list(zip(points, [*points[1:], points[0]], strict=True))
    found = any(
        turn(*a, b[0]) * turn(*a, b[1]) < 0 and turn(*b, a[0]) * turn(*b, a[1]) < 0
        for a, b in itertools.combinations(sides, 2)
    )
    assert crosses(np.array(points, dtype=np.float64)) == found


def test_crosses__is_not_asked_of_thousands_of_corners() -> None:
    bow_tie = polygon([(0, 0), (4, 4), (4, 0), (0, 4)])
    assert not crosses(np.concatenate([bow_tie, np.zeros((2000, 2))]))


def test_outlines__of_the_hand_made_masks_have_corners_only() -> None:
    for name, mask in HAND_MADE.items():
        for points in outlines(mask) if mask.any() else ():
            before, after = (
                points - np.roll(points, 1, axis=0),
                np.roll(points, -1, axis=0) - points,
            )
            straight = before[:, 0] * after[:, 1] == before[:, 1] * after[:, 0]
            assert not straight.any(), name
