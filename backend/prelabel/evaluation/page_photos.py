"""Which photos the page shows, and what it shows of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Mask
from prelabel.evaluation.measure import Measured
from prelabel.evaluation.metrics import VOID, Counts
from prelabel.evaluation.pixels import paint
from prelabel.report.svg_paths import svg_path, view_size

WORST = BEST = 24
"""Photos at each end of foreground IoU."""
OF_CLASS = 4
"""Photos at each end of every class's own IoU."""


def chosen(measured: Measured) -> list[int]:
    """Indices of the photos to show, worst foreground IoU first: the worst and best of all, and of
    each class."""
    quality = [photo_quality(measured, i) for i in range(len(measured.pairing.pairs))]
    order = sorted(range(len(quality)), key=lambda i: (quality[i], i))
    shown = {*order[:WORST], *order[-BEST:]}
    by_class: dict[int, list[tuple[float, int]]] = {}
    for i in order:
        for index, iou in class_ious(measured, i).items():
            by_class.setdefault(index, []).append((iou, i))
    for own in by_class.values():
        own.sort()
        shown |= {i for _, i in (*own[:OF_CLASS], *own[-OF_CLASS:])}
    return [i for i in order if i in shown]


def photo_quality(measured: Measured, index: int) -> float:
    """Foreground IoU; for a photo without object the share of it that is left free."""
    photo = measured.pixels.photos[index]
    return photo.foreground_iou if photo.has_object is not False else 1 - photo.foreground


def class_ious(measured: Measured, index: int) -> dict[int, float]:
    """IoU in one photo of each class, from 0, that is true or found there; clusters by their
    class."""
    photo = measured.pixels.photos[index]
    counts: Counts = np.zeros(((measured.pixels.n_clusters + 1) * 256,), dtype=np.int64)
    counts[photo.cells] = photo.counts
    counts = counts.reshape(-1, 256)[:, :VOID]
    ious = {}
    rows = _row_classes(measured)
    true = np.flatnonzero(counts.any(axis=0))
    found = rows[counts.any(axis=1)]
    for column in sorted({*true.tolist(), *found.tolist()} - {-1, 0}):
        own = counts[rows == column]
        union = own.sum() + counts[:, column].sum() - own[:, column].sum()
        ious[column - 1] = float(own[:, column].sum() / union)
    return ious


def card(measured: Measured, index: int) -> dict[str, object]:
    """What the script needs of one photo. Outlines are SVG paths in the view's units."""
    pair = measured.pairing.pairs[index]
    rows, class_of = measured.clusters.rows, measured.class_of
    return {
        **_work(measured, index),
        "name": pair.prediction.photo,
        "size": [pair.truth.width, pair.truth.height],
        "view": view_size(pair.truth.width, pair.truth.height),
        "empty": measured.pixels.photos[index].has_object is False,
        "quality": round(photo_quality(measured, index), 6),
        "ious": {str(i): round(iou, 6) for i, iou in class_ious(measured, index).items()},
        "truth": [[item.cluster, svg_path(item.mask)] for item in pair.truth.regions],
        "found": [
            [
                measured.clusters.names[rows[region.cluster] - 1],
                class_of.get(region.cluster, -1),
                round(region.score, 4),
                svg_path(region.mask),
            ]
            # The best score on top, as in the figures.
            for region in sorted(pair.prediction.regions, key=lambda region: region.score)
        ],
        "difference": {kind: svg_path(mask) for kind, mask in _difference(measured, index)},
    }


def _work(measured: Measured, index: int) -> dict[str, object]:
    """The objects of a photo and the seconds saved; nothing where objects were not measured."""
    if not measured.objects.photos:
        return {}
    objects = measured.objects.photos[index]
    without, with_them = measured.objects.seconds(
        range(index, index + 1), measured.class_of, measured.costs
    )
    return {
        "saved": round(without - with_them),
        "steps": [kind.iou_step for kind in objects.kinds],
        "false": objects.false_regions,
    }


def _difference(measured: Measured, index: int) -> list[tuple[str, Mask]]:
    """Pixels that are right, of another class, missed, of no object, and void."""
    clusters, truth = (
        labels.T for labels in paint(measured.pairing.pairs[index], measured.clusters.rows)
    )
    given = _row_classes(measured)[clusters]
    void = truth == VOID
    found, true = (clusters > 0) & ~void, (truth > 0) & ~void
    right = found & true & (given == truth)
    return [
        ("right", right),
        ("other", found & true & ~right),
        ("missed", true & ~found),
        ("extra", found & ~true),
        ("void", void),
    ]


def _row_classes(measured: Measured) -> NDArray[np.int64]:
    """The class, from 1, of each row of the confusion; 0 for background, -1 for none."""
    own = [measured.class_of_row.get(row, -1) for row in range(len(measured.clusters.ids))]
    return np.array([0, *own], dtype=np.int64)
