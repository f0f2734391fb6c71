"""Predictions against a COCO file: what `prelabel evaluate` and the demo print."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from prelabel.errors import UserError
from prelabel.evaluation import metrics
from prelabel.masks import decode_rle
from prelabel.records import Prediction

PROTOCOL = (
    "Foreground IoU: mean over photos with an object, a photo without prediction counts 0. "
    "Classes: one confusion matrix over all pixels, background fixed, Hungarian matching of "
    "clusters to classes on IoU, mean over the classes present and background; crowds are void. "
    "AP and AR: pycocotools' COCOeval on masks, class-agnostic. AUROC: region score against "
    "IoU >= 0.5 with the best true object."
)


def evaluate(predictions: Iterable[Prediction], ground_truth: Path) -> dict[str, Any]:
    """Measure predictions against a COCO instances file; photos are matched by ``file_name``.

    Photos on one side only are counted and left out. Raises UserError when the file is no COCO
    file or no photo is in both.
    """
    truth = _read(ground_truth)
    by_name = {image["file_name"]: image for image in truth.imgs.values()}
    classes = {category: i + 1 for i, category in enumerate(sorted(truth.cats))}
    totals = _Totals()
    unknown = 0
    for prediction in predictions:
        image = by_name.pop(prediction.photo, None)
        if image is None:
            unknown += 1
            continue
        if (image["height"], image["width"]) != (prediction.height, prediction.width):
            raise UserError(
                f"{ground_truth}: {prediction.photo} is {image['width']} × {image['height']} there "
                f"and {prediction.width} × {prediction.height} in the predictions: not the same photo"
            )
        totals.add(prediction, image["id"], _objects(truth, image, classes))
    if not totals.image_ids:
        raise UserError(f"{ground_truth} has none of the {unknown} predicted photos (by file_name)")
    result = totals.result({i: truth.cats[c]["name"] for c, i in classes.items()})
    result.update(_coco_eval(truth, totals.detections, totals.image_ids))
    result["photos_without_prediction"] = len(by_name)
    result["photos_without_truth"] = unknown
    result["protocol"] = PROTOCOL
    return result


def format_table(result: dict[str, Any]) -> str:
    """The result as lines for a terminal."""
    rows = [
        ("photos with an object", result["photos_with_object"]),
        ("foreground IoU", result["foreground_iou"]),
        ("photos without object", result["photos_without_object"]),
        ("  wrongly found there", result["false_foreground"]),
        (f"classes (from {result['clusters']} clusters)", len(result["class_iou"]) - 1),
        ("  mean IoU, with background", result["mean_iou"]),
        ("AP (0.50:0.95)", result["ap"]),
        ("AP (0.50)", result["ap50"]),
        ("AR (100 regions)", result["ar100"]),
        ("AUROC of the score", result["score_auroc"]),
    ]
    lines = [f"{name:<30} {_shown(value):>8}" for name, value in rows]
    lines += [f"    {name:<26} {_shown(value):>8}" for name, value in result["class_iou"].items()]
    return "\n".join([*lines, result["protocol"]])


def _shown(value: float | int | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


class _Totals:
    """What adds up over photos."""

    def __init__(self) -> None:
        self.ious: list[float] = []
        self.false_foreground: list[float] = []
        self.scores: list[float] = []
        self.good: list[bool] = []
        self.image_ids: list[int] = []
        self.detections: list[dict[str, Any]] = []
        self.counts: NDArray[np.int64] = np.zeros((1, 256), dtype=np.int64)

    def add(
        self, prediction: Prediction, image_id: int, objects: list[tuple[int, bool, Any]]
    ) -> None:
        """``objects``: class index, crowd, RLE of each true object."""
        shape = (prediction.height, prediction.width)
        truth = np.zeros(shape, dtype=np.uint8)
        for crowd_turn in (False, True):  # void goes over everything
            for index, crowd, rle in objects:
                if crowd == crowd_turn:
                    truth[decode_rle(rle)] = metrics.VOID if crowd else index
        clusters = np.zeros(shape, dtype=np.int64)
        for region in reversed(prediction.regions):  # the best score is painted last
            clusters[decode_rle(region.rle)] = region.cluster + 1
        self.image_ids.append(image_id)
        if objects:
            self.ious.append(metrics.foreground_iou(clusters > 0, truth))
        else:
            self.false_foreground.append(float((clusters > 0).mean()))
        self._count(clusters, truth)
        own = [rle for _, crowd, rle in objects if not crowd]
        for region in prediction.regions:
            ious = coco_mask.iou([region.rle], own, [0] * len(own)) if own else np.zeros((1, 1))
            self.scores.append(region.score)
            self.good.append(bool(np.max(ious) >= 0.5))
            self.detections.append(
                {
                    "image_id": image_id,
                    "segmentation": region.rle,
                    "score": region.score,
                }
            )

    def _count(self, clusters: NDArray[np.int64], truth: metrics.Truth) -> None:
        n_clusters = max(len(self.counts) - 1, int(clusters.max(initial=0)))
        grown = np.zeros((n_clusters + 1, 256), dtype=np.int64)
        grown[: len(self.counts)] = self.counts
        self.counts = grown + metrics.confusion(clusters, truth, n_clusters=n_clusters)

    def result(self, names: dict[int, str]) -> dict[str, Any]:
        """``names``: of the classes, by index."""
        match = metrics.match_classes(self.counts)
        score = metrics.auroc(np.array(self.scores), np.array(self.good, dtype=np.bool_))
        return {
            "photos_with_object": len(self.ious),
            "photos_without_object": len(self.false_foreground),
            "foreground_iou": _mean(self.ious),
            "false_foreground": _mean(self.false_foreground),
            "clusters": len(self.counts) - 1,
            "mean_iou": match.mean_iou,
            "class_iou": {names.get(i, "background"): iou for i, iou in match.iou.items()},
            "class_cluster": {names.get(i, "background"): c for i, c in match.cluster.items()},
            "score_auroc": None if np.isnan(score) else score,
        }


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _read(file: Path) -> COCO:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
            truth = COCO()
            truth.dataset = data
            truth.createIndex()
    except OSError as error:
        raise UserError(f"{str(file)!r} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is no COCO instances file ({error})") from error
    if not truth.imgs or not truth.cats or len(truth.cats) > 254:
        raise UserError(
            f"{file} has {len(truth.imgs)} images and {len(truth.cats)} categories; "
            "some of both are needed, and at most 254 categories"
        )
    return truth


def _objects(
    truth: COCO, image: dict[str, Any], classes: dict[int, int]
) -> list[tuple[int, bool, Any]]:
    annotations = truth.imgToAnns.get(image["id"], [])
    return [
        (classes[a["category_id"]], bool(a.get("iscrowd", 0)), truth.annToRLE(a))
        for a in annotations
    ]


def _coco_eval(
    truth: COCO, detections: list[dict[str, Any]], image_ids: list[int]
) -> dict[str, float | None]:
    if not detections:
        return {"ap": 0.0, "ap50": 0.0, "ar100": 0.0}
    # Without categories COCOeval still sees only detections of a category that it knows.
    known = min(truth.cats)
    detections = [{**detection, "category_id": known} for detection in detections]
    with contextlib.redirect_stdout(io.StringIO()):
        scorer = COCOeval(truth, truth.loadRes(detections), "segm")
        scorer.params.useCats = 0
        scorer.params.imgIds = image_ids
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    # COCOeval says -1 where there is no true object at all.
    ap, ap50, ar100 = (None if scorer.stats[i] < 0 else float(scorer.stats[i]) for i in (0, 1, 8))
    return {"ap": ap, "ap50": ap50, "ar100": ar100}
