"""Histograms of the scores and sizes of each class, and how far a review has come."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from prelabel.evaluation.costs import Costs
from prelabel.review.source import Name

N_BINS = 20
_COSTS = Costs()


class Progress(msgspec.Struct):
    """How far a review has come.

    ``named``: regions of classes that have a name or are background. ``classes_left``: those that
    have neither. ``seconds_saved``: what giving these regions their label, or deleting them, would
    have taken one by one, by the costs of `prelabel evaluate`; ``seconds_total``: the same of all.
    """

    regions: int
    named: int
    classes: int
    classes_left: int
    seconds_saved: float
    seconds_total: float


class ClassFigures(msgspec.Struct):
    """Histograms of a class: how many of its regions are in each bin."""

    id: int
    scores: list[int]
    sizes: list[int]


class Figures(msgspec.Struct):
    """``score_edges``, ``size_edges``: of the bins, one more than there are; sizes in pixels."""

    score_edges: list[float]
    size_edges: list[float]
    classes: list[ClassFigures]


def progress(counts: Mapping[int, int], names: Mapping[int, Name]) -> Progress:
    """``counts``: regions of each class."""
    named = sum(n for c, n in counts.items() if names[c])
    background = sum(n for c, n in counts.items() if names[c] is None)
    regions = sum(counts.values())
    deleting = _COSTS.delete * background
    return Progress(
        regions=regions,
        named=named + background,
        classes=len(counts),
        classes_left=sum(name == "" for name in names.values()),
        seconds_saved=_COSTS.relabel * named + deleting,
        seconds_total=_COSTS.relabel * (regions - background) + deleting,
    )


def figures(
    class_of: NDArray[np.int32], scores: NDArray[np.float32], areas: NDArray[np.int32]
) -> Figures:
    """Figures of all classes, int32 (n,); sizes in bins whose edges grow by the same factor."""
    score_edges = np.linspace(0, 1, N_BINS + 1)
    highest = float(max(areas.max(initial=1), 2))
    size_edges = np.geomspace(1, highest, N_BINS + 1)
    classes, own = np.unique(class_of, return_inverse=True)
    score_bins = np.clip((scores * N_BINS).astype(int), 0, N_BINS - 1)
    size_bins = np.clip(
        (np.log(np.maximum(areas, 1)) / np.log(highest) * N_BINS).astype(int), 0, N_BINS - 1
    )
    return Figures(
        score_edges.tolist(),
        size_edges.tolist(),
        [
            ClassFigures(int(c), by_score.tolist(), by_size.tolist())
            for c, by_score, by_size in zip(
                classes,
                _table(own, score_bins, len(classes)),
                _table(own, size_bins, len(classes)),
                strict=True,
            )
        ],
    )


def _table(rows: NDArray[np.int64], bins: NDArray[np.int64], n_rows: int) -> NDArray[np.int64]:
    """How many of each row are in each bin, (n_rows, N_BINS)."""
    flat = np.bincount(rows * N_BINS + bins, minlength=n_rows * N_BINS)
    return flat.reshape(n_rows, N_BINS)
