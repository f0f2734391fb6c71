"""The numbers: foreground IoU, classes matched to clusters, and whether scores mean anything.

Truth masks are uint8 (h, w): class index, 0 background, 255 ignored.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from prelabel.masks import Mask

VOID = 255
Truth = NDArray[np.uint8]
Counts = NDArray[np.int64]


def foreground_iou(predicted: Mask, truth: Truth) -> float:
    """IoU of bool (h, w) with everything that is an object, void left out; 1 if both are empty."""
    valid = truth != VOID
    wanted = (truth > 0) & valid
    found = predicted & valid
    union = int((found | wanted).sum())
    return int((found & wanted).sum()) / union if union else 1.0


def best_part_iou(region: Mask, truth: Truth) -> float:
    """IoU of a region with the connected part of the true foreground that fits it best, void left
    out. For masks of classes, where touching objects cannot be told apart."""
    valid = truth != VOID
    n_parts, parts = cv2.connectedComponents(((truth > 0) & valid).astype(np.uint8), connectivity=8)
    inside = np.bincount(parts[region & valid], minlength=n_parts)
    sizes = np.bincount(parts.ravel(), minlength=n_parts)
    unions = int((region & valid).sum()) + sizes - inside
    ious = inside[1:] / np.maximum(unions[1:], 1)
    return float(ious.max()) if n_parts > 1 else 0.0


@dataclass(frozen=True)
class ClassMatch:
    """Clusters matched to classes. ``mean_iou``: over background and the classes present.
    ``iou``: by class index. ``cluster``: the cluster of each class, -1 for none."""

    mean_iou: float
    iou: dict[int, float]
    cluster: dict[int, int]


def confusion(clusters: NDArray[np.int64], truth: Truth, *, n_clusters: int) -> Counts:
    """Pixels, int64 (n_clusters + 1, 256): rows background, then clusters; columns true classes.

    ``clusters`` is (h, w) with 0 for background and cluster + 1 elsewhere. Column 255 is void.
    """
    flat = clusters.ravel() * 256 + truth.ravel()
    return np.bincount(flat, minlength=(n_clusters + 1) * 256).reshape(n_clusters + 1, 256)


def match_classes(counts: Counts) -> ClassMatch:
    """Hungarian matching of clusters to classes on IoU (scipy), background fixed to background.

    The protocol of unsupervised semantic segmentation: one confusion matrix over all pixels, void
    left out, mean over the classes present in the truth and background. A class without a cluster
    counts 0; a cluster without a class costs the classes that its pixels belong to.
    """
    counts = counts[:, :VOID]
    present = [int(c) for c in np.flatnonzero(counts.sum(axis=0)) if c]
    unions = counts.sum(axis=1, keepdims=True) + counts.sum(axis=0, keepdims=True) - counts
    ious = counts / np.maximum(unions, 1)
    rows, columns = linear_sum_assignment(-ious[1:][:, present])
    iou = {0: float(ious[0, 0]), **dict.fromkeys(present, 0.0)}
    cluster = {0: -1, **dict.fromkeys(present, -1)}
    for row, column in zip(rows, columns, strict=True):
        iou[present[column]] = float(ious[1 + row, present[column]])
        cluster[present[column]] = int(row)
    return ClassMatch(mean_iou=float(np.mean(list(iou.values()))), iou=iou, cluster=cluster)


def auroc(scores: NDArray[np.float64], good: NDArray[np.bool_]) -> float:
    """Chance that a good region scores above a bad one (scikit-learn); NaN if all are alike."""
    from sklearn.metrics import roc_auc_score

    if good.all() or not good.any():
        return float("nan")
    return float(roc_auc_score(good, scores))
