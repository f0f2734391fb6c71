"""Checks of what strategies return, against the promises of their kind.

The contract checks and the pipeline use the same ones, so both have one rule for types: any float is
taken and becomes float32 (a backbone's float16), any whole number becomes int64; nothing else is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from prelabel.data.records import Crop, LabelledPatches, PatchFeatures, PatchMaps
from prelabel.errors import ContractError
from prelabel.strategies import registry
from prelabel.strategies.protocols import (
    BlockClusterer,
    Clusterer,
    Learner,
    MoreRegions,
    Refiner,
    Separator,
)

Float = NDArray[np.float32]
Array = NDArray[Any]


def fit_centroids(clusterer: Clusterer, vectors: Float, *, k: int, seed: int) -> Float:
    """Centroids float32 (j, d), 1 ≤ j ≤ k, of vectors float32 (n, d), n ≥ 1. ContractError."""
    name = registry.title("clusterer", clusterer)
    fitted = clusterer.fit(vectors, k=k, seed=seed)
    centroids = check_array(name, fitted, (None, vectors.shape[1]))
    most = min(k, len(vectors))
    if not 1 <= len(centroids) <= most:
        expected = f"(1 to {most}, {vectors.shape[1]})"
        raise ContractError(f"{name} returned shape {centroids.shape}, expected {expected}")
    return centroids


def fit_blocks(
    clusterer: BlockClusterer, blocks: Callable[[], Iterable[Float]], starts: Sequence[Float]
) -> list[Float]:
    """Centroids float32 (i, d), 1 ≤ i ≤ j, of each clustering that starts from (j, d), of all points in
    the blocks. Raises ContractError."""
    return check_refitted(
        registry.title("clusterer", clusterer), clusterer.fit_blocks(blocks, starts), starts
    )


def assign(clusterer: Clusterer, vectors: Float, centroids: Float) -> NDArray[np.int64]:
    """The centroid of each vector, int64 (n,). Raises ContractError."""
    labels = clusterer.assign(vectors, centroids)
    name = registry.title("clusterer", clusterer)
    return check_labels(name, labels, n=len(vectors), k=len(centroids))


def similarity(clusterer: Clusterer, vectors: Float, vector: Float) -> Float:
    """How similar vectors float32 (n, d) are to one, float32 (d,), by the clusterer's own measure:
    float32 (n,). Raises ContractError."""
    answer = clusterer.similarity(vectors, vector)
    return check_array(registry.title("clusterer", clusterer), answer, (len(vectors),))


def refine(refiner: Refiner, foreground: Float, pixels: NDArray[np.uint8]) -> Float:
    """P(foreground) float32 (h, w), refined. Raises ContractError."""
    answer = refiner.refine(foreground, pixels)
    name = registry.title("refiner", refiner)
    return check_array(name, answer, foreground.shape, probability=True)


def separate(
    separator: Separator,
    refined: Float,
    *,
    threshold: float,
    patches: PatchMaps,
    image: NDArray[np.uint8],
) -> NDArray[np.int32]:
    """Numbers of regions from 1, int32 (h, w), of P(foreground) float32 (h, w). Raises ContractError."""
    answer = separator.separate(refined, threshold=threshold, patches=patches, image=image)
    return check_regions(registry.title("separator", separator), answer, refined.shape)


def with_more_regions(separator: Separator) -> Separator:
    """The same that makes more regions, if it can. Raises ContractError."""
    if not isinstance(separator, MoreRegions):
        return separator
    answer: object = separator.with_more_regions()
    if not isinstance(answer, Separator):
        name = registry.title("separator", separator)
        raise ContractError(f"{name}: with_more_regions returned {answer!r}, expected a separator")
    return answer


def summarize(
    learner: Learner, photos: Iterable[LabelledPatches], *, seed: int
) -> Mapping[str, Float]:
    """A learner's summary of photos. Raises ContractError."""
    return check_named(registry.title("learner", learner), learner.summarize(photos, seed=seed))


def fit_learner(learner: Learner, summaries: Sequence[Mapping[str, Float]]) -> Mapping[str, Float]:
    """What a learner learns from summaries. Raises ContractError."""
    return check_named(registry.title("learner", learner), learner.fit(summaries))


def check_features(
    strategy: str, answer: object, grid: tuple[int, int], *, dim: int
) -> PatchFeatures:
    """One photo's features, float16, if they are finite as such and of these sizes. Raises
    ContractError, naming the strategy, if they are not."""
    expected = {"patches": (*grid, dim), "cls": (None,), "attention": grid}
    arrays = {
        field: check_array(
            f"{strategy}: {field}", getattr(answer, field, None), shape, as_=np.float16
        )
        for field, shape in expected.items()
    }
    return PatchFeatures(**arrays)


def check_named(strategy: str, answer: object) -> Mapping[str, Float]:
    """Arrays by name, as learners return them, of any shape. Raises ContractError, naming the
    strategy."""
    if not isinstance(answer, Mapping):
        raise ContractError(f"{strategy} returned {type(answer).__name__}, expected arrays by name")
    return {
        str(name): check_array(f"{strategy}: {name}", array, (None,) * np.ndim(array))
        for name, array in answer.items()
    }


