"""The name of each figure and how it is computed, which stands beside every number."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """``title``: for people. ``protocol``: how it is computed, on a line. ``unit``: "" for a
    fraction in [0, 1], "count", "hours"."""

    title: str
    protocol: str
    unit: str = ""


_CLUSTERS = (
    "one confusion matrix over all pixels (where regions overlap, the best score counts); background "
    "is matched to background, void and crowds are left out, regions without a class count as wrong; "
    "mean over background and the classes present"
)
_COCO_MASKS = "COCOeval on masks, class-agnostic"
_COCO_BOXES = "COCOeval on the masks' boxes, class-agnostic"
_BY_CLASS = "mean over classes; regions without a class left out"
_OBJECTS = "share of true objects; one-to-one matching with the largest sum of IoU (IoU under 0.5 counts 0)"

FIGURES: dict[str, Figure] = {
    "photos": Figure(
        "photos",
        "in predictions and ground truth, with the same size; others are left out",
        "count",
    ),
    "photos_with_object": Figure(
        "  with an object",
        "with a true object or a crowd, or with a region outside the void",
        "count",
    ),
    "photos_without_object": Figure("  without object", "without object, crowd or void", "count"),
    "photos_of_void_alone": Figure(
        "  with void only",
        "with only crowds or void, and no region outside them; in no mean over photos",
        "count",
    ),
    "foreground_iou": Figure(
        "foreground IoU",
        "mean over photos with an object; without a prediction it is 0; void left out",
    ),
    "foreground_iou_pooled": Figure(
        "foreground IoU, pooled", "pixels of all photos together, void left out"
    ),
    "boundary_iou": Figure(
        "boundary IoU",
        "Cheng et al. 2021: foreground within 2 % of the diagonal of its outline; mean over photos "
        "with an object",
    ),
    "boundary_iou_pooled": Figure("boundary IoU, pooled", "pixels of all photos together"),
    "false_foreground": Figure(
        "false foreground", "share of pixels in regions, mean over photos without object"
    ),
    "classes": Figure("classes", "in the ground truth", "count"),
    "clusters": Figure(
        "clusters", "with at least one region; regions without a class are not counted", "count"
    ),
    "mean_iou": Figure("mean IoU", _CLUSTERS),
    "background_iou": Figure("IoU of background", "from the same confusion matrix"),
    "pixel_accuracy": Figure(
        "pixel accuracy", "from the same confusion matrix with the same classes"
    ),
    "mean_iou_vote": Figure(
        "mean IoU, majority vote",
        "over-clustering: each cluster gets the class of most of its object pixels, and several may "
        "get the same; grows with the number of clusters",
    ),
    "pixel_accuracy_vote": Figure(
        "pixel accuracy, majority vote", "from the same confusion matrix with these classes"
    ),
    "ap": Figure("AP (0.50:0.95)", _COCO_MASKS),
    "ap50": Figure("AP (0.50)", _COCO_MASKS),
    "ap75": Figure("AP (0.75)", _COCO_MASKS),
    "ap_small": Figure("AP, small", f"{_COCO_MASKS}, up to 32² pixels"),
    "ap_medium": Figure("AP, medium", f"{_COCO_MASKS}, 32² to 96² pixels"),
    "ap_large": Figure("AP, large", f"{_COCO_MASKS}, from 96² pixels"),
    "ar": Figure("AR", _COCO_MASKS),
    "segm_by_class_ap": Figure("AP by class", f"COCOeval on masks, {_BY_CLASS}"),
    "segm_by_class_ap50": Figure("AP by class (0.50)", f"COCOeval on masks, {_BY_CLASS}"),
    "segm_by_class_ar": Figure("AR by class", f"COCOeval on masks, {_BY_CLASS}"),
    "bbox_agnostic_ap": Figure("AP of boxes", _COCO_BOXES),
    "bbox_agnostic_ap50": Figure("AP of boxes (0.50)", _COCO_BOXES),
    "bbox_by_class_ap": Figure("AP of boxes by class", f"COCOeval on boxes, {_BY_CLASS}"),
    "bbox_by_class_ap50": Figure("AP of boxes by class (0.50)", f"COCOeval on boxes, {_BY_CLASS}"),
    "score_auroc": Figure(
        "AUROC of the score",
        "score against IoU ≥ 0.5 with the best true object; regions in void left out",
    ),
    "objects": Figure("objects", "true objects, crowds left out", "count"),
    "found_50": Figure("found at IoU ≥ 0.50", _OBJECTS),
    "found_75": Figure("found at IoU ≥ 0.75", _OBJECTS),
    "found_90": Figure("found at IoU ≥ 0.90", _OBJECTS),
    "kept_as_is": Figure("kept as is", "IoU ≥ 0.9; same matching"),
    "touched_up": Figure("touched up", "IoU from 0.5 to under 0.9; same matching"),
    "redrawn": Figure("redrawn", "IoU under 0.5 or not found; same matching"),
    "wrong_class": Figure(
        "wrong class", "objects kept or touched up whose region has another class", "count"
    ),
    "false_regions": Figure(
        "false regions", "regions matched to no object and less than half in void", "count"
    ),
    "hours_without": Figure("hours without pre-labels", "every object drawn; costs below", "hours"),
    "hours_with": Figure("hours with pre-labels", "with the same costs", "hours"),
    "time_saved": Figure(
        "time saved", "1 minus the ratio of these hours: from the cost model, not measured"
    ),
}
"""By their keys in evaluation.json, in the order of the table."""


def shown(key: str, value: float | int | None) -> str:
    """A figure for people."""
    if value is None:
        return "–"
    unit = FIGURES[key].unit
    return f"{value:.0f}" if unit == "count" else f"{value:.1f}" if unit else f"{value:.3f}"
