"""Separators on values worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from prelabel.data.records import PatchMaps
from prelabel.strategies.protocols import Separator
from prelabel.strategies.registry import make
from prelabel_plugins.separators.merge import merge_patches

Float = NDArray[np.float32]
LETTERS = """
    aaab..
    aabb.c
    aabb.c
"""
DIRECTIONS = {".": (0, 0), "a": (1, 0), "b": (0, 1), "c": (0.8, 0.6)}


def _letters(text: str) -> NDArray[np.str_]:
    return np.array([list(line) for line in text.split()])


def _vectors(letters: NDArray[np.str_]) -> Float:
    return np.array([[DIRECTIONS[c] for c in row] for row in letters], dtype=np.float32)


def _merged(text: str, *, similar: float, smallest: float = 0.0) -> list[str]:
    """The regions of the patches, a digit each."""
    letters = _letters(text)
    found = merge_patches(letters != ".", _vectors(letters), similar, smallest)
    return ["".join(str(n) for n in row) for row in found.tolist()]


def _separate(
    separator: Separator,
    refined: ArrayLike,
    vectors: Float,
    image: NDArray[np.uint8] | None = None,
) -> NDArray[np.int32]:
    """Of a black photo, if of none."""
    refined = np.array(refined, dtype=np.float32)
    ones = np.ones(vectors.shape[:2], dtype=np.float32)
    patches = PatchMaps(
        foreground=ones,
        vectors=vectors,
        raw=vectors.astype(np.float16),
        attention=ones,
        clusters=np.zeros((1, *ones.shape), dtype=np.int16),
    )
    if image is None:
        image = np.zeros((*refined.shape, 3), dtype=np.uint8)
    return separator.separate(refined, threshold=0.5, patches=patches, image=image)


def test_merge_patches__different_directions_stay_apart() -> None:
    assert _merged(LETTERS, similar=0.4) == ["111200", "112203", "112203"]
    assert _merged(LETTERS, similar=-1) == ["111100", "111102", "111102"]


def test_merge_patches__the_most_similar_first_and_by_means_and_border() -> None:
    # c lies between: its cosine is 0.8 with a and 0.6 with b. It joins a; the mean of both, (1.8, 0.6),
    # has a cosine of 0.32 with b, at the border c's own with b is 0.6: 0.46 between the two regions.
    assert _merged("acb", similar=0.47) == ["112"]
    assert _merged("acb", similar=0.45) == ["111"]


def test_merge_patches__borders_of_merged_regions_are_added_up() -> None:
    # All a join, then c joins them (0.8). Of b with (4.8, 0.6): 0.124 of means, and at the border
    # 0.6 with c above and 0 with a beside it, 0.3 on average: 0.212 between the two regions.
    assert _merged("aac aab", similar=0.22) == ["111", "112"]
    assert _merged("aac aab", similar=0.2) == ["111", "111"]


def test_merge_patches__what_is_small_goes_to_the_most_similar_neighbour() -> None:
    assert _merged("aabbcb", similar=0.9) == ["112234"]
    assert _merged("aabbcb", similar=0.9, smallest=0.3) == ["112222"]
    assert _merged("a.bbb", similar=0.9, smallest=0.9) == ["10222"]  # nothing is near


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(-1, 1), st.floats(0, 0.9))
def test_merge_patches__regions_are_connected(seed: int, similar: float, smallest: float) -> None:
    rng = np.random.default_rng(seed)
    inside = rng.random((5, 7)) < 0.7
    found = merge_patches(inside, rng.normal(size=(5, 7, 3)).astype(np.float32), similar, smallest)
    assert ((found > 0) == inside).all()
    for number in range(1, found.max() + 1):
        own = (found == number).astype(np.int32)
        parts = _separate(make("separator", "connected", {}), own, np.ones((5, 7, 1), np.float32))
        assert parts.max() >= 1
        reached = np.zeros_like(own)
        reached[tuple(np.argwhere(own)[0])] = 1
        for _ in range(own.size):
            grown = reached.copy()
            grown[1:] |= reached[:-1]
            grown[:-1] |= reached[1:]
            grown[:, 1:] |= reached[:, :-1]
            grown[:, :-1] |= reached[:, 1:]
            reached = grown & own
        assert (reached == own).all()


def test_merge__each_pixel_of_the_foreground_has_a_region() -> None:
    refined = np.zeros((24, 40))
    refined[4:20, :30] = 1  # three patches wide, of which two are a, one is b
    refined[22:, 35:] = 0.6  # too little to be a patch
    vectors = _vectors(_letters("aabb aabb aabb".replace(" ", "\n")))
    found = _separate(make("separator", "merge", {}), refined, vectors)
    assert ((found > 0) == (refined > 0.5)).all()
    assert np.unique(found).tolist() == [0, 1, 2, 3]
    assert len(np.unique(found[4:20, :19])) == 1
    assert len(np.unique(found[4:20, 22:30])) == 1


@pytest.mark.parametrize("edge", [17, 20, 23])
def test_merge__the_cut_is_at_the_edge_in_the_photo(edge: int) -> None:
    refined = np.ones((24, 40), dtype=np.float32)
    image = np.full((24, 40, 3), 60, dtype=np.uint8)
    image[:, edge:] = (200, 90, 30)
    vectors = _vectors(_letters("aabb aabb aabb".replace(" ", "\n")))
    found = _separate(make("separator", "merge", {}), refined, vectors, image)
    cuts = [int(np.flatnonzero(np.diff(row))[0]) + 1 for row in found]
    assert found.max() == 2
    assert max(abs(cut - edge) for cut in cuts) <= 1


def test_merge__parts_that_do_not_touch_stay_apart() -> None:
    refined = [[1, 0, 1], [1, 0, 1], [1, 0, 1]]
    found = _separate(make("separator", "merge", {}), refined, np.ones((1, 1, 2), np.float32))
    assert found.tolist() == [[1, 0, 2]] * 3


def test_watershed__two_discs_that_overlap() -> None:
    rows, columns = np.mgrid[:40, :60]
    discs = [(rows - 20) ** 2 + (columns - x) ** 2 <= 100 for x in (20, 36)]
    refined = np.logical_or(*discs)
    vectors = np.ones((2, 3, 1), dtype=np.float32)
    assert _separate(make("separator", "connected", {}), refined, vectors).max() == 1
    # The outlines meet 6 from the axis: the neck is 0.6 of the radius.
    assert _separate(make("separator", "watershed", {"neck": 0.5}), refined, vectors).max() == 1
    found = _separate(make("separator", "watershed", {"neck": 0.85}), refined, vectors)
    assert found.max() == 2
    assert found[20, 20] != found[20, 36]
    assert ((found > 0) == refined).all()


def test_separators__the_threshold_itself_is_background() -> None:
    for name in ("connected", "merge", "watershed"):
        found = _separate(
            make("separator", name, {}), [[0.5, 0.500001]], np.ones((1, 1, 1), np.float32)
        )
        assert found.tolist() == [[0, 1]]
