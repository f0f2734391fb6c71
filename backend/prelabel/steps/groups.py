"""Photos to groups: the category level's clustering of CLS tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from prelabel.config import Levels as Settings
from prelabel.steps.levels import unit
from prelabel.steps.photos import draw_sample
from prelabel.strategies.checks import fit_blocks, fit_centroids, similarity
from prelabel.strategies.protocols import BlockClusterer, Clusterer

Float = NDArray[np.float32]
_BLOCK = 65_536
"""Photos whose tokens are float32 at once; of more, centroids are fitted to a sample first."""


def group_photos(
    cls: NDArray[Any], *, settings: Settings, clusterer: Clusterer, seed: int, every: bool = False
) -> tuple[Float, Float, NDArray[np.int64]]:
    """Unit centroids (g, dim), reach (g,) and the group of each photo int64 (n,), from CLS tokens of
    any float (n, dim), scaled to length 1 and compared by the clusterer's own measure. With one group
    there is nothing to learn from it: g is 0, all groups -1. ``every``: the centroids are of all
    photos, not of a sample, however many there are.
    """
    n, dim = cls.shape
    none = np.zeros((0, dim), np.float32), np.zeros(0, np.float32), np.full(n, -1)
    n_groups = int(np.clip(n / settings.photos_per_group, 1, settings.max_groups))
    if n_groups == 1:
        return none

    def blocks() -> Iterator[Float]:
        return (unit(cls[start : start + _BLOCK]) for start in range(0, n, _BLOCK))

    sample = unit(cls[draw_sample(range(n), most=_BLOCK, seed=seed)] if n > _BLOCK else cls)
    centroids = unit(fit_centroids(clusterer, sample, k=n_groups, seed=seed))
    if every:
        of_blocks = cast("BlockClusterer", clusterer)  # as the config has made sure
        centroids = unit(fit_blocks(of_blocks, blocks, [centroids])[0])
    nearest = [_nearest(clusterer, points, centroids) for points in blocks()]
    groups, closeness = (np.concatenate(part) for part in zip(*nearest, strict=True))
    while len(centroids) > 1:
        sizes = np.bincount(groups, minlength=len(centroids))
        smallest = int(sizes.argmin())
        if sizes[smallest] >= settings.min_group:
            break
        # Without the smallest group, its photos go to their nearest other one.
        centroids = np.delete(centroids, smallest, axis=0)
        leave = np.flatnonzero(groups == smallest)
        groups[groups > smallest] -= 1
        if len(leave):
            groups[leave], closeness[leave] = _nearest(clusterer, unit(cls[leave]), centroids)
    if len(centroids) == 1:
        return none
    reach = np.zeros(len(centroids), dtype=np.float32)
    for g, centroid in enumerate(centroids):
        # 1.5 times as far out as the farthest photo.
        (most,) = similarity(clusterer, centroid[None], centroid)
        reach[g] = most - 1.5 * (most - closeness[groups == g].min())
    return centroids, reach, groups


def _nearest(
    clusterer: Clusterer, points: Float, centroids: Float
) -> tuple[NDArray[np.int64], Float]:
    """The nearest centroid of each point, and its similarity."""
    similar = np.stack([similarity(clusterer, points, c) for c in centroids], axis=1)
    groups = similar.argmax(axis=1)
    return groups, np.take_along_axis(similar, groups[:, None], axis=1)[:, 0]
