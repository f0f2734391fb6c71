"""Touching objects come apart where they have a neck, and only if people drew them so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from prelabel.data.bulges import cut_parts
from prelabel.data.masks import Mask
from prelabel.steps.cutting import Cutting, Drawn, choose_cutting

ROWS, COLUMNS = np.mgrid[:40, :60]


def disc(row: int, column: int, radius: float) -> Mask:
    found: NDArray[np.bool_] = (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius**2
    return found


LEFT, RIGHT = disc(20, 20, 10), disc(20, 36, 10)
"""Discs that overlap: their outlines meet 6 from the axis, 0.6 of the radius."""


@pytest.mark.parametrize(("neck", "objects"), [(0.0, 1), (0.4, 1), (0.85, 2)])
def test_cut_parts__two_discs(neck: float, objects: int) -> None:
    labels = cut_parts(LEFT | RIGHT, neck)
    assert labels.max() == objects
    assert ((labels > 0) == (LEFT | RIGHT)).all()
    if objects == 2:
        assert len(np.unique(labels[LEFT & (COLUMNS < 27)])) == 1
        assert labels[20, 20] != labels[20, 36]


@pytest.mark.parametrize(("radius", "objects"), [(3, 1), (4, 1), (5, 2), (10, 2)])
def test_cut_parts__a_limb_stays_on_its_body(radius: int, objects: int) -> None:
    # Joined by a line one pixel wide; 5² is 0.25 of 10², 4² 0.16.
    line = (ROWS == 20) & (COLUMNS > 20) & (COLUMNS < 45)
    limbs = LEFT | disc(20, 45, radius) | line
    labels = cut_parts(limbs, 0.85, 0.2)
    assert labels.max() == objects
    assert cut_parts(limbs, 0.85).max() == 2
    assert ((labels > 0) == limbs).all()


@pytest.mark.parametrize(
    "mask", [LEFT, disc(20, 0, 12), np.ones((40, 60), np.bool_), (ROWS > 15) & (ROWS < 25)]
)
def test_cut_parts__without_a_neck_nothing_is_cut(mask: Mask) -> None:
    assert cut_parts(mask, 0.85).max() == 1


def test_cut_parts__nothing() -> None:
    assert not cut_parts(np.zeros((5, 5), np.bool_), 0.85).any()


def test_cut_parts__one_pixel_and_parts_that_touch_at_a_corner() -> None:
    assert cut_parts(np.eye(2, dtype=np.bool_), 0.85).tolist() == [[1, 0], [0, 1]]
    assert cut_parts(np.ones((1, 1), np.bool_), 0.85).tolist() == [[1]]


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.6, 0.95]), st.sampled_from([0, 0.2]))
def test_cut_parts__keeps_the_foreground_and_never_joins(
    seed: int, neck: float, limb: float
) -> None:
    mask = np.random.default_rng(seed).random((12, 15)) < 0.6
    labels, parts = cut_parts(mask, neck, limb), cut_parts(mask, 0)
    assert ((labels > 0) == mask).all()
    assert set(np.unique(labels)) == set(range(int(labels.max()) + 1)) | {0}
    for number in range(1, int(labels.max()) + 1):
        assert len(np.unique(parts[labels == number])) == 1


def test_choose_cutting__as_people_drew_them() -> None:
    apart = Drawn(LEFT | RIGHT, np.stack([LEFT, RIGHT & ~LEFT]))
    together = Drawn(LEFT | RIGHT, (LEFT | RIGHT)[None])
    areas = [0.13, 0.13]
    chosen, f1 = choose_cutting([apart, apart], areas, min_area=0.002)
    assert chosen.neck > 0.6
    assert f1 == 1
    assert choose_cutting([together, together], areas, min_area=0.002) == (Cutting(), 1)


def test_choose_cutting__sizes_as_they_were_drawn() -> None:
    small = np.stack([disc(8, 8, 2), disc(8, 20, 2), disc(30, 50, 2)])
    photo = Drawn(np.asarray(small.any(axis=0), dtype=np.bool_), small)
    areas = [13 / 2400] * 3
    chosen, f1 = choose_cutting([photo], areas, min_area=0.02)
    assert chosen == Cutting(0, 13 / 9600)
    assert f1 == 1
    assert choose_cutting([photo], areas, min_area=0.002)[0] == Cutting()


def test_choose_cutting__small_parts_are_left_out_only_far_below_what_was_drawn() -> None:
    large, specks = LEFT, disc(4, 50, 2) | disc(12, 50, 2) | disc(20, 50, 1)
    photo = Drawn(np.asarray(large | specks, dtype=np.bool_), large[None])
    area = float(large.mean())
    assert choose_cutting([photo] * 2, [area] * 4, min_area=0.001)[0] == Cutting(0, area / 4)
    # Half of the quartile is tried where it keeps more than the settings do.
    small = np.stack([disc(8, 8, 2), disc(8, 20, 2), disc(30, 50, 4)])
    specks = disc(20, 40, 1)
    photo = Drawn(np.asarray(small.any(axis=0) | specks, dtype=np.bool_), small)
    areas = [0.0005, 0.0054, 0.0054, 0.02]
    chosen = choose_cutting([photo] * 2, areas, min_area=0.01)[0]
    assert chosen.smallest == pytest.approx(np.quantile(areas, 0.25) / 2)


def test_choose_cutting__nothing_is_known() -> None:
    assert choose_cutting([], [], min_area=0.1) == (Cutting(), 0)


def test_choose_cutting__one_photo_of_many_is_chance() -> None:
    apart = Drawn(LEFT | RIGHT, np.stack([LEFT, RIGHT & ~LEFT]))
    plain = Drawn(LEFT, LEFT[None])
    assert choose_cutting([apart, *[plain] * 9], [0.13] * 11, min_area=0.002)[0] == Cutting()
    assert choose_cutting([apart, plain, plain], [0.13] * 4, min_area=0.002)[0] == Cutting()
    chosen, _ = choose_cutting([*[apart] * 9, plain], [0.13] * 19, min_area=0.002)
    assert chosen.neck > 0.6


ONE = LEFT | disc(20, 38, 10)  # with a neck of 0.44
SIDE_BY_SIDE = np.stack(
    [disc(20, 14, 4), disc(20, 24, 4), disc(20, 36, 4)]
)  # none of them is found


def _chosen(photos: list[Drawn], *, min_area: float = 0.002, can_make_more: bool = True) -> Cutting:
    areas = [float(drawn.mean()) for photo in photos for drawn in photo.objects]
    return choose_cutting(photos, areas, min_area=min_area, can_make_more=can_make_more)[0]


def test_choose_cutting__objects_that_share_parts_come_apart_before_it_is_known_to_help() -> None:
    crowded = Drawn(ONE, SIDE_BY_SIDE)
    expected = Cutting(0.75, more_regions=True)
    assert expected.limb == 0.2
    assert _chosen([crowded] * 2) == expected
    assert _chosen([crowded]) == Cutting()  # one photo is chance
    assert _chosen([crowded] * 2, can_make_more=False) == Cutting()
    assert (
        _chosen([crowded] * 2, min_area=0.05).neck == 0
    )  # objects that are smaller than what is kept
    alone = Drawn(ONE, SIDE_BY_SIDE[:1])
    assert _chosen([alone] * 2) == Cutting()
    assert _chosen([crowded] * 2 + [alone] * 18) == expected  # 4 for 20 parts
    assert _chosen([crowded] * 2 + [alone] * 19) == Cutting()


def test_choose_cutting__objects_that_the_foreground_misses_share_nothing() -> None:
    found, missed = disc(10, 10, 6), disc(30, 45, 6)
    photo = Drawn(found, np.stack([found, missed]))
    assert _chosen([photo] * 5) == Cutting()
    # Less than half of the other lies in the part.
    half = Drawn(found, np.stack([found, disc(10, 17, 6)]))
    assert _chosen([half] * 5) == Cutting()


def test_choose_cutting__what_was_drawn_as_one_stays_one_whatever_shares_parts() -> None:
    limbless = Drawn(ONE, np.stack([ONE, *SIDE_BY_SIDE]))
    assert _chosen([limbless] * 9) == Cutting()


def test_choose_cutting__what_photos_show_for_sure_counts_more() -> None:
    # The necks are 0.89 of the bulges: 0.75 does not cut them.
    left, right = disc(20, 20, 10), disc(20, 30, 10)
    touching = Drawn(left | right, np.stack([left & (COLUMNS < 25), right & (COLUMNS >= 25)]))
    assert _chosen([touching] * 9) == Cutting(0.95)
    assert _chosen([touching] * 9, can_make_more=False) == Cutting(0.95)
