"""Checks of what strategies return, against the promises of their kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prelabel.errors import ContractError
from prelabel.strategies.protocols import Clusterer

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


def check_array(
    strategy: str, array: Any, shape: tuple[int | None, ...], *, probability: bool = False
) -> None:
    """Raise ContractError, naming the strategy, unless the array is of floats, finite, of that
    shape (None: any), and in [0, 1] if it is a probability."""
    _check_shape(strategy, array, shape)
    if array.dtype.kind != "f":
        raise ContractError(f"{strategy} returned {array.dtype}, wanted float32")
    if not np.isfinite(array).all():
        raise ContractError(f"{strategy} returned values that are not finite")
    if probability and array.size and not (array.min() >= -1e-6 and array.max() <= 1 + 1e-6):
        low, high = float(array.min()), float(array.max())
        raise ContractError(
            f"{strategy} returned values from {low:.3g} to {high:.3g}, wanted 0 to 1"
        )


def check_labels(strategy: str, array: Any, *, n: int, k: int) -> None:
    """Raise ContractError, naming the strategy, unless these are n whole numbers in [0, k)."""
    _check_shape(strategy, array, (n,))
    if array.dtype.kind != "i":
        raise ContractError(f"{strategy} returned {array.dtype}, wanted int64")
    if n and not (array.min() >= 0 and array.max() < k):
        raise ContractError(
            f"{strategy} returned values from {array.min()} to {array.max()}, wanted 0 to {k - 1}"
        )


def _check_shape(strategy: str, array: Any, shape: tuple[int | None, ...]) -> None:
    if not isinstance(array, np.ndarray):
        raise ContractError(f"{strategy} returned {type(array).__name__}, wanted an array")
    fits = len(array.shape) == len(shape)
    if not fits or any(w is not None and f != w for f, w in zip(array.shape, shape, strict=True)):
        wanted = tuple("any" if n is None else n for n in shape)
        raise ContractError(f"{strategy} returned shape {array.shape}, wanted {wanted}")
