"""Which photos the page shows, and what it shows of each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Mask, encode_rle, rle_area, rle_box
from prelabel.data.records import Region
from prelabel.evaluation.measure import Evaluation
from prelabel.evaluation.metrics import VOID, Counts
from prelabel.evaluation.pixels import paint
from prelabel.report.outlines import svg_path, view_size

WORST = BEST = 24
"""Photos at each end of foreground IoU."""
OF_CLASS = 4
"""Photos at each end of every class's own IoU."""


def chosen(evaluation: Evaluation) -> list[int]:
    """Places of the photos to show, worst foreground IoU first: the worst and best of all, and of
    each class."""
    quality = [photo_quality(evaluation, i) for i in range(len(evaluation.pairing.pairs))]
    order = sorted(range(len(quality)), key=lambda i: (quality[i], i))
    wanted = {*order[:WORST], *order[-BEST:]}
    by_class: dict[int, list[tuple[float, int]]] = {}
    for i in order:
        for index, iou in class_ious(evaluation, i).items():
            by_class.setdefault(index, []).append((iou, i))
    for own in by_class.values():
        own.sort()
        wanted |= {i for _, i in (*own[:OF_CLASS], *own[-OF_CLASS:])}
    return [i for i in order if i in wanted]


def photo_quality(evaluation: Evaluation, index: int) -> float:
    """Foreground IoU; for a photo without object the share of it that is left free."""
    photo = evaluation.pixels.photos[index]
    return photo.foreground_iou if photo.has_object is not False else 1 - photo.foreground


def class_ious(evaluation: Evaluation, index: int) -> dict[int, float]:
    """IoU in one photo of each class, from 0, that is true or found there; clusters by their
    class."""
    photo = evaluation.pixels.photos[index]
    counts: Counts = np.zeros(((evaluation.pixels.n_clusters + 1) * 256,), dtype=np.int64)
    counts[photo.cells] = photo.counts
    counts = counts.reshape(-1, 256)[:, :VOID]
    ious = {}
    rows = _row_classes(evaluation)
    true = np.flatnonzero(counts.any(axis=0))
    found = rows[counts.any(axis=1)]
    for column in sorted({*true.tolist(), *found.tolist()} - {-1, 0}):
        own = counts[rows == column]
        union = own.sum() + counts[:, column].sum() - own[:, column].sum()
        ious[column - 1] = float(own[:, column].sum() / union)
    return ious


def card(evaluation: Evaluation, index: int) -> dict[str, Any]:
    """What the script needs of one photo. Outlines are SVG paths in the view's units."""
    pair = evaluation.pairing.pairs[index]
    size = {"width": pair.truth.width, "height": pair.truth.height}
    rows = evaluation.rows
    clusters, truth = (labels.T for labels in paint(pair, rows))
    given = _row_classes(evaluation)[clusters]
    void = truth == VOID
    found, wanted = (clusters > 0) & ~void, (truth > 0) & ~void
    right = found & wanted & (given == truth)
    objects = evaluation.objects.photos[index]
    without, with_them = evaluation.objects.seconds(
        range(index, index + 1), evaluation.class_of, evaluation.costs
    )
    return {
        "name": pair.prediction.photo,
        "size": [size["width"], size["height"]],
        "view": view_size(**size),
        "empty": evaluation.pixels.photos[index].has_object is False,
        "quality": round(photo_quality(evaluation, index), 6),
        "saved": round(without - with_them),
        "steps": [kind.iou_step for kind in objects.kinds],
        "false": objects.false_regions,
        "ious": {str(i): round(iou, 6) for i, iou in class_ious(evaluation, index).items()},
        "truth": [[item.cluster, svg_path(item, **size)] for item in pair.truth.regions],
        "found": [
            [
                evaluation.clusters[rows[region.cluster] - 1],
                evaluation.class_of.get(region.cluster, -1),
                round(region.score, 4),
                svg_path(region, **size),
            ]
            # The best score on top, as in the figures.
            for region in sorted(pair.prediction.regions, key=lambda region: region.score)
        ],
        "difference": {
            "right": _path(right),
            "other": _path(found & wanted & ~right),
            "missed": _path(wanted & ~found),
            "extra": _path(found & ~wanted),
            "void": _path(void),
        },
    }


def _row_classes(evaluation: Evaluation) -> NDArray[np.int64]:
    """The class, from 1, of each row of the confusion; 0 for background, -1 for none."""
    own = [evaluation.class_of.get(cluster, -2) + 1 for cluster in evaluation.rows]
    return np.array([0, *own], dtype=np.int64)


def _path(mask: Mask) -> str:
    height, width = mask.shape
    rle = encode_rle(mask)
    return svg_path(Region(rle, rle_box(rle), rle_area(rle), 1.0), width=width, height=height)
