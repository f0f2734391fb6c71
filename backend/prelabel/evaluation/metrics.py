"""Metrics: IoU of foreground and boundaries, clusters matched to classes, AUROC of scores.

Truth masks are uint8 (h, w): class index, 0 background, 255 ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from prelabel.data.masks import Mask

VOID = 255
EDGE = 0.02
"""Width of the boundary, as a share of the photo's diagonal (Cheng et al. 2021)."""
Truth = NDArray[np.uint8]
Counts = NDArray[np.int64]


def foreground_iou(predicted: Mask, truth: Truth) -> float:
    """IoU of bool (h, w) with everything that is an object, void left out; 1 if both are empty."""
    return share(*foreground_pixels(predicted, truth))


def foreground_pixels(predicted: Mask, truth: Truth) -> tuple[int, int]:
    """Pixels of the intersection and of the union that ``foreground_iou`` divides."""
    valid = truth != VOID
    true = (truth > 0) & valid
    found = predicted & valid
    return int((found & true).sum()), int((found | true).sum())


def share(intersection: int, union: int) -> float:
    """Intersection over union; 1 if both are empty."""
    return intersection / union if union else 1.0


def boundary(mask: Mask) -> Mask:
    """The mask's pixels within ``EDGE`` of the diagonal of its outline, inside it.

    As in the authors' boundary_iou_api: the frame counts as outline, the distance is rounded to
    whole pixels, at least 1, and measured along rows, columns and diagonals (3 × 3 erosions).
    """
    height, width = mask.shape
    distance = max(1, round(EDGE * float(np.hypot(height, width))))
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(padded, np.ones((3, 3), dtype=np.uint8), iterations=distance)
    return np.asarray(mask & (inner[1:-1, 1:-1] == 0), dtype=np.bool_)


def boundary_pixels(predicted: Mask, truth: Truth) -> tuple[int, int]:
    """Like ``foreground_pixels``, of the two masks' boundaries: boundary IoU (Cheng et al. 2021).
    Void counts as foreground on both sides while boundaries are found, so that its own outline is
    not a boundary; then it is left out."""
    void = truth == VOID
    true = boundary(truth > 0) & ~void
    found = boundary(predicted | void) & ~void
    return int((found & true).sum()), int((found | true).sum())


@dataclass(frozen=True)
class ClassMatch:
    """Clusters matched to classes. ``mean_iou``: over background and the classes present.
    ``iou``: by class index. ``cluster``: the cluster of each class, -1 for none (with several, the
    first). ``accuracy``: share of the pixels whose cluster's class is theirs. ``class_of``: the
    class of each matched cluster; the others have none."""

    mean_iou: float
    iou: dict[int, float]
    cluster: dict[int, int]
    accuracy: float
    class_of: dict[int, int]


def confusion(clusters: NDArray[np.int64], truth: Truth, *, n_clusters: int) -> Counts:
    """Pixels, int64 (n_clusters + 1, 256): rows background, then clusters; columns true classes.

    ``clusters`` is (h, w) with 0 for background and cluster + 1 elsewhere. Column 255 is void.
    """
    flat = clusters.ravel() * 256 + truth.ravel()
    return np.bincount(flat, minlength=(n_clusters + 1) * 256).reshape(n_clusters + 1, 256)


def match_classes(counts: Counts, *, n_clusters: int | None = None) -> ClassMatch:
    """Hungarian matching of clusters to classes on IoU (scipy), background fixed to background.

    The protocol of unsupervised semantic segmentation: one confusion matrix over all pixels, void
    left out, mean over the classes present in the truth and background. A class without a cluster
    counts 0; a cluster without a class costs the classes that its pixels belong to. A pair that
    shares no pixel is not matched. ``n_clusters``: rows behind these get no class.
    """
    present = _present(counts)
    counts = counts[:, :VOID]
    unions = counts.sum(axis=1, keepdims=True) + counts.sum(axis=0, keepdims=True) - counts
    ious = counts / np.maximum(unions, 1)
    end = None if n_clusters is None else 1 + n_clusters
    own = ious[1:end][:, present]
    pairs = zip(*linear_sum_assignment(-own), strict=True)
    return given_classes(counts, {int(r): present[c] for r, c in pairs if own[r, c] > 0})


def vote_classes(counts: Counts, *, n_clusters: int | None = None) -> ClassMatch:
    """Each cluster takes the class that most of its object pixels belong to (the lowest of equals);
    several may take one. Background stays background, and ``n_clusters`` is, as in
    ``match_classes``.

    With more clusters than classes this is over-clustering, which flatters: with as many clusters
    as pixels it is always 1.
    """
    present = _present(counts)
    class_of = {}
    end = None if n_clusters is None else 1 + n_clusters
    for row, own in enumerate(counts[1:end][:, present]):
        if own.any():
            class_of[row] = present[int(own.argmax())]
    return given_classes(counts, class_of)


def given_classes(counts: Counts, class_of: Mapping[int, int]) -> ClassMatch:
    """The figures for clusters (from 0) with these classes (from 1); others have none."""
    present = _present(counts)
    counts = counts[:, :VOID]
    merged = np.zeros((VOID, VOID), dtype=np.int64)
    merged[0] = counts[0]
    for row, index in class_of.items():
        merged[index] += counts[1 + row]
    hits = np.diag(merged)
    unions = merged.sum(axis=1) + counts.sum(axis=0) - hits
    iou = {c: int(hits[c]) / max(int(unions[c]), 1) for c in (0, *present)}
    first = {index: row for row, index in sorted(class_of.items(), reverse=True)}
    return ClassMatch(
        mean_iou=float(np.mean(list(iou.values()))),
        iou=iou,
        cluster={c: first.get(c, -1) for c in iou},
        accuracy=share(int(hits.sum()), int(counts.sum())),
        class_of=dict(class_of),
    )


def auroc(scores: NDArray[np.float64], good: NDArray[np.bool_]) -> float:
    """Chance that a good region scores above a bad one (scikit-learn); NaN if all are alike."""
    from sklearn.metrics import roc_auc_score

    if good.all() or not good.any():
        return float("nan")
    return float(roc_auc_score(good, scores))


def _present(counts: Counts) -> list[int]:
    """Classes with pixels, background and void left out."""
    return [int(c) for c in np.flatnonzero(counts[:, :VOID].sum(axis=0)) if c]
