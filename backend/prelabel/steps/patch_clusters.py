"""Clusterings of the patches of many photos, with scores: of all photos, and of a group of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from prelabel.steps.levels import (
    Clusters,
    PatchBlocks,
    Patches,
    mean_by_cluster,
    sum_by_cluster,
)
from prelabel.storage.threads import cores, prefetch_map
from prelabel.strategies import registry
from prelabel.strategies.checks import assign, check_array, fit_blocks, fit_centroids
from prelabel.strategies.protocols import BlockClusterer, Clusterer, Foreground

Float = NDArray[np.float32]
Above = Callable[[Float], Float]
"""P(foreground) float32 (n,) of patches float32 (n, dim), by the level above."""
_RATED = 1 << 22
"""Most patches that a foreground rule is given, about: some 100 MB, and the mean attention of a cluster
of 1 % of them is known to about 1 %."""
_WORKERS = 4
"""Most blocks at once."""


def fit_dataset(
    patches: Patches,
    *,
    ks: Sequence[int],
    clusterer: Clusterer,
    foreground: Foreground,
    seed: int,
    every: PatchBlocks | None = None,
) -> Clusters:
    """Cluster patches for every k and let the foreground rule score the clusters.

    ``every``: all patches, of which ``patches`` are then a sample to start from.
    """
    centroids = _fit_each(patches, every, ks=ks, clusterer=clusterer, seed=seed)
    rated = _rate(every or PatchBlocks.of(patches), centroids, clusterer, foreground)
    return Clusters(tuple(centroids), tuple(own for own, _ in rated))


def fit_category(
    patches: Patches,
    above: Above,
    *,
    ks: Sequence[int],
    clusterer: Clusterer,
    foreground: Foreground,
    seed: int,
    every: PatchBlocks | None = None,
) -> Clusters:
    """Cluster a group's patches for every k, as ``fit_dataset``. A cluster's score is the average of
    its patches' score at the level above and of the foreground rule's score within the group: with the
    first alone, the three levels would not be independent.
    """
    centroids = _fit_each(patches, every, ks=ks, clusterer=clusterer, seed=seed)
    rated = _rate(every or PatchBlocks.of(patches), centroids, clusterer, foreground, above)
    scores = (np.asarray((inherited + own) / 2, dtype=np.float32) for own, inherited in rated)
    return Clusters(tuple(centroids), tuple(scores))


def _fit_each(
    patches: Patches,
    every: PatchBlocks | None,
    *,
    ks: Sequence[int],
    clusterer: Clusterer,
    seed: int,
) -> list[Float]:
    """Centroids of ``patches`` for every k, moved to what fits ``every`` patch if there are more."""

    def fit(k: int) -> Float:
        return fit_centroids(clusterer, patches.vectors, k=k, seed=seed)

    largest_first = sorted(ks, reverse=True)  # it takes longest: no core waits for it at the end
    by_k = dict(prefetch_map(fit, largest_first, workers=cores()))
    fitted = [by_k[k] for k in ks]
    if every is None:
        return fitted
    blocks = cast("BlockClusterer", clusterer)  # as the config has made sure
    return fit_blocks(blocks, lambda: (block.vectors for block in every.read()), fitted)


@dataclass(frozen=True)
class _Labelled:
    """Of a block: the cluster int16 (n,) of the patches that the rule is given for each clustering, their
    attention, border and photo, and ``sum_by_cluster`` of what the level above says of all patches."""

    clusters: list[NDArray[np.int16]]
    attention: Float
    border: NDArray[np.bool_]
    photos: NDArray[np.int64]
    above: list[NDArray[np.float64]]


def _rate(
    every: PatchBlocks,
    centroids: Sequence[Float],
    clusterer: Clusterer,
    foreground: Foreground,
    above: Above | None = None,
) -> list[tuple[Float, Float]]:
    """For each clustering float32 (k,) twice: the foreground rule's scores, and the means of what the
    level above says of the clusters' patches, 0 without one."""
    share = _RATED / every.n

    def label(numbered: tuple[int, Patches]) -> _Labelled:
        number, block = numbered
        n = len(block.attention)
        given = np.random.default_rng(number).random(n) < share
        labels = [assign(clusterer, block.vectors, own) for own in centroids]
        scores = above(block.vectors) if above else np.zeros(n, np.float32)
        return _Labelled(
            [own[given].astype(np.int16) for own in labels],
            block.attention[given],
            block.border[given],
            block.photos[given],
            [
                sum_by_cluster(own, scores, k=len(c))
                for own, c in zip(labels, centroids, strict=True)
            ],
        )

    blocks, inherited = [], [np.zeros((2, len(own))) for own in centroids]
    for _, block in prefetch_map(label, enumerate(every.read()), workers=min(_WORKERS, cores())):
        for total, sums in zip(inherited, block.above, strict=True):
            total += sums
        block.above.clear()  # many blocks' would take more than all else
        blocks.append(block)
    attention = np.concatenate([block.attention for block in blocks])
    border = np.concatenate([block.border for block in blocks])
    photos = np.concatenate([block.photos for block in blocks])
    name = registry.title("foreground", foreground)
    rated = []
    for i, own in enumerate(centroids):
        clusters = np.concatenate([block.clusters[i] for block in blocks]).astype(np.int64)
        scores = foreground.score(
            clusters, k=len(own), attention=attention, border=border, photos=photos
        )
        checked = check_array(name, scores, (len(own),), probability=True)
        rated.append((checked, mean_by_cluster(inherited[i])))
    return rated
