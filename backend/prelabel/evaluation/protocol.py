"""What each figure is called and how it is computed: printed beside every number."""

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
    "one confusion matrix over all pixels (the region of the best score on top), background fixed, "
    "void and crowds left out, regions without a class wrong, mean over background and the classes "
    "present"
)
_COCO_MASKS = "COCOeval on masks, class-agnostic"
_BY_CLASS = "by class, mean; regions without a class left out"
_OBJECTS = "share of true objects, one-to-one matching of largest IoU sum (IoU < 0.5 counts 0)"

FIGURES: dict[str, Figure] = {
    "photos": Figure(
        "photos", "on both sides, of one size; those of one side alone count nowhere", "count"
    ),
    "photos_with_object": Figure(
        "  with an object",
        "a true object or a crowd, or void beside which something was found",
        "count",
    ),
    "photos_without_object": Figure("  without object", "neither an object nor a crowd", "count"),
    "photos_of_void_alone": Figure(
        "  of void alone",
        "only crowds or void, nothing found beside: in no mean over photos",
        "count",
    ),
    "foreground_iou": Figure(
        "foreground IoU", "mean over photos with an object, no prediction counts 0, void left out"
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
        "wrongly found", "share of pixels in regions, mean over photos without object"
    ),
    "classes": Figure("classes", "in the truth", "count"),
    "clusters": Figure(
        "clusters", "that any region is of; regions without a class are of none", "count"
    ),
    "mean_iou": Figure("mean IoU", _CLUSTERS),
    "background_iou": Figure("IoU of background", "of the same confusion"),
    "pixel_accuracy": Figure("pixel accuracy", "of the same confusion and the same classes"),
    "mean_iou_vote": Figure(
        "mean IoU, majority vote",
        "over-clustering: each cluster takes the class of most of its object pixels, several may "
        "take one; grows with the number of clusters",
    ),
    "pixel_accuracy_vote": Figure("pixel accuracy, majority vote", "of the same confusion"),
    "ap": Figure("AP (0.50:0.95)", _COCO_MASKS),
    "ap50": Figure("AP (0.50)", _COCO_MASKS),
    "ap75": Figure("AP (0.75)", _COCO_MASKS),
    "ap_small": Figure("AP, small", f"{_COCO_MASKS}, up to 32² pixels"),
    "ap_medium": Figure("AP, medium", f"{_COCO_MASKS}, 32² to 96² pixels"),
    "ap_large": Figure("AP, large", f"{_COCO_MASKS}, from 96² pixels"),
    "ar100": Figure("AR (100 regions)", _COCO_MASKS),
    "segm_by_class_ap": Figure("AP by class", f"COCOeval on masks, {_BY_CLASS}"),
    "segm_by_class_ap50": Figure("AP by class (0.50)", f"COCOeval on masks, {_BY_CLASS}"),
    "segm_by_class_ar100": Figure("AR by class (100)", f"COCOeval on masks, {_BY_CLASS}"),
    "bbox_agnostic_ap": Figure("AP of boxes", "COCOeval on the masks' boxes, class-agnostic"),
    "bbox_agnostic_ap50": Figure(
        "AP of boxes (0.50)", "COCOeval on the masks' boxes, class-agnostic"
    ),
    "bbox_by_class_ap": Figure("AP of boxes by class", f"COCOeval on boxes, {_BY_CLASS}"),
    "bbox_by_class_ap50": Figure("AP of boxes by class (0.50)", f"COCOeval on boxes, {_BY_CLASS}"),
    "score_auroc": Figure(
        "AUROC of the score",
        "region score against IoU ≥ 0.5 with the best true object; regions in void left out",
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
        "false regions", "regions matched to no object, less than half in void", "count"
    ),
    "hours_without": Figure("hours without pre-labels", "every object drawn; costs below", "hours"),
    "hours_with": Figure("hours with pre-labels", "by the same costs", "hours"),
    "time_saved": Figure("time saved", "1 less the ratio of these hours: a model, not a stopwatch"),
}
"""By their keys in evaluation.json, in the order of the table."""

MATCHING = {
    "matched": "one cluster a class, Hungarian on IoU",
    "by-name": "classes by name",
}


def protocol(key: str, matching: str) -> str:
    """How a figure is computed, with how clusters got their classes where that matters."""
    text = FIGURES[key].protocol
    if key in ("mean_iou", "wrong_class") or "by_class" in key:
        return f"{text}; {MATCHING[matching]}"
    return text


def shown(key: str, value: float | int | None) -> str:
    """A figure for people."""
    if value is None:
        return "–"
    unit = FIGURES[key].unit
    return f"{value:.0f}" if unit == "count" else f"{value:.1f}" if unit else f"{value:.3f}"
