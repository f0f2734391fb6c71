"""Photos that are near-identical, from made-up CLS tokens and hashes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prelabel.steps import near_identical as module
from prelabel.steps.near_identical import PhotoPrints, near_identical

Half = NDArray[np.float16]
Bytes = NDArray[np.uint8]


def tokens(*degrees: float) -> Half:
    """Vectors of lengths 1, 2, 3 … in these directions of a plane: the cosine of two is that of the
    angle between them."""
    turned = np.deg2rad(degrees)
    lengths = np.arange(1, len(degrees) + 1)[:, None]
    vectors = lengths * np.stack([np.cos(turned), np.sin(turned)], axis=1)
    return np.asarray(vectors, dtype=np.float16)


def hashes(*counts: int) -> Bytes:
    """Hashes whose first ``count`` bits are set: two differ in as many bits as their counts do."""
    bits = np.arange(128) < np.array(counts)[:, None]
    return np.packbits(bits, axis=1)


@pytest.mark.parametrize(
    ("degrees", "bits", "told"),
    [
        ((0, 0), (0, 0), True),
        ((0, 36), (0, 19), True),  # cos 36° = 0.809
        ((0, 38), (0, 0), False),  # cos 38° = 0.788
        ((0, 0), (0, 20), False),
        ((0, 180), (0, 0), False),
        ((0, 0), (0, 128), False),
    ],
)
def test_near_identical__both_must_be_alike(
    degrees: tuple[float, ...], bits: tuple[int, ...], told: bool
) -> None:
    assert near_identical(tokens(*degrees), hashes(*bits)) == ([[0, 1]] if told else [])


def test_near_identical__groups_are_unions_of_pairs() -> None:
    # 0 – 2 – 5 by steps of 15 bits, though 0 and 5 differ in 30; 1 and 4; 3 is alone.
    found = near_identical(tokens(0, 90, 0, 200, 90, 0), hashes(0, 0, 15, 0, 3, 30))
    assert found == [[0, 2, 5], [1, 4]]


def test_near_identical__a_token_of_zeros_is_like_nothing() -> None:
    assert near_identical(np.zeros((2, 4), np.float16), hashes(0, 0)) == []


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_near_identical__as_by_all_pairs(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 12))
    degrees = data.draw(st.lists(st.integers(0, 60), min_size=n, max_size=n))
    counts = data.draw(st.lists(st.integers(0, 128), min_size=n, max_size=n))
    cosine = np.cos(np.deg2rad(np.subtract.outer(degrees, degrees)))
    group = list(range(n))
    for i, j in combinations(range(n), 2):
        if cosine[i, j] >= 0.8 and abs(counts[i] - counts[j]) <= 19:
            group = [group[i] if own == group[j] else own for own in group]
    expected = [[i for i in range(n) if group[i] == own] for own in dict.fromkeys(group)]
    expected = [own for own in expected if len(own) > 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", data.draw(st.integers(1, 13)))
        assert near_identical(tokens(*degrees), hashes(*counts)) == expected


def test_photo_prints__names_in_the_order_they_came() -> None:
    prints = PhotoPrints()
    assert prints.groups() == []
    for name, cls, pixel_hash in zip(
        ["b", "a", "c d", "e"], tokens(0, 90, 0, 91), hashes(4, 0, 0, 9), strict=True
    ):
        prints.add(name, cls, pixel_hash)
    assert prints.groups() == [["b", "c d"], ["a", "e"]]
