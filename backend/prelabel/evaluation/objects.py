"""Figures over objects: how much of the annotators' work the predictions do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from prelabel.data.masks import decode_rle, encode_rle
from prelabel.data.records import Region
from prelabel.evaluation import metrics
from prelabel.evaluation.costs import Costs
from prelabel.evaluation.figures import ObjectFigures, Shares
from prelabel.evaluation.pairing import Pair

FOUND = (0.5, 0.75, 0.9)
"""IoU from which an object counts as found."""
KEPT, TOUCHED_UP = FOUND[-1], FOUND[0]
"""IoU from which an object's mask is kept as it is, and from which it is touched up; below that the
object is drawn anew."""
SIZES = (("small", 32**2), ("medium", 96**2), ("large", float("inf")))
"""COCO's sizes of objects, with the area in pixels that they end before."""


class Kind(NamedTuple):
    """Objects of one kind are counted together. ``true_class``: from 0. ``cluster``: that of the
    region on the object; None where there is none, so that it is drawn anew."""

    true_class: int
    size: str
    cluster: int | None
    iou_step: int
    """How many of ``FOUND`` its IoU reaches."""


@dataclass(frozen=True, slots=True)
class PhotoObjects:
    """One photo: each object's kind, IoU with its region (0 for none), and regions on nothing."""

    kinds: tuple[Kind, ...]
    ious: tuple[float, ...]
    false_regions: int


@dataclass
class Objects:
    """Collected over photos. ``scores``, ``good``: of each region, and whether its best IoU with any
    object is 0.5 or more; regions that lie in void and are not good are left out."""

    photos: list[PhotoObjects] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    good: list[bool] = field(default_factory=list)

    def add(self, pair: Pair) -> None:
        """Match one photo's regions to its objects, one to one.

        The matching is the one with the largest sum of IoU, where an IoU under 0.5 counts 0 (scipy's
        linear_sum_assignment). A region that has no object is false, unless half of it or more lies
        in crowds and void.
        """
        regions, objects = pair.prediction.regions, pair.truth.regions
        ious = _ious(regions, objects)
        good = ious.max(axis=1, initial=0.0) >= TOUCHED_UP
        in_void = _in_void(regions, pair.void)
        self.scores += [r.score for r, keep in zip(regions, good | ~in_void, strict=True) if keep]
        self.good += good[good | ~in_void].tolist()
        useful = np.where(ious >= TOUCHED_UP, ious, 0.0)
        on = {
            int(column): int(row)
            for row, column in zip(*linear_sum_assignment(-useful), strict=True)
            if useful[row, column] > 0
        }
        matched = set(on.values())
        false = sum(row not in matched and not in_void[row] for row in range(len(regions)))
        found = [float(ious[on[i], i]) if i in on else 0.0 for i in range(len(objects))]
        kinds = tuple(
            Kind(
                item.cluster,
                size_of(item.area),
                regions[on[i]].cluster if i in on else None,
                sum(iou >= least for least in FOUND),
            )
            for i, (item, iou) in enumerate(zip(objects, found, strict=True))
        )
        self.photos.append(PhotoObjects(kinds, tuple(found), false))

    def figures(self, class_of: Mapping[int, int], costs: Costs) -> ObjectFigures:
        """All figures. ``class_of``: each matched cluster's class, both from 0."""
        kinds = self._kinds()
        without, with_them = self.seconds(range(len(self.photos)), class_of, costs)
        auroc = metrics.auroc(np.array(self.scores), np.array(self.good, dtype=np.bool_))
        return ObjectFigures(
            by_size={
                size: _shares({k: n for k, n in kinds.items() if k.size == size}, class_of)
                for size, _ in SIZES
            },
            whole=_shares(kinds, class_of),
            false_regions=sum(photo.false_regions for photo in self.photos),
            hours_without=without / 3600,
            hours_with=with_them / 3600,
            time_saved=1 - with_them / without if without else None,
            score_auroc=None if np.isnan(auroc) else auroc,
            costs=costs,
        )

    def shares_by_class(self, class_of: Mapping[int, int]) -> dict[int, Shares]:
        """The shares of each class that has objects."""
        kinds = self._kinds()
        return {
            index: _shares({k: n for k, n in kinds.items() if k.true_class == index}, class_of)
            for index in sorted({kind.true_class for kind in kinds})
        }

    def _kinds(self) -> Counter[Kind]:
        return Counter(kind for photo in self.photos for kind in photo.kinds)

    def seconds(
        self, photos: range, class_of: Mapping[int, int], costs: Costs
    ) -> tuple[float, float]:
        """Work on some photos without and with pre-labels, by the cost model."""
        kinds = [kind for i in photos for kind in self.photos[i].kinds]
        return costs.seconds(
            kept=sum(kind.iou_step == len(FOUND) for kind in kinds),
            touched_up=sum(0 < kind.iou_step < len(FOUND) for kind in kinds),
            redrawn=sum(kind.iou_step == 0 for kind in kinds),
            false_regions=sum(self.photos[i].false_regions for i in photos),
            wrong_class=sum(_is_wrong(kind, class_of) for kind in kinds),
            photos=len(photos),
        )


def size_of(area: int) -> str:
    """COCO's size of an object with this area in pixels."""
    return next(name for name, end in SIZES if area < end)


def _in_void(regions: tuple[Region, ...], void: tuple[Region, ...]) -> NDArray[np.bool_]:
    """Whether half of each region or more lies in crowds and void."""
    if len(void) > 1:
        together = np.logical_or.reduce([decode_rle(area.rle) for area in void])
        void = (structs.replace(void[0], rle=encode_rle(together)),)
    return np.asarray(_ious(regions, void, crowd=True).max(axis=1, initial=0.0) >= 0.5)


def _ious(
    regions: tuple[Region, ...], objects: tuple[Region, ...], *, crowd: bool = False
) -> NDArray[np.float64]:
    """pycocotools' IoU, (regions, objects); with ``crowd`` the share of the region inside."""
    if not regions or not objects:
        return np.zeros((len(regions), len(objects)))
    found = [region.rle for region in regions]
    expected = [item.rle for item in objects]
    ious = coco_mask.iou(found, expected, [int(crowd)] * len(expected))
    return np.asarray(ious, dtype=np.float64)


def _shares(kinds: Mapping[Kind, int], class_of: Mapping[int, int]) -> Shares:
    n = sum(kinds.values())

    def share(least: int, most: int = len(FOUND)) -> float | None:
        fit = sum(count for kind, count in kinds.items() if least <= kind.iou_step <= most)
        return fit / n if n else None

    return Shares(
        objects=n,
        found_50=share(1),
        found_75=share(2),
        found_90=share(3),
        kept_as_is=share(len(FOUND)),
        touched_up=share(1, len(FOUND) - 1),
        redrawn=share(0, 0),
        wrong_class=sum(count for kind, count in kinds.items() if _is_wrong(kind, class_of)),
    )


def _is_wrong(kind: Kind, class_of: Mapping[int, int]) -> bool:
    """A region on the object, of another class or of none."""
    return kind.cluster is not None and class_of.get(kind.cluster) != kind.true_class
