"""Regions to classes: the clusters of their vectors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from prelabel.strategies import Clusterer

Float = NDArray[np.float32]


def number_of_classes(*, wanted: int, n_labels: int, n_regions: int) -> int:
    """How many clusters: ``wanted`` if given; else two per label, since clusters merge by one name
    but do not split by one; else sqrt(n / 2) (Mardia, Kent and Bibby, Multivariate Analysis, 1979).
    Never more than regions.
    """
    count = wanted or 2 * n_labels or max(1, round(math.sqrt(n_regions / 2)))
    return min(count, n_regions)


def fit_classes(embeddings: Float, *, k: int, clusterer: Clusterer, seed: int) -> Float:
    """Class centroids float32 (j, d), j ≤ k, of embeddings float32 (n, d); largest class first."""
    if k == 0:
        return np.zeros((0, embeddings.shape[1] if embeddings.ndim == 2 else 0), dtype=np.float32)
    centroids = clusterer.fit(embeddings, k=k, seed=seed)
    sizes = np.bincount(clusterer.assign(embeddings, centroids), minlength=len(centroids))
    return np.asarray(centroids[np.argsort(-sizes, kind="stable")])
