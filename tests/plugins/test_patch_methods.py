"""The separators that follow papers: by hand, and beside other solvers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import eigh

from prelabel.data.records import PatchMaps
from prelabel.strategies.protocols import Separator
from prelabel.strategies.registry import make
from prelabel_plugins.separators.deep_spectral import deep_spectral_mask
from prelabel_plugins.separators.lost import lost_mask
from prelabel_plugins.separators.maskcut import maskcut_masks
from prelabel_plugins.separators.patch_cuts import (
    binary_graph,
    cosines,
    first_largest,
    part_with,
    second_eigenvector,
    to_pixels,
)
from prelabel_plugins.separators.promerge import promerge_masks, stride
from prelabel_plugins.separators.tokencut import tokencut_mask

Float = NDArray[np.float32]
METHODS = ("tokencut", "maskcut", "lost", "deep-spectral", "promerge")
DIRECTIONS = {".": (1, 0, 0, 0), "a": (0, 1, 0, 0), "b": (0, 0, 1, 0), "=": (1, 0, 0, 0)}
ONE = """
    ........
    ..aaa...
    ..aaa...
    .....=..
    .....=aa
    .....=aa
"""
TWO = """
    ..........
    .aaa......
    .aaa......
    .aaa..bb..
    ......bb..
    ..........
"""


def _letters(text: str) -> NDArray[np.str_]:
    return np.array([list(line) for line in text.split()])


def _vectors(text: str) -> Float:
    return np.array([[DIRECTIONS[c] for c in row] for row in _letters(text)], dtype=np.float32)


def _maps(vectors: Float, raw: Float | None = None) -> PatchMaps:
    ones = np.ones(vectors.shape[:2], dtype=np.float32)
    clusters = np.zeros((1, *ones.shape), dtype=np.int16)
    raw = vectors if raw is None else raw
    return PatchMaps(ones, vectors, raw.astype(np.float16), ones, clusters)


def _rayleigh(weights: NDArray[np.float64], vector: NDArray[np.float64]) -> float:
    """The relaxed normalised cut's value of a vector."""
    sums = weights.sum(axis=1)
    return float(vector @ (np.diag(sums) - weights) @ vector / (sums * vector @ vector))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 3, 7, 12, 64, 65, 90]))
def test_second_eigenvector__as_the_generalised_problem_says(seed: int, n: int) -> None:
    weights = np.random.default_rng(seed).random((n, n))
    weights = weights + weights.T
    sums = np.diag(weights.sum(axis=1))
    values, vectors = eigh(sums - weights, sums)
    found = second_eigenvector(weights)
    assert _rayleigh(weights, found) == pytest.approx(values[1], abs=1e-8)
    assert found @ weights.sum(axis=1) == pytest.approx(0, abs=1e-8)  # apart from the first
    if n == 2 or values[2] - values[1] > 1e-3:
        lengths = np.linalg.norm(found) * np.linalg.norm(vectors[:, 1])
        assert abs(found @ vectors[:, 1]) / lengths == pytest.approx(1, abs=1e-6)


def test_second_eigenvector__zero_where_every_cut_is_as_good() -> None:
    assert not second_eigenvector(np.ones((100, 100))).any()
    assert not second_eigenvector(np.zeros((5, 5))).any()
    assert second_eigenvector(np.ones((1, 1))).tolist() == [0]


def test_second_eigenvector__a_patch_without_ties_is_no_trouble() -> None:
    weights = np.ones((4, 4))
    weights[0], weights[:, 0] = 0, 0
    weights[1, 2] = weights[2, 1] = 0.5
    assert np.isfinite(second_eigenvector(weights)).all()


