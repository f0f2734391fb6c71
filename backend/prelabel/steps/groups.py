"""Photos to groups: the category level's clustering of CLS tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prelabel.config import Levels as Settings
from prelabel.steps.levels import unit
from prelabel.strategies.checks import fit_centroids
from prelabel.strategies.protocols import Clusterer

Float = NDArray[np.float32]


def group_photos(
    cls: Float, *, settings: Settings, clusterer: Clusterer, seed: int
) -> tuple[Float, Float, NDArray[np.int64]]:
    """Unit centroids (g, dim), reach (g,) and the group of each photo int64 (n,), from CLS tokens
    float32 (n, dim). With one group there is nothing to learn from it: g is 0, all groups -1.
    """
    n, dim = cls.shape
    none = np.zeros((0, dim), np.float32), np.zeros(0, np.float32), np.full(n, -1)
    n_groups = int(np.clip(n / settings.photos_per_group, 1, settings.max_groups))
    if n_groups == 1:
        return none
    points = unit(cls)
    centroids = unit(fit_centroids(clusterer, points, k=n_groups, seed=seed))
    while True:
        groups = np.argmax(points @ centroids.T, axis=1)
        sizes = np.bincount(groups, minlength=len(centroids))
        if sizes.min() >= settings.min_group or len(centroids) == 1:
            break
        # Without the smallest group, its photos go to their nearest other one.
        centroids = np.delete(centroids, int(sizes.argmin()), axis=0)
    if len(centroids) == 1:
        return none
    own = (points * centroids[groups]).sum(axis=1)
    reach = np.array([_reach(own[groups == g]) for g in range(len(centroids))], dtype=np.float32)
    return centroids, reach, groups


def _reach(cosines: Float) -> float:
    """The lowest cosine in a group, from the cosines of its photos: 1.5 times as far out as the
    farthest."""
    return float(1 - 1.5 * (1 - cosines.min()))
