"""What regions look like, beside the classes that they were put into."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prelabel import config
from prelabel.steps.levels import unit
from prelabel.steps.region_groups import FEWEST, RegionGroups, RegionSample, mean_silhouette

Float = NDArray[np.float32]
CLUSTERER = config.load().strategy("clusterer")


def around_axes(*sizes: int, dim: int = 40) -> Float:
    """Unit vectors around as many axes, at a cosine of about 0.98."""
    axes = np.repeat(np.eye(dim, dtype=np.float32)[: len(sizes)], sizes, axis=0)
    return unit(axes + np.random.default_rng(0).normal(0, 0.03, axes.shape).astype(np.float32))


def looked_at(vectors: Float, classes: list[int]) -> RegionGroups:
    sample = RegionSample(seed=0)
    sample.add(vectors, classes)
    return sample.groups(clusterer=CLUSTERER, seed=0)


def test_mean_silhouette__by_hand() -> None:
    # Two vectors at 0° and one at 60° in one group, one at 90° in the other; distances are 1 - cos.
    degrees = np.deg2rad([0, 0, 60, 90])
    vectors = np.stack([np.cos(degrees), np.sin(degrees)], axis=1).astype(np.float32)
    to_last = 1 - np.cos(np.deg2rad(30))
    # 0°: a = (0 + 0.5) / 2, b = 1. 60°: a = 0.5, b = 0.134. A group of one counts 0.
    expected = (2 * (1 - 0.25) + (to_last - 0.5) / 0.5 + 0) / 4
    found = mean_silhouette(vectors, np.array([3, 3, 3, 7]))
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("groups", [[5, 5, 5], [0, 1, 2], [0], []])
def test_mean_silhouette__is_not_defined(groups: list[int]) -> None:
    assert mean_silhouette(around_axes(len(groups)), np.array(groups)) is None


def test_groups__more_than_classes() -> None:
    # Three kinds of regions in two classes: the second class holds two kinds.
    sizes = (30, 20, 10)
    found = looked_at(around_axes(*sizes), np.repeat([0, 1, 1], sizes).tolist())
    assert (found.n_regions, found.n_groups) == (60, 3)
    assert found.group_silhouette is not None
    assert found.class_silhouette is not None
    # Inside a kind vectors are 1 - 0.97 apart, of two kinds 1: 1 - 0.03 / 1 in the mean.
    assert found.group_silhouette == pytest.approx(0.96, abs=0.02)
    # In the second class, most others are of the same kind (19 of 29), or of the other (20 of 29).
    second = (20 * (1 - (19 * 0.03 + 10) / 29) + 10 * (1 - (9 * 0.03 + 20) / 29)) / 60
    assert found.class_silhouette == pytest.approx(0.96 / 2 + second, abs=0.02)


def test_groups__of_one_class_have_no_silhouette_of_classes() -> None:
    found = looked_at(around_axes(30, 30), [0] * 60)
    assert found.n_groups == 2
    assert found.class_silhouette is None
    assert found.group_silhouette is not None


def test_groups__all_alike_are_none() -> None:
    found = looked_at(np.ones((60, 4), dtype=np.float32), [i % 3 for i in range(60)])
    assert found.n_groups == 0
    assert found.group_silhouette is None
    assert found.class_silhouette == pytest.approx(0, abs=1e-6)


def test_groups__of_noise_are_not_apart() -> None:
    noise = np.random.default_rng(0).normal(size=(60, 300)).astype(np.float32)
    found = looked_at(unit(noise), [i % 3 for i in range(60)])
    assert found.n_groups
    assert found.group_silhouette == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(("n", "told"), [(0, False), (FEWEST - 1, False), (FEWEST, True)])
def test_groups__of_few_regions_nothing_is_said(n: int, told: bool) -> None:
    found = looked_at(around_axes(n), [0] * n)
    assert found.n_regions == n
    assert (found.n_groups is not None) == told


def test_groups__regions_without_a_class_do_not_count() -> None:
    assert looked_at(around_axes(80), [-1] * 40 + [0] * 40) == RegionGroups(40)


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(0, 9), max_size=12), most=st.integers(1, 20))
def test_sample__keeps_at_most_so_many_and_each_once(sizes: list[int], most: int) -> None:
    sample, n = RegionSample(seed=3, most=most), 0
    for size in sizes:
        numbers = np.arange(n, n := n + size)
        sample.add(numbers[:, None].astype(np.float32), numbers.tolist())
    kept = [number for _, number in sample._kept]
    assert len(kept) == min(most, n) == len(set(kept))
    assert all(vector.tolist() == [number] for vector, number in sample._kept)


def test_sample__is_drawn_evenly() -> None:
    counts = np.zeros(20)
    for seed in range(2000):
        sample = RegionSample(seed=seed, most=5)
        sample.add(np.zeros((20, 1), dtype=np.float32), range(20))
        counts[[number for _, number in sample._kept]] += 1
    # 500 each, with a standard deviation of sqrt(2000 · 1/4 · 3/4) = 19
    assert np.abs(counts - 500).max() < 80
