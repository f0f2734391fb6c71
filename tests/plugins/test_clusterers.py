"""Clusterers by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from prelabel.strategies.registry import make

Float = NDArray[np.float32]


def _mixture(n: int, *, seed: int, dim: int = 16, groups: int = 8, spread: float = 0.4) -> Float:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, dim))
    points = centres[rng.integers(0, groups, n)] + spread * rng.normal(size=(n, dim))
    return points.astype(np.float32)


def _cosine_objective(points: Float, labels: NDArray[np.integer]) -> float:
    """Mean cosine distance to the own cluster's mean direction: what spherical k-means lowers."""
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    sums = [unit[labels == label].sum(axis=0) for label in np.unique(labels)]
    return float(1 - sum(np.linalg.norm(s) for s in sums) / len(points))


def _squared_objective(points: Float, labels: NDArray[np.integer]) -> float:
    parts = [points[labels == label] for label in np.unique(labels)]
    return float(sum(((p - p.mean(axis=0)) ** 2).sum() for p in parts) / len(points))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [300, 5000])  # above 4096 the seedings see a sample
def test_spherical_kmeans__as_good_as_scikit_learn(n: int, seed: int) -> None:
    points = _mixture(n, seed=seed)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    reference = KMeans(8, n_init=10, random_state=seed).fit(unit).labels_
    clusterer = make("clusterer", "spherical-kmeans", {"restarts": 10, "iterations": 50})
    labels = clusterer.assign(points, clusterer.fit(points, k=8, seed=seed))
    assert _cosine_objective(points, labels) <= 1.01 * _cosine_objective(points, reference)


@pytest.mark.parametrize("seed", range(3))
def test_minibatch_kmeans__nearly_as_good_as_scikit_learns_full_one(seed: int) -> None:
    points = _mixture(2000, seed=seed)
    reference = KMeans(8, n_init=10, random_state=seed).fit(points).labels_
    clusterer = make("clusterer", "minibatch-kmeans", {"batch_size": 512, "restarts": 10})
    labels = clusterer.assign(points, clusterer.fit(points, k=8, seed=seed))
    assert _squared_objective(points, labels) <= 1.05 * _squared_objective(points, reference)


def test_spherical_kmeans__directions_by_hand() -> None:
    points = np.array([[1, 0], [2, 0], [0, 3], [0, 0.1]], dtype=np.float32)
    clusterer = make("clusterer", "spherical-kmeans", {"restarts": 3})
    centroids = clusterer.fit(points, k=2, seed=0)
    assert sorted(centroids.tolist()) == [[0, 1], [1, 0]]
    other = np.array([[5, 4], [1, 100], [-1, 0.1]], dtype=np.float32)
    nearest = centroids[clusterer.assign(other, centroids)]
    assert nearest.tolist() == [[1, 0], [0, 1], [0, 1]]


def test_minibatch_kmeans__means_by_hand() -> None:
    points = np.array([[0, 0], [2, 0], [10, 10], [10, 12]], dtype=np.float32)
    clusterer = make("clusterer", "minibatch-kmeans", {"batch_size": 64})
    centroids = clusterer.fit(points, k=2, seed=0)
    assert np.allclose(centroids, [[1, 0], [10, 11]], atol=0.5)
    assert clusterer.assign(points, centroids).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_minibatch_kmeans__nearest_centroid_however_far_out(offset: float) -> None:
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(200, 6)) + offset).astype(np.float32)
    centroids = (rng.normal(size=(5, 6)) + offset).astype(np.float32)
    gaps = points[:, None].astype(np.float64) - centroids[None].astype(np.float64)
    expected = (gaps**2).sum(axis=-1).argmin(axis=1)
    labels = make("clusterer", "minibatch-kmeans", {}).assign(points, centroids)
    assert labels.tolist() == expected.tolist()


@pytest.mark.parametrize("name", ["spherical-kmeans", "minibatch-kmeans"])
@given(
    n=st.integers(1, 12),
    distinct=st.integers(1, 6),
    k=st.integers(1, 15),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=25)
def test_clusterers__never_more_centroids_than_distinct_points(
    name: str, n: int, distinct: int, k: int, seed: int
) -> None:
    # Points on a circle: distinct ones have distinct directions too.
    angles = (np.arange(n) % distinct) * (2 * np.pi / distinct)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    clusterer = make("clusterer", name, {})
    centroids = clusterer.fit(points, k=k, seed=seed)
    assert centroids.dtype == np.float32
    assert 1 <= len(centroids) <= min(k, n, distinct)
    if name == "spherical-kmeans" and k >= distinct:  # each distinct point is its own cluster
        labels = clusterer.assign(points, centroids)
        assert np.allclose(centroids[labels], points, atol=1e-5)
