"""What patches share with those at the same place of other photos, on values worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from prelabel.steps.positions import GRID, PositionSums, resample

Float = NDArray[np.float32]
SIDES = np.where(np.arange(GRID) < GRID // 2, 1.0, -1.0)[None, :, None].repeat(GRID, axis=0)
"""(GRID, GRID, 1): 1 on the left half, -1 on the right."""


def _row(values: ArrayLike) -> Float:
    return np.array(values, dtype=np.float32).reshape(1, -1, 1)


def _offsets(*photos: NDArray[np.floating]) -> Float:
    sums = PositionSums()
    for photo in photos:
        sums.add(photo.astype(np.float16), np.ones(photo.shape[:2], dtype=np.float16))
    return sums.offsets()


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (4, [0, 1, 2, 3]),
        (8, [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]),
        # Two cells are 2 wide, at 1 and 3: weights 0.75, 0.75, 0.25, 0 of a sum of 1.75.
        (2, [1.25 / 1.75, 3 - 1.25 / 1.75]),
        (1, [1.5]),
    ],
)
def test_resample__linear_and_a_mean_where_it_shrinks(width: int, expected: list[float]) -> None:
    found = resample(_row([0, 1, 2, 3]), 1, width)
    assert found.ravel().tolist() == pytest.approx(expected)
    turned = resample(_row([0, 1, 2, 3]).transpose(1, 0, 2), width, 1)
    assert turned.ravel().tolist() == pytest.approx(expected)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_resample__a_constant_stays_and_nothing_is_exceeded(
    h: int, w: int, h2: int, w2: int
) -> None:
    grid = np.random.default_rng(0).random((h, w, 2)).astype(np.float32)
    grid[..., 1] = 3
    found = resample(grid, h2, w2)
    assert found.shape == (h2, w2, 2)
    assert np.allclose(found[..., 1], 3)
    assert grid[..., 0].min() - 1e-6 <= found[..., 0].min()
    assert found[..., 0].max() <= grid[..., 0].max() + 1e-6


def test_offsets__by_hand() -> None:
    # The place's part is 1 or -1, the photos' own 1, -1, 1, -1. Variance within a place 4/3, of the
    # means 1, of which 1/3 is chance: 2/3 is not, and 2/3 of the patches' variance is unexplained.
    found = _offsets(*(SIDES + own for own in (1, -1, 1, -1)))
    assert found.shape == (GRID, GRID, 1)
    assert np.allclose(found, 4 / 9 * SIDES)


def test_offsets__two_photos_that_have_nothing_in_common() -> None:
    assert np.allclose(_offsets(SIDES + 1, SIDES - 1), 0)  # all of the means may be chance


def test_offsets__photos_that_are_framed_alike_keep_what_they_show() -> None:
    assert not _offsets(SIDES).any()
    assert np.allclose(_offsets(*[SIDES] * 20), 0)
    rng = np.random.default_rng(0)
    alike = [SIDES + rng.normal(scale=0.3, size=SIDES.shape) for _ in range(20)]
    assert np.abs(_offsets(*alike)).max() < 0.2


def test_offsets__what_the_place_gives_is_found_in_many_different_photos() -> None:
    rng = np.random.default_rng(0)
    photos = [
        (SIDES + rng.normal(scale=3, size=(3, 5, 1)).repeat(8, axis=0).repeat(8, axis=1)[:16, :16])
        for _ in range(300)
    ]
    found = _offsets(*photos)
    assert found[:, 2:6].mean() == pytest.approx(0.9, abs=0.15)
    assert found[:, -6:-2].mean() == pytest.approx(-0.9, abs=0.15)


def test_offsets__where_attention_is_at_the_same_place_photos_are_framed_alike() -> None:
    # Attention is 2 or 0 in half of the photos, and 1 everywhere in the others. Variance within a place
    # 1/3, of the means 1/4, of which 1/12 is chance: R² is 1/6 of 1/6 + 1/3, a third.
    sums = PositionSums()
    for own, attention in (
        (1, 1 + SIDES),
        (-1, 1 + SIDES),
        (1, 1 + 0 * SIDES),
        (-1, 1 + 0 * SIDES),
    ):
        sums.add((SIDES + own).astype(np.float16), attention[..., 0].astype(np.float16))
    assert np.allclose(sums.offsets(), 2 / 3 * 4 / 9 * SIDES)


def test_offsets__photos_of_any_grid() -> None:
    assert np.allclose(
        _offsets(SIDES[:1, :1], SIDES[:3], SIDES.repeat(2, axis=0)).shape, SIDES.shape
    )
