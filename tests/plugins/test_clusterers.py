"""Clusterers by hand and against scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from prelabel.strategies.registry import make
from prelabel_plugins.clusterers import spherical_kmeans

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


def _blocks(points: Float, *sizes: int) -> Callable[[], Iterator[Float]]:
    """The points in blocks of these sizes, and what is left."""
    return lambda: iter(np.split(points, np.cumsum(sizes)))


def _lloyd(points: Float, centroids: Float, rounds: int) -> NDArray[np.float64]:
    """Rounds of spherical k-means in float64, point by point."""
    unit = points / np.linalg.norm(points.astype(np.float64), axis=1, keepdims=True)
    found = centroids.astype(np.float64)
    for _ in range(rounds):
        members: list[list[NDArray[np.float64]]] = [[] for _ in found]
        for point in unit:
            members[int(np.argmax(found @ point))].append(point)
        means = [np.mean(own, axis=0) for own in members if own]
        found = np.array([mean / np.linalg.norm(mean) for mean in means])
    return found


def _starts(points: Float, *ks: int) -> list[Float]:
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    return [unit[:k] for k in ks]


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_fit_blocks__lloyds_rounds_by_brute_force(rounds: int) -> None:
    points = _mixture(400, seed=1, dim=6, spread=1.0)
    starts = _starts(points, 3, 8)
    clusterer = make("clusterer", "spherical-kmeans", {"iterations": rounds})
    for fitted, start in zip(
        clusterer.fit_blocks(_blocks(points, 7, 200), starts), starts, strict=True
    ):
        assert np.allclose(fitted, _lloyd(points, start, rounds), atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_fit_blocks__as_good_as_scikit_learn_from_the_same_start(seed: int) -> None:
    points = _mixture(3000, seed=seed)
    (start,) = _starts(points, 8)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    reference = KMeans(8, init=start, n_init=1, max_iter=30).fit(unit).labels_
    clusterer = make("clusterer", "spherical-kmeans", {})
    (fitted,) = clusterer.fit_blocks(_blocks(points, 1000, 1000), [start])
    labels = clusterer.assign(points, fitted)
    assert _cosine_objective(points, labels) <= 1.005 * _cosine_objective(points, reference)


def test_fit_blocks__moves_nothing_that_has_settled() -> None:
    points = _mixture(2000, seed=3, spread=0.1)
    clusterer = make("clusterer", "spherical-kmeans", {})
    settled = clusterer.fit(points, k=8, seed=0)
    (fitted,) = clusterer.fit_blocks(_blocks(points, 300, 1300), [settled])
    assert np.allclose(fitted, settled, atol=1e-6)


@given(cuts=st.lists(st.integers(0, 200), max_size=5))
@settings(max_examples=25, deadline=None)
def test_fit_blocks__cuts_change_rounding_alone(cuts: list[int]) -> None:
    points = _mixture(200, seed=2, dim=5, spread=0.1)
    clusterer = make("clusterer", "spherical-kmeans", {})
    starts = _starts(points, 2, 6)
    sizes = np.diff([0, *sorted(cuts)]).tolist()
    whole = clusterer.fit_blocks(lambda: [points], starts)
    for one, other in zip(
        whole, clusterer.fit_blocks(_blocks(points, *sizes), starts), strict=True
    ):
        assert np.allclose(one, other, atol=1e-6)


def test_fit_blocks__the_same_bytes_on_any_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    points = _mixture(5000, seed=4)
    clusterer = make("clusterer", "spherical-kmeans", {})
    found = set()
    for n in (1, 2, 4):
        monkeypatch.setattr(spherical_kmeans, "cores", lambda n=n: n)
        fitted = clusterer.fit_blocks(_blocks(points, *[700] * 7), _starts(points, 4, 16))
        found.add(b"".join(own.tobytes() for own in fitted))
    assert len(found) == 1


def test_fit_blocks__a_pass_is_shared_and_ends_when_all_have_settled() -> None:
    points = np.array([[1, 0], [0, 1]], dtype=np.float32)
    passes = 0

    def blocks() -> list[Float]:
        nonlocal passes
        passes += 1
        return [points]

    clusterer = make("clusterer", "spherical-kmeans", {"iterations": 30})
    far = np.array([[-1, 0], [0, -1]], dtype=np.float32)
    first, second = clusterer.fit_blocks(blocks, [points, np.concatenate([points, far])])
    assert passes == 2  # the second shows that nothing moves
    assert first.tolist() == points.tolist()
    assert second.tolist() == points.tolist()  # clusters without points are dropped
