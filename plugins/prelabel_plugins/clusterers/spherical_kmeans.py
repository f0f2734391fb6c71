"""k-means on the unit sphere: points are compared by cosine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array

from prelabel.storage.threads import cores, one_blas_thread, prefetch_map

Float = NDArray[np.float32]
_SEEDING = 4096
"""Points on which seedings are compared."""
_ROUGHLY, _WELL = 1e-2, 1e-3
"""Seedings are compared when they have nearly settled; the best goes on. It is the same one nearly
always, and the last rounds are most of the work."""
_WORKERS = 4
"""Most blocks at once: reading them is slower than what more could do."""


@dataclass(frozen=True)
class SphericalKMeans:
    """Spherical k-means (Dhillon and Modha, Machine Learning 42, 2001): points compared by cosine.

    Seeded by k-means++ (Arthur and Vassilvitskii, SODA 2007).

    Attributes:
        restarts: independent seedings, the best is kept; ≥ 1. More is steadier and slower.
        iterations: most rounds of one run; ≥ 1. It stops earlier when the mean distance hardly
            shrinks.
    """

    restarts: Annotated[int, Field(ge=1)] = 3
    iterations: Annotated[int, Field(ge=1)] = 30

    def fit(self, points: Float, *, k: int, seed: int) -> Float:
        """Unit centroids float32 (j, d), j ≤ k, of points float32 (n, d)."""
        unit = _normalised(points)
        rng = np.random.default_rng(seed)
        few = unit
        if len(unit) > _SEEDING:  # seedings are compared on a sample, the best runs on all points
            few = unit[np.sort(rng.choice(len(unit), _SEEDING, replace=False))]
        with one_blas_thread():
            starts = [_plus_plus(few, k, rng) for _ in range(self.restarts)]
            best = self._best(few, starts, until=_ROUGHLY)
            return self._best(unit, [best], until=_WELL)

    def fit_blocks(
        self, blocks: Callable[[], Iterable[Float]], starts: Sequence[Float]
    ) -> list[Float]:
        """Unit centroids float32 (i, d), i ≤ j, of all points, from each start (j, d).

        Lloyd's rounds, each one pass over the blocks for all clusterings that still move. A block's sums
        are float32, those over blocks float64, in the order of the blocks: the result has the same
        bytes whatever the number of cores.
        """
        runs = [_normalised(start) for start in starts]
        distances: NDArray[np.float64] = np.full(len(runs), np.inf)
        moving = np.arange(len(runs))
        for _ in range(self.iterations):
            own = [runs[i] for i in moving]
            answers = prefetch_map(
                partial(_sum_block, runs=own), blocks(), workers=min(_WORKERS, cores())
            )
            moved, now = _next_centroids((sums for _, sums in answers), own)
            for i, centroids in zip(moving, moved, strict=True):
                runs[i] = centroids
            settled = distances[moving] - now < _WELL * now + 1e-9
            distances[moving] = now
            moving = moving[~settled]
            if not len(moving):
                break
        return runs

    def assign(self, points: Float, centroids: Float) -> NDArray[np.int64]:
        """The centroid with the highest cosine for each point, int64 (n,)."""
        with one_blas_thread():
            return np.asarray(np.argmax(points @ centroids.T, axis=1), dtype=np.int64)

    def similarity(self, points: Float, point: Float) -> Float:
        """Cosines, float32 (n,)."""
        # Not a matrix product: its rounding could depend on how many points there are.
        cosines = (_normalised(points) * _normalised(point[None])).sum(axis=1)
        return np.asarray(cosines, dtype=np.float32)

    def _best(self, unit: Float, runs: list[Float], *, until: float) -> Float:
        """Lloyd's rounds from every start; the centroids with the least mean cosine distance.

        The starts run side by side, so that one matrix product serves all, until in none of them
        the mean cosine distance shrinks by the share ``until``.
        """
        distances: NDArray[np.float64] = np.full(len(runs), np.inf)
        inverse = _inverse_lengths(unit)
        for _ in range(self.iterations):
            before = distances
            runs, distances = _next_centroids([_sum_members(unit, inverse, runs)], runs)
            if (before - distances < until * distances + 1e-9).all():
                break
        return runs[int(distances.argmin())]


@dataclass(frozen=True)
class _Sums:
    """What a round of Lloyd's needs of some points.

    ``n``: their number. ``cosines``: float64 (n_runs,), for each run the sum of the points' cosines with
    their centroids. ``counts``: int64 (n_clusters,), the members of the clusters of all runs, one after
    the other. ``vectors``: float32 (n_clusters, d), the sums of the members.
    """

    n: int
    cosines: NDArray[np.float64]
    counts: NDArray[np.int64]
    vectors: Float


def _sum_block(points: Float, *, runs: Sequence[Float]) -> _Sums:
    return _sum_members(points, _inverse_lengths(points), runs)


def _sum_members(points: Float, inverse: Float, runs: Sequence[Float]) -> _Sums:
    """The sums of points float32 (n, d) as unit vectors, by the nearest centroid of each run.

    ``inverse``: float32 (n,), 1 / their lengths, which is cheaper than scaled points.
    """
    n, n_runs = len(points), len(runs)
    ends = np.cumsum([len(run) for run in runs])
    cosines = np.split(points @ np.concatenate(runs).T, ends[:-1], axis=1)
    labels = np.stack([own.argmax(axis=1) for own in cosines], axis=1)
    rows = np.arange(n)
    nearest = [np.dot(own[rows, to], inverse) for own, to in zip(cosines, labels.T, strict=True)]
    clusters = (labels + np.concatenate([[0], ends[:-1]])).ravel()
    # A sparse product: one with a dense matrix of members would take as long as the cosines.
    members = csr_array(
        (np.repeat(inverse, n_runs), clusters, np.arange(n + 1) * n_runs), shape=(n, ends[-1])
    )
    counts = np.bincount(clusters, minlength=ends[-1])
    return _Sums(n, np.array(nearest), counts, np.asarray(members.T @ points))


def _next_centroids(
    parts: Iterable[_Sums], runs: Sequence[Float]
) -> tuple[list[Float], NDArray[np.float64]]:
    """Each run's centroids after one of Lloyd's rounds, and the mean cosine distance before it.

    ``parts``: the sums of all points. A cluster without points is dropped.
    """
    ends = np.cumsum([len(run) for run in runs])
    n, cosines, counts = 0, np.zeros(len(runs)), np.zeros(ends[-1], np.int64)
    vectors = np.zeros((ends[-1], runs[0].shape[1]))
    for part in parts:
        n += part.n
        cosines += part.cosines
        counts += part.counts
        vectors += part.vectors
    kept = np.split(counts > 0, ends[:-1])
    sums = np.split(vectors, ends[:-1])
    moved = [_normalised(own[used]) for own, used in zip(sums, kept, strict=True)]
    return moved, 1 - cosines / n


def _normalised(points: Float) -> Float:
    points = points.astype(np.float32, copy=False)
    return np.asarray(points / _lengths(points)[:, None], dtype=np.float32)


def _lengths(points: Float) -> Float:
    """float32 (n,), not 0."""
    lengths = np.sqrt(np.einsum("nd,nd->n", points, points))  # a third of norm()'s time
    return np.asarray(np.maximum(lengths, 1e-12))


def _inverse_lengths(points: Float) -> Float:
    return np.asarray(1 / _lengths(points), dtype=np.float32)


def _plus_plus(unit: Float, k: int, rng: np.random.Generator) -> Float:
    """k-means++ seeds (Arthur and Vassilvitskii, SODA 2007); fewer where points coincide."""
    chosen = [int(rng.integers(len(unit)))]
    distances = 1 - unit @ unit[chosen[0]]
    while len(chosen) < k:
        weights = np.maximum(distances, 0).astype(np.float64)
        weights[weights < 1e-6] = 0  # rounding of points that coincide with a seed
        total = weights.sum()
        if total == 0:
            break
        chosen.append(int(rng.choice(len(unit), p=weights / total)))
        distances = np.minimum(distances, 1 - unit @ unit[chosen[-1]])
    return unit[chosen]
