"""Each group's figures, put into the one table that becomes JSON.

``figures["per_class"]`` has a row for each class by id, which the groups add to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from prelabel.data.dataset import Dataset, Problems
from prelabel.evaluation import metrics
from prelabel.evaluation.average_precision import average_precision
from prelabel.evaluation.costs import Costs
from prelabel.evaluation.objects import Objects
from prelabel.evaluation.pairing import Pairing
from prelabel.evaluation.pixels import Pixels


def add_pixels(
    figures: dict[str, Any],
    pixels: Pixels,
    assigned: dict[int, int],
    clusters: Sequence[int],
    names: Sequence[str],
    classes: Sequence[str],
) -> None:
    """``assigned``: class of each row of the confusion, as ``metrics.given_classes`` takes it.
    ``clusters``, ``names``: of the rows; regions without a class come last. ``classes``: names by
    id."""
    match = metrics.given_classes(pixels.confusion, assigned)
    vote = metrics.vote_classes(pixels.confusion, n_clusters=figures["clusters"])
    with_object = [photo for photo in pixels.photos if photo.has_object]
    without = [photo for photo in pixels.photos if photo.has_object is False]
    figures |= {
        "photos_with_object": len(with_object),
        "photos_without_object": len(without),
        "photos_of_void_alone": len(pixels.photos) - len(with_object) - len(without),
        "foreground_iou": _mean([photo.foreground_iou for photo in with_object]),
        "foreground_iou_pooled": metrics.share(*pixels.foreground.tolist()),
        "boundary_iou": _mean([photo.boundary_iou for photo in with_object]),
        "boundary_iou_pooled": metrics.share(*pixels.boundary.tolist()),
        "false_foreground": _mean([photo.foreground for photo in without]),
        "classes": len(match.iou) - 1,
        "mean_iou": match.mean_iou,
        "pixel_accuracy": match.accuracy,
        "mean_iou_vote": vote.mean_iou,
        "pixel_accuracy_vote": vote.accuracy,
        "background_iou": match.iou[0],
        "confusion": _confusion(pixels.confusion, names, classes),
    }
    for index, iou in match.iou.items():
        if index:
            figures["per_class"][index - 1] |= {
                "iou": iou,
                "iou_vote": vote.iou[index],
                "cluster": clusters[row] if (row := match.cluster[index]) >= 0 else None,
            }


def add_coco(
    figures: dict[str, Any],
    pairing: Pairing,
    class_of: dict[int, int],
    n_classes: int,
    *,
    fast: bool,
) -> None:
    """COCO's figures; by the names of the table those of masks without classes have no prefix."""
    coco = average_precision(pairing.pairs, class_of, n_classes=n_classes, fast=fast)
    for index, ap in coco.pop("classes").items():
        figures["per_class"][index]["ap"] = ap
    figures |= {"coco": coco, "coco_by": "hotcoco" if fast else "pycocotools"}
    figures |= coco["segm_agnostic"]
    for group in ("segm_by_class", "bbox_agnostic", "bbox_by_class"):
        figures |= {f"{group}_{stat}": coco[group][stat] for stat in ("ap", "ap50", "ar100")}


def add_objects(
    figures: dict[str, Any], objects: Objects, class_of: dict[int, int], costs: Costs
) -> None:
    """``class_of``: class of each cluster, both from 0."""
    found = objects.result(class_of, costs)
    auroc = metrics.auroc(np.array(objects.scores), np.array(objects.good, dtype=np.bool_))
    for index, shares in found.pop("by_class").items():
        figures["per_class"][index] |= shares
    figures["objects_by_size"] = found.pop("by_size")
    figures |= {**found, "score_auroc": None if np.isnan(auroc) else auroc}
    figures["costs"] = costs.model_dump()


def sources(
    predictions: Dataset, truth: Dataset, pairing: Pairing, problems: Problems
) -> dict[str, Any]:
    """What was compared, and what was left out."""
    return {
        "photos_without_prediction": pairing.only_true[0],
        "photos_without_truth": pairing.only_predicted[0],
        "photos_matched_by": pairing.matched_by,
        "named": {
            "without_prediction": pairing.only_true[1],
            "without_truth": pairing.only_predicted[1],
        },
        "problems": [
            *(f"predictions: {line}" for line in predictions.problems.lines()),
            *(f"ground truth: {line}" for line in truth.problems.lines()),
            *problems.lines(),
        ],
        "model_version": predictions.model_version,
    }


def _confusion(
    counts: metrics.Counts, names: Sequence[str], classes: Sequence[str]
) -> dict[str, Any]:
    """Pixels of each cluster (rows) and class (columns) that have any, background first."""
    counts = counts[:, : metrics.VOID]
    columns = [0, *(int(c) for c in np.flatnonzero(counts.any(axis=0)) if c)]
    rows = [0, *(int(r) for r in np.flatnonzero(counts.any(axis=1)) if r)]
    return {
        "clusters": ["background", *(names[r - 1] for r in rows[1:])],
        "classes": ["background", *(classes[c - 1] for c in columns[1:])],
        "pixels": counts[np.ix_(rows, columns)].tolist(),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
