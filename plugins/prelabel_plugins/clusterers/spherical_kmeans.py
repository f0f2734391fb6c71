"""k-means on the unit sphere: points are compared by cosine."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from threadpoolctl import ThreadpoolController

Float = NDArray[np.float32]
_SEEDING = 4096
"""Points on which seedings are compared."""


@dataclass(frozen=True)
class SphericalKMeans:
    """Spherical k-means (Dhillon and Modha, Machine Learning 42, 2001), k-means++ seeded.

    - ``restarts``: independent seedings, the best is kept; ≥ 1. More is steadier and slower.
    - ``iterations``: most rounds of one run; ≥ 1. It stops earlier when no point moves.
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
        with _one_thread():
            runs = [self._run(few, _plus_plus(few, k, rng)) for _ in range(self.restarts)]
            best = min(runs, key=lambda run: run[1])[0]
            return best if few is unit else self._run(unit, best)[0]

    def assign(self, points: Float, centroids: Float) -> NDArray[np.int64]:
        """The centroid with the highest cosine for each point, int64 (n,)."""
        with _one_thread():
            return np.asarray(np.argmax(points @ centroids.T, axis=1), dtype=np.int64)

    def _run(self, unit: Float, centroids: Float) -> tuple[Float, float]:
        """Lloyd's rounds until the mean cosine distance shrinks by less than a thousandth; the
        centroids and that distance, lower is better."""
        rows = np.arange(len(unit))
        distance = np.inf
        for _ in range(self.iterations):
            cosines = unit @ centroids.T
            labels = np.argmax(cosines, axis=1)
            before, distance = distance, 1 - float(cosines[rows, labels].mean(dtype=np.float64))
            members = np.zeros((len(centroids), len(unit)), dtype=np.float32)
            members[labels, rows] = 1
            kept = members.any(axis=1)  # a cluster that lost its last point is dropped
            centroids = _normalised((members @ unit)[kept])
            if before - distance < 1e-3 * distance + 1e-9:
                break
        return centroids, distance


def _one_thread() -> AbstractContextManager[object]:
    """BLAS on one thread: these products are so small that threads cost up to fifteen times as much
    waiting for each other, and rounding does not depend on their number."""
    manager: AbstractContextManager[object] = _threads().limit(limits=1, user_api="blas")
    return manager


@cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()  # looking for the libraries takes milliseconds


def _normalised(points: Float) -> Float:
    points = points.astype(np.float32, copy=False)
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
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
