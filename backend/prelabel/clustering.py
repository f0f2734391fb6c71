"""A clusterer's answers, checked against its contract."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prelabel.strategies import Clusterer, ContractError, check_array, check_labels

Float = NDArray[np.float32]


def fit_centroids(clusterer: Clusterer, vectors: Float, *, k: int, seed: int) -> Float:
    """Centroids float32 (j, d), 1 ≤ j ≤ k, of vectors float32 (n, d), n ≥ 1. ContractError."""
    centroids = clusterer.fit(vectors, k=k, seed=seed)
    name = f"clusterer {type(clusterer).__name__}"
    check_array(name, centroids, (None, vectors.shape[1]))
    most = min(k, len(vectors))
    if not 1 <= len(centroids) <= most:
        wanted = f"(1 to {most}, {vectors.shape[1]})"
        raise ContractError(f"{name} returned shape {centroids.shape}, wanted {wanted}")
    return centroids


def assign(clusterer: Clusterer, vectors: Float, centroids: Float) -> NDArray[np.int64]:
    """The centroid of each vector, int64 (n,). Raises ContractError."""
    labels = clusterer.assign(vectors, centroids)
    check_labels(f"clusterer {type(clusterer).__name__}", labels, n=len(vectors), k=len(centroids))
    return labels
