"""Labels of a photo on its grid of patches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from builders import box
from prelabel.data.masks import Mask, encode_rle
from prelabel.steps.patch_labels import (
    BOX_WEIGHT,
    LabelledPhoto,
    LabelledRegion,
    class_names,
    patch_coverage,
    patch_shares,
)

SIZE = (4, 6)
"""Height and width in pixels of the photos here; their patches are 2 × 2 pixels."""
LEFT, RIGHT = box(0, 0, 2, 4, photo=SIZE), box(4, 0, 2, 4, photo=SIZE)


def _region(mask: Mask, name: str = "cat", weight: float = 1.0) -> LabelledRegion:
    return LabelledRegion(encode_rle(mask), name, weight)


def _shares(
    *regions: LabelledRegion, unknown: tuple[Mask, ...] = (), complete: bool = True
) -> list[NDArray[np.float32]]:
    """Of background, cat and dog: (2, 3) each."""
    photo = LabelledPhoto("d", regions, tuple(map(encode_rle, unknown)), complete)
    shares = patch_shares(photo, ["cat", "dog"], height=2, width=3)
    assert shares.dtype == np.float32
    return [shares[..., i] for i in range(3)]


def test_patch_shares__of_a_complete_photo() -> None:
    corner = box(0, 0, 3, 1, photo=SIZE)  # 2 of 4 pixels of one patch, 1 of the next
    background, cat, dog = _shares(_region(corner))
    assert cat.tolist() == [[0.5, 0.25, 0], [0, 0, 0]]
    assert background.tolist() == [[0.5, 0.75, 1], [1, 1, 1]]
    assert not dog.any()


def test_patch_shares__a_photo_without_regions_is_background() -> None:
    background, cat, dog = _shares()
    assert background.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert not cat.any()
    assert not dog.any()
    assert not np.any(_shares(complete=False))


def test_patch_shares__of_a_partial_photo_have_no_background() -> None:
    background, cat, _ = _shares(_region(LEFT), complete=False)
    assert cat.tolist() == [[1, 0, 0], [1, 0, 0]]
    assert not background.any()


def test_patch_shares__deleted_regions_are_background_of_a_partial_photo() -> None:
    background, cat, _ = _shares(_region(LEFT), _region(RIGHT, name=""), complete=False)
    assert cat.tolist() == [[1, 0, 0], [1, 0, 0]]
    assert background.tolist() == [[0, 0, 1], [0, 0, 1]]


def test_patch_shares__a_region_that_was_drawn_wins_over_a_deleted_one() -> None:
    background, cat, _ = _shares(_region(LEFT), _region(LEFT | RIGHT, name=""), complete=False)
    assert cat.tolist() == [[1, 0, 0], [1, 0, 0]]
    assert background.tolist() == [[0, 0, 1], [0, 0, 1]]


def test_patch_shares__overlapping_classes_count_in_proportion() -> None:
    background, cat, dog = _shares(_region(LEFT), _region(LEFT | RIGHT, "dog"))
    assert cat.tolist() == [[0.5, 0, 0], [0.5, 0, 0]]
    assert dog.tolist() == [[0.5, 0, 1], [0.5, 0, 1]]
    assert background.tolist() == [[0, 1, 0], [0, 1, 0]]


def test_patch_shares__a_box_teaches_its_inside_weakly_and_its_outside_fully() -> None:
    background, cat, _ = _shares(_region(LEFT, weight=BOX_WEIGHT))
    assert cat[:, 0] == pytest.approx([BOX_WEIGHT] * 2)
    assert background.tolist() == [[0, 1, 1], [0, 1, 1]]


def test_patch_shares__a_mask_in_a_box_of_its_class_counts_fully() -> None:
    both = _region(LEFT | RIGHT, weight=0.3), _region(LEFT)
    for regions in (both, both[::-1]):
        _, cat, _ = _shares(*regions)
        assert cat == pytest.approx(np.array([[1, 0, 0.3], [1, 0, 0.3]]))


def test_patch_shares__what_is_unknown_teaches_nothing() -> None:
    background, cat, _ = _shares(_region(LEFT), unknown=(LEFT, box(2, 0, 1, 4, photo=SIZE)))
    assert not cat.any()
    assert background.tolist() == [[0, 0.5, 1], [0, 0.5, 1]]


def test_patch_shares__of_classes_that_are_not_asked_for_are_not_background() -> None:
    background, cat, dog = _shares(_region(LEFT, "horse"))
    assert not cat.any()
    assert not dog.any()
    assert background.tolist() == [[0, 1, 1], [0, 1, 1]]


def test_patch_coverage__of_a_photo_with_fewer_pixels_than_patches() -> None:
    covered = patch_coverage([encode_rle(np.ones((2, 2), dtype=np.bool_))], 4, 5)
    assert covered.shape == (4, 5)
    assert (covered == 1).all()


def test_patch_coverage__of_one_pixel() -> None:
    (covered,) = patch_coverage([encode_rle(box(5, 3, 1, 1, photo=SIZE))], 2, 3)[1:]
    assert covered.tolist() == [0, 0, 0.25]


def test_class_names__of_all_photos_sorted_without_deleted_ones() -> None:
    photos = [
        LabelledPhoto("a", (_region(LEFT, "zebra"), _region(RIGHT, ""))),
        LabelledPhoto("b", (_region(LEFT, "ant"), _region(RIGHT, "zebra"))),
    ]
    assert class_names(photos) == ("ant", "zebra")
    assert class_names([]) == ()


@st.composite
def _photos(draw: st.DrawFn) -> tuple[LabelledPhoto, int, int]:
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))

    def mask() -> Mask:
        if draw(st.booleans()):
            return np.asarray(rng.random((height, width)) < draw(st.floats(0, 1)))
        top, left = int(rng.integers(height)), int(rng.integers(width))
        found = np.zeros((height, width), dtype=np.bool_)
        found[top : top + int(rng.integers(1, 20)), left : left + int(rng.integers(1, 20))] = True
        return found

    regions = tuple(
        _region(
            mask(), draw(st.sampled_from(["", "cat", "dog"])), draw(st.sampled_from([1.0, 0.3]))
        )
        for _ in range(draw(st.integers(0, 4)))
    )
    unknown = tuple(encode_rle(mask()) for _ in range(draw(st.integers(0, 2))))
    photo = LabelledPhoto("d", regions, unknown, draw(st.booleans()))
    return photo, draw(st.integers(1, 12)), draw(st.integers(1, 12))


@settings(max_examples=40)
@given(_photos())
def test_patch_shares__are_shares(made: tuple[LabelledPhoto, int, int]) -> None:
    photo, height, width = made
    shares = patch_shares(photo, ["cat", "dog"], height=height, width=width)
    assert shares.shape == (height, width, 3)
    assert shares.min() >= 0
    assert shares.max() <= 1 + 1e-5
    sums = shares.sum(axis=-1)
    assert sums.max() <= 1 + 1e-5
    if photo.complete and not photo.unknown and all(r.weight == 1 for r in photo.regions):
        assert sums == pytest.approx(np.ones((height, width)), abs=1e-5)
