"""Photos to groups: the category level's clustering of CLS tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prelabel.config import Levels as Settings
from prelabel.steps.levels import unit
from prelabel.strategies.checks import fit_centroids, similarity
from prelabel.strategies.protocols import Clusterer

Float = NDArray[np.float32]


def group_photos(
    cls: Float, *, settings: Settings, clusterer: Clusterer, seed: int
) -> tuple[Float, Float, NDArray[np.int64]]:
    """Unit centroids (g, dim), reach (g,) and the group of each photo int64 (n,), from CLS tokens
    float32 (n, dim), scaled to length 1 and compared by the clusterer's own measure. With one group
    there is nothing to learn from it: g is 0, all groups -1.
    """
    n, dim = cls.shape
    none = np.zeros((0, dim), np.float32), np.zeros(0, np.float32), np.full(n, -1)
    n_groups = int(np.clip(n / settings.photos_per_group, 1, settings.max_groups))
    if n_groups == 1:
        return none
    points = unit(cls)
    centroids = unit(fit_centroids(clusterer, points, k=n_groups, seed=seed))
    similar = np.stack([similarity(clusterer, points, one) for one in centroids], axis=1)
    while True:
        groups = np.argmax(similar, axis=1)
        sizes = np.bincount(groups, minlength=len(centroids))
        if sizes.min() >= settings.min_group or len(centroids) == 1:
            break
        # Without the smallest group, its photos go to their nearest other one.
        centroids = np.delete(centroids, int(sizes.argmin()), axis=0)
        similar = np.delete(similar, int(sizes.argmin()), axis=1)
    if len(centroids) == 1:
        return none
    reach = np.zeros(len(centroids), dtype=np.float32)
    for g, centroid in enumerate(centroids):
        # 1.5 times as far out as the farthest photo.
        (most,) = similarity(clusterer, centroid[None], centroid)
        reach[g] = most - 1.5 * (most - similar[groups == g, g].min())
    return centroids, reach, groups
