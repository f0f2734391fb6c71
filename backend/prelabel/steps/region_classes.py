"""The class of a region, from a learner's patches and from the nearest exemplars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Rle
from prelabel.steps.blending import WEIGHTS
from prelabel.steps.levels import unit
from prelabel.steps.patch_labels import LabelledPhoto, patch_coverage

Float = NDArray[np.float32]
_SHARPNESS = 20.0
"""Steepness of a class's score over the cosine of its nearest exemplar: one that is nearer by 0.1
counts 7 times as much."""
_MOST_EXEMPLARS = 200
"""Vectors that are kept of a class, drawn evenly."""


def region_shares(classes: Float, rles: Sequence[Rle], height: int, width: int) -> Float:
    """Means of P of each class over regions, float32 (n, n_classes).

    ``classes``: float32 (height · width, n_classes), of the patches.
    """
    found = np.zeros((len(rles), classes.shape[1]), dtype=np.float32)
    for row, rle in zip(found, rles, strict=True):
        covered = patch_coverage([rle], height, width).ravel()
        row[:] = covered @ classes / max(float(covered.sum()), 1e-9)
    return found


def exemplar_scores(
    vectors: Float, exemplars: Float, exemplar_classes: Float, n_classes: int
) -> Float:
    """How near each region is to each class, float32 (n, n_classes); rows sum to 1, or are 0 without
    an exemplar or a vector. What counts of a class is its nearest exemplar, by cosine."""
    scores = np.zeros((len(vectors), n_classes), dtype=np.float32)
    if not len(exemplars) or vectors.shape[1:] != exemplars.shape[1:]:
        return scores
    cosines = np.stack([(exemplars * vector).sum(axis=1) for vector in unit(vectors)])
    for c in range(n_classes):
        own = exemplar_classes == c
        if own.any():
            scores[:, c] = np.exp(_SHARPNESS * (cosines[:, own].max(axis=1) - 1))
    return np.asarray(scores / np.maximum(scores.sum(axis=1, keepdims=True), 1e-30), np.float32)


def mix(shares: Float, nearest: Float, weight: float) -> Float:
    """Scores of classes, float32 (n, n_classes), with the weight of the learner's ``shares``; what
    one of the two knows nothing of is the other's."""
    total = shares.sum(axis=1, keepdims=True)
    learned = np.where(total > 0, shares / np.maximum(total, 1e-9), nearest)
    nearest = np.where(nearest.sum(axis=1, keepdims=True) > 0, nearest, learned)
    return np.asarray(weight * learned + (1 - weight) * nearest, dtype=np.float32)


def exemplars_of(photos: Sequence[LabelledPhoto], classes: Sequence[str]) -> tuple[Float, Float]:
    """Vectors float32 (n, dim) of length 1 of regions with a name, and their classes float32 (n,)."""
    vectors: list[Float] = []
    numbers: list[float] = []
    for number, name in enumerate(classes):
        own = [
            region.vector
            for photo in photos
            for region in photo.regions
            if region.name == name and region.vector is not None
        ]
        chosen = np.unique(np.linspace(0, len(own) - 1, min(len(own), _MOST_EXEMPLARS)).astype(int))
        vectors += [own[i] for i in chosen]
        numbers += [float(number)] * len(chosen)
    if not vectors:
        return np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.float32)
    return unit(np.stack(vectors)), np.array(numbers, dtype=np.float32)


def named_right(
    photo: LabelledPhoto,
    classes: Sequence[str],
    p: Float,
    grid: tuple[int, ...],
    exemplars: tuple[Float, Float],
) -> list[list[float]]:
    """For each region with a name and a vector: for each of ``WEIGHTS``, whether it gets its own
    class. ``p``: the learner's P of each class at the patches."""
    own = [region for region in photo.regions if region.name and region.vector is not None]
    if not own or len(classes) < 2:
        return []
    shares = region_shares(p, [region.rle for region in own], *grid[:2])
    vectors = np.stack([region.vector for region in own if region.vector is not None])
    nearest = exemplar_scores(vectors, *exemplars, len(classes))
    truth = np.array([classes.index(region.name) for region in own])
    right = [mix(shares, nearest, weight).argmax(axis=1) == truth for weight in WEIGHTS]
    found: list[list[float]] = np.stack(right, axis=1).astype(float).tolist()
    return found
