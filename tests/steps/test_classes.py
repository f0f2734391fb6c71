"""As many classes as there are dense groups of regions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from prelabel import config
from prelabel.steps.classes import classify, find_classes, learn_classes
from prelabel.steps.levels import unit

Float = NDArray[np.float32]
DIM = 40
SIZES = (30, 20, 10)
CLUSTERER = config.load().strategy("clusterer")


def groups(*sizes: int, n_others: int = 0, seed: int = 0) -> Float:
    """Unit vectors around as many axes, and others in all directions."""
    rng = np.random.default_rng(seed)
    axes = np.repeat(np.eye(DIM, dtype=np.float32)[: len(sizes)], sizes, axis=0)
    near = axes + rng.normal(0, 0.03, axes.shape)
    others = rng.normal(0, 1, (n_others, DIM))
    return unit(np.concatenate([near, others]).astype(np.float32))


def test_find_classes__one_for_each_dense_group_largest_first() -> None:
    vectors = groups(*SIZES[::-1], n_others=5)
    found = find_classes(vectors, clusterer=CLUSTERER, seed=0)
    assert found is not None
    assert found.centroids.shape == (3, DIM)
    assert unit(found.centroids).argmax(axis=1).tolist() == [2, 1, 0]
    # 1 / sqrt(1 + 39 · 0.03²) = 0.983 is the cosine of a vector of a group to its axis.
    assert 0.95 < found.reach < 0.99
    again = find_classes(vectors, clusterer=CLUSTERER, seed=0)
    assert again is not None
    assert np.array_equal(again.centroids, found.centroids)


def test_classify__what_is_like_no_class_has_none() -> None:
    vectors = groups(*SIZES, n_others=8)
    found = find_classes(vectors, clusterer=CLUSTERER, seed=0)
    assert found is not None
    classes = classify(vectors, found.centroids, clusterer=CLUSTERER, reach=found.reach)
    assert classes[60:].tolist() == [-1] * 8
    inside = classes[:60] == np.repeat([0, 1, 2], SIZES)
    assert 0.9 < inside.mean() < 1  # but for some of those that are farthest from the middle
    assert set(classes[:60][~inside]) == {-1}
    every = classify(vectors, found.centroids, clusterer=CLUSTERER, reach=-math.inf)
    assert every[:60].tolist() == np.repeat([0, 1, 2], SIZES).tolist()
    assert every.min() == 0


def test_classify__no_classes_or_no_regions() -> None:
    vectors = groups(3)
    assert classify(vectors, vectors[:0], clusterer=CLUSTERER, reach=-math.inf).tolist() == [-1] * 3
    assert classify(vectors[:0], vectors, clusterer=CLUSTERER, reach=-math.inf).tolist() == []


@pytest.mark.parametrize("n", [1, 2, 3])
def test_learn_classes__auto_with_too_few_regions_is_the_default_number(n: int) -> None:
    vectors = groups(n)
    auto, default = (
        learn_classes(vectors, config.load("default", [f"classes.count={count}"]))
        for count in ("auto", 0)
    )
    assert np.array_equal(auto.centroids, default.centroids)
    assert auto.reach == default.reach == -math.inf


def test_learn_classes__a_number_gives_every_region_a_class() -> None:
    found = learn_classes(groups(*SIZES), config.load("default", ["classes.count=2"]))
    assert len(found.centroids) == 2
    assert found.reach == -math.inf