def check_array(
    strategy: str,
    array: object,
    shape: tuple[int | None, ...],
    *,
    probability: bool = False,
    as_: DTypeLike = np.float32,
) -> Array:
    """The array, converted to float32 or ``as_``, if it is of floats, finite then, of that shape
    (None: any), and in [0, 1] if it is a probability. Raises ContractError, naming the strategy, if it
    is not."""
    checked = _check_shape(strategy, array, shape)
    if checked.dtype.kind != "f":
        raise ContractError(f"{strategy} returned {checked.dtype}, expected {np.dtype(as_)}")
    with np.errstate(over="ignore"):
        converted = checked.astype(as_, copy=False)
    if not np.isfinite(converted).all():
        raise ContractError(f"{strategy} returned values that are not finite as {np.dtype(as_)}")
    if probability and converted.size:
        low, high = float(converted.min()), float(converted.max())
        if not (low >= -1e-6 and high <= 1 + 1e-6):
            raise ContractError(
                f"{strategy} returned values from {low:.3g} to {high:.3g}, expected 0 to 1"
            )
    return converted


def check_refitted(strategy: str, answer: object, starts: Sequence[Float]) -> list[Float]:
    """The answer of ``fit_blocks``, if it has for each start float32 (j, d) from 1 to j centroids.
    Raises ContractError, naming the strategy, if it has not."""
    if not isinstance(answer, Sequence) or len(answer) != len(starts):
        found = f"{len(answer)}" if isinstance(answer, Sequence) else type(answer).__name__
        raise ContractError(f"{strategy} returned {found}, expected {len(starts)} clusterings")
    fitted = []
    for own, start in zip(answer, starts, strict=True):
        centroids = check_array(strategy, own, (None, start.shape[1]))
        if not 1 <= len(centroids) <= len(start):
            raise ContractError(
                f"{strategy} returned {len(centroids)} centroids, expected 1 to {len(start)}"
            )
        fitted.append(centroids)
    return fitted


def check_labels(strategy: str, array: object, *, n: int, k: int) -> NDArray[np.int64]:
    """The array as int64, if it is n whole numbers in [0, k). Raises ContractError, naming the
    strategy, if it is not."""
    checked = _check_shape(strategy, array, (n,))
    if checked.dtype.kind not in "iu":
        raise ContractError(f"{strategy} returned {checked.dtype}, expected int64")
    if n and not (checked.min() >= 0 and checked.max() < k):
        raise ContractError(
            f"{strategy} returned values from {checked.min()} to {checked.max()}, "
            f"expected 0 to {k - 1}"
        )
    return checked.astype(np.int64, copy=False)


def check_regions(strategy: str, array: object, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """The array as int32, if it is whole numbers of that shape and has each from 0 or 1 to its highest.
    Raises ContractError, naming the strategy, if it is not."""
    checked = _check_shape(strategy, array, shape)
    if checked.dtype.kind not in "iu":
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
    return checked.astype(np.int32, copy=False)


def check_pieces(strategy: str, array: object, mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The array as int32, if it is numbers of pieces of a region, bool (h, w), from 1 without gaps, and 0
    outside of it. Raises ContractError, naming the strategy, if it is not."""
    pieces = check_regions(strategy, array, mask.shape)
    if missing := int(np.count_nonzero((pieces > 0) != mask)):
        raise ContractError(
            f"{strategy} returned pieces that differ from the region at {missing} pixels, expected none"
        )
    return pieces


def check_crops(
    strategy: str, answer: object, masks: NDArray[np.bool_]
) -> tuple[Float, Sequence[Crop]]:
    """The vectors and crops of regions bool (n, h, w), if each crop has all pixels of its region.
    Raises ContractError, naming the strategy, if they are not."""
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise ContractError(
            f"{strategy} returned {type(answer).__name__}, expected vectors and crops"
        )
    vectors, crops = check_array(strategy, answer[0], (len(masks), None)), answer[1]
    if len(crops) != len(masks) or not all(isinstance(crop, Crop) for crop in crops):
        raise ContractError(
            f"{strategy} returned {len(crops)} crops, expected {len(masks)} of Crop"
        )
    for mask, crop in zip(masks, crops, strict=True):
        outside = int(mask.sum()) - int(mask[crop.rows, crop.columns].sum())
        if outside:
            raise ContractError(
                f"{strategy} returned a crop without {outside} pixels of its region, expected all"
            )
        seen = crop.features
        if not isinstance(seen, PatchFeatures):
            found = type(seen).__name__
            raise ContractError(f"{strategy} returned a crop of {found}, expected PatchFeatures")
        rows, columns, dim = _check_shape(strategy, seen.patches, (None, None, None)).shape
        check_features(strategy, seen, (rows, columns), dim=dim)
    return vectors, crops


def _check_shape(strategy: str, array: object, shape: tuple[int | None, ...]) -> Array:
    if not isinstance(array, np.ndarray):
        raise ContractError(f"{strategy} returned {type(array).__name__}, expected an array")
    fits = len(array.shape) == len(shape)
    if not fits or any(w is not None and f != w for f, w in zip(array.shape, shape, strict=True)):
        expected = tuple("any" if n is None else n for n in shape)
        raise ContractError(f"{strategy} returned shape {array.shape}, expected {expected}")
    return array
