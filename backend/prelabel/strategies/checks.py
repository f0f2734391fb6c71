"""Checks of what strategies return, against the promises of their kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prelabel.errors import ContractError
from prelabel.strategies.protocols import Clusterer

Float = NDArray[np.float32]
Array = NDArray[Any]


def fit_centroids(clusterer: Clusterer, vectors: Float, *, k: int, seed: int) -> Float:
    """Centroids float32 (j, d), 1 ≤ j ≤ k, of vectors float32 (n, d), n ≥ 1. ContractError."""
    centroids = clusterer.fit(vectors, k=k, seed=seed)
    name = f"clusterer {type(clusterer).__name__}"
    check_array(name, centroids, (None, vectors.shape[1]))
    most = min(k, len(vectors))
    if not 1 <= len(centroids) <= most:
        expected = f"(1 to {most}, {vectors.shape[1]})"
        raise ContractError(f"{name} returned shape {centroids.shape}, expected {expected}")
    return centroids


def assign(clusterer: Clusterer, vectors: Float, centroids: Float) -> NDArray[np.int64]:
    """The centroid of each vector, int64 (n,). Raises ContractError."""
    labels = clusterer.assign(vectors, centroids)
    check_labels(f"clusterer {type(clusterer).__name__}", labels, n=len(vectors), k=len(centroids))
    return labels


def check_array(
    strategy: str, array: object, shape: tuple[int | None, ...], *, probability: bool = False
) -> Array:
    """The array, if it is of floats, finite, of that shape (None: any), and in [0, 1] if it is a
    probability. Raises ContractError, naming the strategy, if it is not."""
    checked = _check_shape(strategy, array, shape)
    if checked.dtype.kind != "f":
        raise ContractError(f"{strategy} returned {checked.dtype}, expected float32")
    if not np.isfinite(checked).all():
        raise ContractError(f"{strategy} returned values that are not finite")
    if probability and checked.size:
        low, high = float(checked.min()), float(checked.max())
        if not (low >= -1e-6 and high <= 1 + 1e-6):
            raise ContractError(
                f"{strategy} returned values from {low:.3g} to {high:.3g}, expected 0 to 1"
            )
    return checked


def check_labels(strategy: str, array: object, *, n: int, k: int) -> Array:
    """The array, if it is n whole numbers in [0, k). Raises ContractError, naming the strategy, if
    it is not."""
    checked = _check_shape(strategy, array, (n,))
    if checked.dtype.kind != "i":
        raise ContractError(f"{strategy} returned {checked.dtype}, expected int64")
    if n and not (checked.min() >= 0 and checked.max() < k):
        raise ContractError(
            f"{strategy} returned values from {checked.min()} to {checked.max()}, "
            f"expected 0 to {k - 1}"
        )
    return checked


def check_regions(strategy: str, array: object, shape: tuple[int, ...]) -> Array:
    """The array, if it is int32 of that shape and has each number from 0 or 1 to its highest. Raises
    ContractError, naming the strategy, if it is not."""
    checked = _check_shape(strategy, array, shape)
    if checked.dtype != np.int32:
        raise ContractError(f"{strategy} returned {checked.dtype}, expected int32")
    if checked.min() < 0:
        raise ContractError(f"{strategy} returned {checked.min()}, expected 0 or more")
    numbers = np.unique(checked[checked > 0])
    missing = np.flatnonzero(numbers != np.arange(1, len(numbers) + 1))
    if len(missing):
        first, most = int(missing[0]) + 1, int(numbers[-1])
        raise ContractError(
            f"{strategy} returned no region {first} but a region {most}, expected numbers without gaps"
        )
    return checked


def _check_shape(strategy: str, array: object, shape: tuple[int | None, ...]) -> Array:
    if not isinstance(array, np.ndarray):
        raise ContractError(f"{strategy} returned {type(array).__name__}, expected an array")
    fits = len(array.shape) == len(shape)
    if not fits or any(w is not None and f != w for f, w in zip(array.shape, shape, strict=True)):
        expected = tuple("any" if n is None else n for n in shape)
        raise ContractError(f"{strategy} returned shape {array.shape}, expected {expected}")
    return array
