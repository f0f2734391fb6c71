"""Three lines for who decides: how much need not be redrawn, the time saved, and what to do next."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from prelabel.evaluation.figures import Figures, ObjectFigures, PixelFigures

_LITTLE = 0.05
"""Share of the time saved under which pre-labels are not worth the work."""


def verdict(sets: Sequence[Figures]) -> list[str]:
    """Three lines about one set of predictions, or about the mean of several; none where neither
    objects nor pixels were measured."""
    first, several = sets[0], "" if len(sets) == 1 else f"On average over {len(sets)} sets: "
    if objects := [own.objects for own in sets if own.objects]:
        lines = _about_objects(objects, first.photos)
    elif pixels := [own.pixels for own in sets if own.pixels]:
        lines = _about_pixels(pixels, first)
    else:
        return []
    return [f"{several}{lines[0]}", *lines[1:]]


def _about_objects(sets: Sequence[ObjectFigures], photos: int) -> list[str]:
    n = sets[0].whole.objects
    if not n:
        return [
            f"The ground truth has no object in these {photos} photos.",
            "No time can be saved where there is nothing to draw.",
            "Next: name a ground truth that has objects.",
        ]
    kept = statistics.fmean((own.whole.kept_as_is or 0) * n for own in sets)
    touched = statistics.fmean((own.whole.touched_up or 0) * n for own in sets)
    without = statistics.fmean(own.hours_without for own in sets)
    with_them = statistics.fmean(own.hours_with for own in sets)
    saved = 1 - with_them / without
    return [
        f"{kept + touched:.0f} of {n} objects ({(kept + touched) / n:.0%}) need not be drawn anew: "
        f"{kept:.0f} fit as they are, {touched:.0f} need touching up.",
        f"{_hours(with_them)} of work instead of {_hours(without)}: "
        + (f"{saved:.0%} saved" if saved >= 0 else f"{-saved:.0%} more")
        + ", estimated with the costs below.",
        _next(sets, kept=kept, touched=touched, photos=photos, saved=saved),
    ]


def _next(
    sets: Sequence[ObjectFigures], *, kept: float, touched: float, photos: int, saved: float
) -> str:
    """Advice about the kind of work that takes most of the time that is left."""
    costs = sets[0].costs
    redrawn = sets[0].whole.objects - kept - touched
    false = statistics.fmean(own.false_regions for own in sets)
    wrong = statistics.fmean(own.whole.wrong_class for own in sets)
    work = {
        f"drawing the {redrawn:.0f} that were missed; the page shows where, small ones need a "
        "larger features.size": redrawn * costs.draw,
        f"touching up {touched:.0f} masks; try another refiner": touched * costs.touch_up,
        f"deleting {false:.0f} regions that are no object; raise regions.threshold": (
            false * costs.delete
        ),
        f"correcting {wrong:.0f} classes; name them in Label Studio, or give --labels": (
            wrong * costs.relabel
        ),
        "looking at photos and masks; correct them in Label Studio": (
            kept * costs.keep + photos * costs.photo
        ),
    }
    whole = sum(work.values())
    most = max(work, key=work.__getitem__)
    share = f"{work[most] / whole:.0%} of the time goes into {most}" if whole else "nothing is left"
    if saved < _LITTLE:
        return f"Next: do not use these pre-labels as they are: {share}."
    return f"Next: {share}."


def _about_pixels(sets: Sequence[PixelFigures], first: Figures) -> list[str]:
    foreground = [own.foreground_iou for own in sets if own.foreground_iou is not None]
    matched = sum(bool(row.pixels and row.pixels.cluster is not None) for row in first.per_class)
    shown = f"{statistics.fmean(foreground):.2f}" if foreground else "not known"
    why = (
        "objects were not measured (--only)"
        if first.sources.has_objects
        else "masks of classes do not tell objects apart"
    )
    return [
        f"Objects and their surroundings are told apart with an IoU of {shown} (1 is perfect).",
        f"{matched} of {first.classes} classes have a cluster of their own; the mean IoU of classes "
        f"and background is {statistics.fmean(own.mean_iou for own in sets):.2f}.",
        f"No count of objects and no time saved: {why}. Next: see the worst photos on the page"
        + (
            "."
            if first.sources.has_objects
            else ", and compare with COCO, or VOC with SegmentationObject, for objects."
        ),
    ]


def _hours(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.0f} minutes"
