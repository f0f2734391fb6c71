"""The figures of one set of predictions: what JSON, the tables and the page show."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from prelabel.evaluation.costs import Costs
from prelabel.evaluation.protocol import FIGURES

Matching = Literal["matched", "by-name"]
"""How clusters get classes: by Hungarian matching on IoU, or because they have one name."""
_MATCHING: dict[Matching, str] = {
    "matched": "one cluster per class by Hungarian matching on IoU",
    "by-name": "classes matched by name",
}
Share = float | None
"""In [0, 1]; None for a share of nothing."""
Json = dict[str, object]


class Shares(msgspec.Struct):
    """Of a set of true objects: their number, the shares that were found at an IoU, the shares that
    are kept as they are, touched up or drawn anew, and the number with a region of another class."""

    objects: int
    found_50: Share
    found_75: Share
    found_90: Share
    kept_as_is: Share
    touched_up: Share
    redrawn: Share
    wrong_class: int


class Confusion(msgspec.Struct):
    """Pixels of each cluster (rows) in each class (columns) that have any, background first."""

    clusters: list[str]
    classes: list[str]
    pixels: list[list[int]]


class ClassPixels(msgspec.Struct):
    """A class over pixels. ``cluster``: the one that was matched to it, the first of several."""

    iou: float
    iou_vote: float
    cluster: int | None


class PixelFigures(msgspec.Struct):
    """Over pixels; ``vote``: clusters take the class of most of their pixels."""

    photos_with_object: int
    photos_without_object: int
    photos_of_void_alone: int
    foreground_iou: Share
    foreground_iou_pooled: Share
    boundary_iou: Share
    boundary_iou_pooled: Share
    false_foreground: Share
    mean_iou: float
    pixel_accuracy: float
    mean_iou_vote: float
    pixel_accuracy_vote: float
    background_iou: float
    confusion: Confusion


class CocoStats(msgspec.Struct):
    """COCOeval's twelve figures, in its order; None where no object is of that size. ``ar1``,
    ``ar10``: with so many regions of a photo; all others with ``CocoFigures.max_regions``."""

    ap: Share
    ap50: Share
    ap75: Share
    ap_small: Share
    ap_medium: Share
    ap_large: Share
    ar1: Share
    ar10: Share
    ar: Share
    ar_small: Share
    ar_medium: Share
    ar_large: Share


class CocoFigures(msgspec.Struct):
    """COCOeval on boxes and masks, without classes and with them. ``by``: the library.
    ``max_regions``: the most regions of a photo that count, those with the best scores."""

    bbox_agnostic: CocoStats
    bbox_by_class: CocoStats
    segm_agnostic: CocoStats
    segm_by_class: CocoStats
    by: str
    max_regions: int

    def as_json(self) -> Json:
        """All of them, then the main ones: those of masks without classes have no prefix."""
        groups: dict[str, CocoStats] = {
            "bbox_agnostic": self.bbox_agnostic,
            "bbox_by_class": self.bbox_by_class,
            "segm_agnostic": self.segm_agnostic,
            "segm_by_class": self.segm_by_class,
        }
        written: Json = {"coco": msgspec.to_builtins(groups), "coco_by": self.by}
        written["coco_max_regions"] = self.max_regions
        written |= msgspec.to_builtins(self.segm_agnostic)
        for name in ("segm_by_class", "bbox_agnostic", "bbox_by_class"):
            stats = groups[name]
            written |= {f"{name}_ap": stats.ap, f"{name}_ap50": stats.ap50}
            written |= {f"{name}_ar": stats.ar}
        return written


class ObjectFigures(msgspec.Struct):
    """Annotators' work. ``hours_without``, ``hours_with``: pre-labels, by the costs."""

    by_size: dict[str, Shares]
    whole: Shares
    false_regions: int
    hours_without: float
    hours_with: float
    time_saved: Share
    score_auroc: Share
    costs: Costs

    def as_json(self) -> Json:
        """The shares of all objects stand beside the other figures."""
        return {
            "objects_by_size": msgspec.to_builtins(self.by_size),
            **msgspec.to_builtins(self.whole),
            "false_regions": self.false_regions,
            "hours_without": self.hours_without,
            "hours_with": self.hours_with,
            "time_saved": self.time_saved,
            "score_auroc": self.score_auroc,
            "costs": self.costs.model_dump(),
        }


class ClassFigures(msgspec.Struct):
    """A class of the truth, with what was measured of it."""

    name: str
    pixels: ClassPixels | None = None
    ap: float | UnsetType = UNSET
    shares: Shares | None = None

    @property
    def is_measured(self) -> bool:
        """Whether anything was measured of it."""
        return bool(self.pixels or self.shares) or self.ap is not UNSET

    def as_json(self) -> Json:
        """A row of ``per_class``."""
        return {
            "class": self.name,
            **(msgspec.to_builtins(self.pixels) if self.pixels else {}),
            **({} if self.ap is UNSET else {"ap": self.ap}),
            **(msgspec.to_builtins(self.shares) if self.shares else {}),
        }


class Unpaired(msgspec.Struct):
    """The first few names of photos that are on one side only."""

    without_prediction: list[str]
    without_truth: list[str]


class Sources(msgspec.Struct):
    """What was compared, and what was left out. ``has_objects``: both sides tell the objects of a
    class apart; masks of classes alone do not."""

    photos_without_prediction: int
    photos_without_truth: int
    photos_matched_by: str
    named: Unpaired
    problems: list[str]
    model_version: str
    has_objects: bool = True


class Figures(msgspec.Struct):
    """All figures. Groups that were not measured are None.

    ``class_cluster``: the cluster that each class was matched to. ``per_class``: by class id, those
    of which anything was measured.
    """

    photos: int
    classes: int
    clusters: int
    matching: Matching
    class_cluster: dict[str, int]
    per_class: list[ClassFigures]
    pixels: PixelFigures | None
    coco: CocoFigures | None
    objects: ObjectFigures | None
    sources: Sources

    def as_json(self) -> Json:
        """What evaluation.json holds."""
        return {
            "photos": self.photos,
            "classes": self.classes,
            "clusters": self.clusters,
            "matching": self.matching,
            "class_cluster": self.class_cluster,
            "per_class": [row.as_json() for row in self.per_class],
            **(msgspec.to_builtins(self.pixels) if self.pixels else {}),
            **(self.coco.as_json() if self.coco else {}),
            **(self.objects.as_json() if self.objects else {}),
            **msgspec.to_builtins(self.sources),
        }

    def values(self) -> dict[str, int | float | None]:
        """The single numbers that were measured, by their keys in ``FIGURES`` and in its order."""
        written = self.as_json()
        numbers = {key: written[key] for key in FIGURES if key in written}
        return msgspec.convert(numbers, dict[str, int | float | None])

    def protocol(self, key: str) -> str:
        """How a single number was computed."""
        text = FIGURES[key].protocol
        if key in ("mean_iou", "wrong_class") or "by_class" in key:
            text = f"{text}; {_MATCHING[self.matching]}"
        if self.coco and text.startswith("COCOeval"):
            text = f"{text}; at most {self.coco.max_regions} regions of a photo"
        return text
