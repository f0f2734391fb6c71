"""What the methods that cut a photo's patches have in common: graph, eigenvector, parts, pixels."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from prelabel.data.bulges import Labels, numbered
from prelabel.data.masks import Mask
from prelabel.data.patch_regions import nearest_known
from prelabel.data.records import PatchMaps
from prelabel_plugins.refiners.guided_filter import GuidedFilter

Float = NDArray[np.float32]
Double = NDArray[np.float64]
Features = Literal["raw", "relative"]
_WEAK = 1e-5
"""Weight between patches that are not alike: it keeps the graph connected (TokenCut)."""
_ROUNDING = 1e-8
"""Relative to the largest absolute value. On graphs of 600 patches in four groups, Lanczos and a dense solver differ by
up to 2e-10 of it."""
_DENSE = 64
"""Patches up to which all eigenvectors are computed."""


def features_of(patches: PatchMaps, features: Features) -> Float:
    """float32 (h, w, dim): the backbone's features, or relative to what is usual at their place."""
    return patches.raw.astype(np.float32) if features == "raw" else patches.vectors


def unit_rows(vectors: Float) -> Float:
    """float32 (n, dim) of length 1, from (h, w, dim); zero stays zero."""
    rows = vectors.reshape(-1, vectors.shape[-1]).astype(np.float32)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def cosines(vectors: Float) -> Float:
    """float32 (n, n) in [-1, 1], of all pairs of the patches of (h, w, dim)."""
    rows = unit_rows(vectors)
    return np.asarray(rows @ rows.T)


def binary_graph(alike: Float, tau: float) -> Double:
    """Weights float64 (n, n) of ties as in TokenCut: 1 where the cosine is above ``tau``, else 1e-5."""
    return np.where(alike > tau, 1.0, _WEAK)


def second_eigenvector(weights: NDArray[np.floating]) -> Double:
    """The relaxed normalised cut (Shi and Malik, TPAMI 2000): float64 (n,), its sign open.

    It is the eigenvector of the second smallest eigenvalue of (D - W) y = λ D y, where W are the
    ``weights`` (n, n), symmetric and not negative, and D their sums. That is the second largest of
    D^-½ W D^-½, all in [-1, 1], whose largest is known, (D 1)^½ with 1, and moved to -2; the rest is
    Lanczos. Where all weights are equal every vector is an answer, and it is zero.
    """
    n = len(weights)
    if n < 2 or weights.min() == weights.max():
        return np.zeros(n)
    sums = weights.sum(axis=1, dtype=np.float64)
    roots = np.sqrt(np.where(sums > 1e-12, sums, 1.0))
    scaled = weights / roots / roots[:, None]
    known = np.sqrt(sums / sums.sum())
    found = _largest(scaled, known) if n > _DENSE else None
    if found is None:
        _, vectors = eigh(scaled - 3 * np.outer(known, known), subset_by_index=[n - 1, n - 1])
        found = vectors[:, 0]
    return np.asarray(found / roots, dtype=np.float64)


def _largest(scaled: Double, known: Double) -> Double | None:
    """The eigenvector of the largest eigenvalue but the known one's, None if it is not found."""
    n = len(scaled)
    rest = LinearOperator((n, n), lambda x: scaled @ x - 3 * known * (known @ x), dtype=np.float64)
    start = np.random.default_rng(0).normal(size=n)
    try:
        _, vectors = eigsh(rest, k=1, which="LA", v0=start)
    except ArpackError:
        return None
    return np.asarray(vectors[:, 0])


def first_largest(values: Double) -> int:
    """The first index of the largest value, where values that differ by rounding alone are equal.

    Parts that are alike have such ones in an eigenvector: the processor must not choose among them.
    """
    return int(np.argmax(values >= values.max() - _ROUNDING * np.abs(values).max()))


def part_with(mask: Mask, seed: int) -> Mask:
    """The connected part (4 neighbours) of a mask bool (h, w) that holds the patch of that number."""
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    return np.asarray((parts == parts.flat[seed]) & mask)


def to_pixels(masks: NDArray[np.bool_], image: NDArray[np.uint8]) -> Labels:
    """Masks bool (n, h, w) on the patches as regions int32 (height, width) of the photo.

    Where masks overlap the smaller one is seen. The outline of all together is enlarged and follows
    the photo's edges by the guided filter, as P(foreground) does with default settings (the papers
    take a dense CRF or a bilateral solver); each pixel inside has the number of the nearest patch.
    """
    height, width = image.shape[:2]
    found = np.zeros(masks.shape[1:], dtype=np.int32)
    order = np.argsort(-masks.sum(axis=(1, 2)), kind="stable")
    for number, mask in enumerate(masks[order], start=1):
        found[mask] = number
    if not found.any():
        return np.zeros((height, width), dtype=np.int32)
    coarse = cv2.resize((found > 0).astype(np.float32), (width, height))
    inside = GuidedFilter().refine(np.asarray(coarse, dtype=np.float32), image) > 0.5
    everywhere = nearest_known(found, found > 0).astype(np.uint16)
    large = cv2.resize(everywhere, (width, height), interpolation=cv2.INTER_NEAREST)
    return numbered(np.where(inside, large, 0).astype(np.int32))
