"""Parts of masks and of regions, cut at necks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prelabel.data.bulges import connected_parts, cut_parts, cut_regions

ROWS, COLUMNS = np.mgrid[:40, :90]
DISCS = [(ROWS - 20) ** 2 + (COLUMNS - x) ** 2 <= 100 for x in (10, 26, 70)]
"""The first two overlap, with a neck of 0.6 of their radius; the third is apart."""


def test_connected_parts__touch_at_corners_too() -> None:
    picture = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 1, 0]], dtype=bool)
    assert connected_parts(picture).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0], [2, 2, 0]]


@pytest.mark.parametrize("neck", [0.5, 0.85])
def test_cut_regions__of_connected_parts_as_the_mask_is_cut(neck: float) -> None:
    mask = np.logical_or.reduce(DISCS)
    found, expected = cut_regions(connected_parts(mask), neck), cut_parts(mask, neck)
    pairs = np.unique(np.stack([found.ravel(), expected.ravel()]), axis=1)
    assert (
        pairs.shape[1]
        == len(np.unique(expected))
        == len(np.unique(found))
        == (4 if neck == 0.85 else 3)
    )


def test_cut_regions__never_joins_regions_that_touch() -> None:
    labels = np.where(COLUMNS < 45, 1, 2).astype(np.int32)
    labels[ROWS < 5] = 0
    assert cut_regions(labels, 0.85).tolist() == labels.tolist()
    assert cut_regions(labels, 0) is labels


@given(st.integers(0, 500), st.sampled_from([0.0, 0.6, 0.95]))
def test_cut_regions__numbers_without_gaps_within_the_regions(seed: int, neck: float) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (6, 8)).repeat(3, axis=0).repeat(3, axis=1).astype(np.int32)
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
    found = cut_regions(labels, neck)
    assert ((found > 0) == (labels > 0)).all()
    assert np.unique(found[found > 0]).tolist() == list(range(1, int(found.max()) + 1))
    for number in range(1, int(found.max()) + 1):
        assert len(np.unique(labels[found == number])) == 1


def test_cut_regions__limbs_stay_on_their_own_region() -> None:
    body, limb = DISCS[2], (ROWS - 20) ** 2 + (COLUMNS - 45) ** 2 <= 16
    line = (ROWS == 20) & (COLUMNS > 45) & (COLUMNS < 70)
    labels = (body | limb | line).astype(np.int32)
    assert cut_regions(labels, 0.85).max() == 2
    assert cut_regions(labels, 0.85, 0.2).tolist() == labels.tolist()
