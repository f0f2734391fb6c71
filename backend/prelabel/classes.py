"""Regions to classes: the clusters of their vectors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from prelabel.clustering import assign, fit_centroids
from prelabel.levels import unit
from prelabel.strategies import Clusterer

Float = NDArray[np.float32]
_ATTEMPTS = 20
"""Seeds that are tried. There are few regions, and one bad start merges two classes for good."""


def number_of_classes(*, wanted: int, n_labels: int, n_regions: int) -> int:
    """How many clusters: ``wanted`` if given; else two per label, since clusters merge by one name
    but do not split by one; else sqrt(n / 2) (Mardia, Kent and Bibby, Multivariate Analysis, 1979).
    Never more than regions.
    """
    count = wanted or 2 * n_labels or max(1, round(math.sqrt(n_regions / 2)))
    return min(count, n_regions)


def fit_classes(embeddings: Float, *, k: int, clusterer: Clusterer, seed: int) -> Float:
    """Class centroids float32 (j, d), j ≤ k, of embeddings float32 (n, d); largest class first.

    Of several seeds the clustering wins whose vectors are nearest to their centroids by cosine.
    """
    if k == 0:
        return np.zeros((0, embeddings.shape[1] if embeddings.ndim == 2 else 0), dtype=np.float32)
    vectors = unit(embeddings)

    def nearness(centroids: Float) -> float:
        own = unit(centroids)[assign(clusterer, embeddings, centroids)]
        return float((vectors * own).sum(axis=1).mean())

    attempts = range(seed, seed + _ATTEMPTS)
    centroids = max(
        (fit_centroids(clusterer, embeddings, k=k, seed=s) for s in attempts), key=nearness
    )
    sizes = np.bincount(assign(clusterer, embeddings, centroids), minlength=len(centroids))
    return np.asarray(centroids[np.argsort(-sizes, kind="stable")])
