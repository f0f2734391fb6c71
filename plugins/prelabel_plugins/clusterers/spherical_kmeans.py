"""k-means on the unit sphere: points are compared by cosine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prelabel.storage.threads import one_blas_thread

Float = NDArray[np.float32]
_SEEDING = 4096
"""Points on which seedings are compared."""
_ROUGHLY, _WELL = 1e-2, 1e-3
"""Seedings are compared when they have nearly settled; the best goes on. It is the same one nearly
always, and the last rounds are most of the work."""


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
        rows = np.arange(len(unit))
        distances: NDArray[np.float64] = np.full(len(runs), np.inf)
        for _ in range(self.iterations):
            ends = np.cumsum([len(run) for run in runs])
            cosines = np.split(unit @ np.concatenate(runs).T, ends[:-1], axis=1)
            labels = [own.argmax(axis=1) for own in cosines]
            nearest = [
                own[rows, to].mean(dtype=np.float64)
                for own, to in zip(cosines, labels, strict=True)
            ]
            before, distances = distances, 1 - np.array(nearest)
            members = np.zeros((ends[-1], len(unit)), dtype=np.float32)
            for to, run, end in zip(labels, runs, ends, strict=True):
                members[to + end - len(run), rows] = 1
            used = np.split(members.any(axis=1), ends[:-1])  # a cluster without points is dropped
            sums = np.split(members @ unit, ends[:-1])
            runs = [_normalised(own[kept]) for own, kept in zip(sums, used, strict=True)]
            if (before - distances < until * distances + 1e-9).all():
                break
        return runs[int(distances.argmin())]


def _normalised(points: Float) -> Float:
    points = points.astype(np.float32, copy=False)
    lengths = np.sqrt(np.einsum("nd,nd->n", points, points))[:, None]  # a third of norm()'s time
    return np.asarray(points / np.maximum(lengths, 1e-12), dtype=np.float32)


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
