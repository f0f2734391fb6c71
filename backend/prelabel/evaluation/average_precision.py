"""COCO's average precision and recall."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from prelabel.data.records import Region
from prelabel.evaluation.coco_eval import Columns, Scored, with_hotcoco, with_pycocotools
from prelabel.evaluation.figures import CocoFigures, CocoStats
from prelabel.evaluation.pairing import Pair

_AREAS = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
"""COCOeval's ranges of areas, in pixels; both ends are inside."""
MAX_REGIONS = 100
"""COCO's own number of regions that count in a photo."""
_DIGITS = 10
"""COCOeval adds 2e-16 to a divisor, so that even the truth itself does not quite score 1."""


def average_precision(
    pairs: Sequence[Pair],
    class_of: Mapping[int, int],
    *,
    n_classes: int,
    fast: bool = False,
    max_regions: int | None = None,
) -> tuple[CocoFigures, dict[int, float]]:
    """COCOeval on masks and boxes, without classes and with them; and AP of each class that is
    present, from 0, on masks.

    ``class_of``: the class of each cluster; regions of others are left out by class; void without a
    class is a crowd of every class. Areas and boxes are those of the masks, a box's area its own.
    ``fast``: with hotcoco, which must be there. ``max_regions``: of a photo, those with the best
    scores; by default all, and at least ``MAX_REGIONS``.
    """
    if max_regions is None:
        max_regions = max(MAX_REGIONS, *(len(pair.prediction.regions) for pair in pairs))
    truth = _columns(
        [[*pair.truth.regions, *pair.void, *_void_by_class(pair, class_of)] for pair in pairs],
        lambda c: c if c >= 0 else n_classes,
    )
    found = _columns(
        [pair.prediction.regions for pair in pairs], lambda c: class_of.get(c, n_classes)
    )
    by = "hotcoco" if fast else "pycocotools"
    if not found.rles:
        return _without_regions(truth, n_classes, by, max_regions)
    sizes = [(pair.truth.width, pair.truth.height) for pair in pairs]
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes pooled, which is what is meant here
        prepare = with_hotcoco if fast else with_pycocotools
        score = prepare(truth, found, sizes, n_classes, max_regions)
        by_class = score("segm", True)
        figures = CocoFigures(
            bbox_agnostic=_stats(score("bbox", False)),
            bbox_by_class=_stats(score("bbox", True)),
            segm_agnostic=_stats(score("segm", False)),
            segm_by_class=_stats(by_class),
            by=by,
            max_regions=max_regions,
        )
    return figures, _class_aps(by_class.precision)


def _void_by_class(pair: Pair, class_of: Mapping[int, int]) -> list[Region]:
    """Void without a class as a crowd of each class that was predicted in the photo. The figures
    without classes stay the same, as a crowd may match any number of regions."""
    void = [region for region in pair.void if region.cluster < 0]
    if not void:
        return []
    found = {class_of.get(region.cluster, -1) for region in pair.prediction.regions} - {-1}
    return [structs.replace(region, cluster=c) for region in void for c in sorted(found)]


def _columns(photos: Sequence[Sequence[Region]], class_of: Callable[[int], int]) -> Columns:
    regions = list(chain.from_iterable(photos))
    clusters, place = np.unique([region.cluster for region in regions], return_inverse=True)
    categories = np.array([class_of(c) + 1 for c in clusters.tolist()], dtype=np.int64)
    return Columns(
        image=np.repeat(np.arange(1, len(photos) + 1), [len(own) for own in photos]),
        category=categories[place],
        box=np.fromiter(
            chain.from_iterable(region.box for region in regions), dtype=np.float64
        ).reshape(-1, 4),
        area=np.array([region.area for region in regions], dtype=np.float64),
        crowd=np.array([region.crowd for region in regions], dtype=np.bool_),
        score=np.array([region.score for region in regions], dtype=np.float64),
        rles=[region.rle for region in regions],
    )


def _stats(scored: Scored) -> CocoStats:
    return CocoStats(*(None if n is None else round(n, _DIGITS) for n in scored.stats()))


def _class_aps(precision: NDArray[np.float64]) -> dict[int, float]:
    """AP of each class with objects, from COCOeval's table for all sizes and most regions."""
    table = precision[:, :, :, 0, -1]  # (IoUs, recalls, classes)
    aps = table.mean(axis=(0, 1))
    return {int(i): round(float(aps[i]), _DIGITS) for i in np.flatnonzero(table[0, 0] >= 0)}


def _without_regions(
    truth: Columns, n_classes: int, by: str, max_regions: int
) -> tuple[CocoFigures, dict[int, float]]:
    """The figures without any region: 0 where there is an object to be found."""
    areas = truth.area[~truth.crowd]
    sizes = {
        name for name, (least, most) in _AREAS.items() if ((areas >= least) & (areas <= most)).any()
    }
    any_size = 0.0 if sizes else None
    small, medium, large = (0.0 if name in sizes else None for name in _AREAS)
    stats = CocoStats(
        *(any_size, any_size, any_size, small, medium, large),
        *(any_size, any_size, any_size, small, medium, large),
    )
    present = sorted(set(truth.category[~truth.crowd].tolist()) - {n_classes + 1})
    return CocoFigures(stats, stats, stats, stats, by, max_regions), {c - 1: 0.0 for c in present}