@pytest.mark.parametrize("seed", [0, 4, 5])
def test_tokencut__is_the_cut_that_trying_all_finds(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(scale=0.4, size=(3, 4, 4))
    vectors = _vectors("aaa. aa.. ....") + noise.astype(np.float32)
    weights = binary_graph(cosines(vectors), 0.2)
    sums = weights.sum(axis=1)

    def ncut(side: NDArray[np.bool_]) -> float:
        cut = weights[side][:, ~side].sum()
        return float(cut / sums[side].sum() + cut / sums[~side].sum())

    sides = [np.array(bits, dtype=np.bool_) for bits in product((False, True), repeat=11)]
    sides = [np.append(False, side) for side in sides if side.any()]
    best = min(sides, key=ncut).reshape(3, 4)
    halves = second_eigenvector(weights)
    side = (halves > halves.mean()).reshape(3, 4)
    assert (side == best).all() or (side == ~best).all()


def test_tokencut__only_the_part_with_the_seed() -> None:
    vectors = _vectors(ONE)
    vectors[4:, 6:] = (0, 0.8, 0.6, 0)  # as like the others as they are themselves, and
    vectors[3:, 5] = (0.8, 0, 0.6, 0)  # tied to some of the background: cosine 0.36
    expected = _letters(ONE) == "a"
    side = second_eigenvector(binary_graph(cosines(vectors), 0.2))
    assert ((side > side.mean()) == (side[10] > side.mean()))[expected.ravel()].all()
    expected[4:] = False
    assert (tokencut_mask(vectors, 0.2) == expected).all()


def test_tokencut__all_alike_is_one() -> None:
    assert tokencut_mask(np.ones((3, 4, 2), dtype=np.float32), 0.2).all()


def test_tokencut__a_block_with_a_few_wrong_ties() -> None:
    vectors = _vectors("aaa. aa.. ....")
    vectors[2, 3] = (0.9, 0.3, 0, 0)  # cosine 0.32 with all of a
    assert (tokencut_mask(vectors, 0.2) == (_letters("aaa. aa.. ....") == "a")).all()


def test_maskcut__one_object_after_the_other() -> None:
    found = maskcut_masks(_vectors(TWO), 0.2, n=3)
    letters = _letters(TWO)
    expected = {(letters == name).tobytes() for name in "ab"}
    assert expected <= {mask.tobytes() for mask in found}
    assert found.sum(axis=0).max() == 1
    assert len(maskcut_masks(_vectors(TWO), 0.2, n=1)) == 1


def test_maskcut__a_side_with_three_corners_is_background() -> None:
    # The patch with the greatest value is in the smaller side, and that is the frame.
    frame = "aaaaaa a....a a....a a....a aaaaaa".replace(" ", "\n")
    letters = _letters(frame)
    assert np.count_nonzero(letters == "a") > np.count_nonzero(letters == ".")
    larger = "aaaaaaaa aa.....a a......a a......a a......a a......a aa.....a aaaaaaaa"
    letters = _letters(larger.replace(" ", "\n"))
    assert np.count_nonzero(letters == "a") < np.count_nonzero(letters == ".")
    assert (tokencut_mask(_vectors(larger), 0.2) == (letters == "a")).all()
    assert (maskcut_masks(_vectors(larger), 0.2, n=1)[0] == (letters == ".")).all()


def test_maskcut__nothing_where_all_are_alike() -> None:
    assert maskcut_masks(np.ones((4, 4, 2), dtype=np.float32), 0.2, n=3).shape == (0, 4, 4)


def test_lost__by_hand() -> None:
    # Degrees, apart from itself: a patch of 1 has 4 others of 1 and the 0.5; the two of -1 have one
    # another; the patch of (0.5, -1) has the five of 1 only.
    values = [(1, 0), (1, 0), (1, 0), (1, 0), (1, 0), (0.5, -1), (-1, 0), (-1, 0)]
    vectors = np.array([values], dtype=np.float32)
    # The seed is the first with degree 1. Alone: all that have a positive product with it.
    assert lost_mask(vectors, 1).tolist() == [[False] * 6 + [True] * 2]
    # Of the two with the fewest both are like the seed, which changes nothing.
    assert lost_mask(vectors, 2).tolist() == [[False] * 6 + [True] * 2]
    apart = np.array([[*values[6:7], *values[:6], *values[7:]]], dtype=np.float32)
    assert lost_mask(apart, 100).tolist() == [[True] + [False] * 7]  # only the part with the seed


def test_lost__lengths_count_in_the_sum() -> None:
    # The seed (0, 3) and (1, 1), which is like it, sum up to (1, 4): what is beside it has a positive
    # product with the sum, but not with the seed.
    values = [(1, 1), (0, 3), (1, -0.2), (1, -0.2), (1, -0.2)]
    vectors = np.array([values], dtype=np.float32)
    assert lost_mask(vectors, 1).tolist() == [[True, True, False, False, False]]
    assert lost_mask(vectors, 2).tolist() == [[True, True, False, False, False]]
    assert lost_mask(vectors, 5).tolist() == [[True, True, True, True, True]]


def test_deep_spectral__the_smaller_side_with_all_its_parts() -> None:
    assert (deep_spectral_mask(_vectors(ONE)) == (_letters(ONE) == "a")).all()
    turned = ONE.replace("a", "x").replace(".", "a").replace("=", "a").replace("x", ".")
    assert (deep_spectral_mask(_vectors(turned)) == (_letters(ONE) == "a")).all()
    image = np.zeros((60, 80, 3), dtype=np.uint8)
    found = make("separator", "deep-spectral", {}).separate(
        np.zeros((60, 80), np.float32), threshold=0.5, patches=_maps(_vectors(ONE)), image=image
    )
    assert found.max() == 2


def test_promerge__objects_without_background() -> None:
    found = promerge_masks(_vectors(TWO), 0.2)
    letters = _letters(TWO)
    assert {m.tobytes() for m in found} == {(letters == name).tobytes() for name in "ab"}


def test_promerge__overlapping_masks_that_look_alike_are_merged() -> None:
    vectors = _vectors(TWO)
    letters = _letters(TWO)
    vectors[letters == "b"] = vectors[1, 1]  # b looks like a
    found = promerge_masks(vectors, 0.2)
    assert len(found) == 2  # but they do not overlap
    vectors = _vectors(TWO)
    between = np.zeros(letters.shape, dtype=bool)
    between[3, 4:6] = True
    vectors[between] = (0, 0.7, 0.7, 0)  # like both, which are like it
    [whole] = promerge_masks(vectors, 0.2)
    assert (whole == (np.isin(letters, ["a", "b"]) | between)).all()


def test_promerge__nothing_without_background() -> None:
    assert promerge_masks(np.ones((4, 6, 2), dtype=np.float32), 0.2).shape == (0, 4, 6)
    assert promerge_masks(np.zeros((4, 6, 2), dtype=np.float32), 0.2).shape == (0, 4, 6)


def test_stride__fifteen_prompts_a_side() -> None:
    assert [stride(n) for n in (60, 30, 34, 7, 1)] == [4, 2, 2, 1, 1]


def test_part_with__four_neighbours() -> None:
    mask = np.array([[1, 0, 1], [1, 0, 0], [0, 1, 1]], dtype=bool)
    assert part_with(mask, 3).tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert not part_with(mask, 1).any()


def test_to_pixels__the_smaller_mask_is_seen_and_outlines_follow_the_photo() -> None:
    masks = np.zeros((2, 20, 20), dtype=bool)
    masks[0, 5:10, 5:15] = True
    masks[1, :, 5:15] = True
    image = np.zeros((320, 320, 3), dtype=np.uint8)
    image[:, 84:240] = 200  # a quarter of a patch further in than the patches, on the left
    found = to_pixels(masks, image)
    assert found.dtype == np.int32
    assert set(np.unique(found)) == {0, 1, 2}
    assert np.unique(found[80:160, 90:230]).tolist() == [2]
    assert np.unique(found[:80, 90:230]).tolist() == [1]
    lefts = (found > 0).argmax(axis=1)
    assert np.abs(lefts - 84).max() <= 1
    assert not to_pixels(np.zeros((0, 20, 20), dtype=bool), image).any()


@given(st.integers(0, 2**32 - 1))
def test_first_largest__rounding_does_not_choose(seed: int) -> None:
    values = np.array([-3.0, 1.0, 2.0, 0.5, 2.0, 2.0])
    rounded = values * (1 + np.random.default_rng(seed).uniform(-1e-12, 1e-12, 6))
    assert first_largest(rounded) == 2
    assert first_largest(-rounded) == 0
    assert first_largest(np.array([2.0, 2.001])) == 1
    assert first_largest(np.zeros(3)) == 0


@pytest.mark.parametrize("name", METHODS)
def test_methods__raw_or_relative_features(name: str) -> None:
    relative = _vectors(TWO) - _vectors(TWO).mean(axis=(0, 1))
    raw = relative + np.array([5, 5, 5, 5], dtype=np.float32)  # all patches share much
    patches = _maps(relative, raw)
    image = np.zeros((60, 100, 3), dtype=np.uint8)

    def found(**settings: object) -> NDArray[np.int32]:
        separator: Separator = make("separator", name, settings)
        return separator.separate(
            np.zeros((60, 100), np.float32), threshold=0.5, patches=patches, image=image
        )

    a, background = (25, 25), (5, 95)
    apart = found(features="relative")
    assert apart[a] != 0
    assert apart[background] == 0
    if name != "deep-spectral":  # its ties are cosines, which are never all the same
        assert len(np.unique(found())) == 1


@pytest.mark.parametrize("name", METHODS)
def test_methods__foreground_plays_no_part(name: str) -> None:
    patches = _maps(_vectors(TWO))
    image = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    separator = make("separator", name, {})
    answers = [
        separator.separate(
            np.full((60, 100), p, np.float32), threshold=t, patches=patches, image=image
        )
        for p, t in ((0, 0.9), (1, 0.1))
    ]
    assert (answers[0] == answers[1]).all()
    assert answers[0].any()
