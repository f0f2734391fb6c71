"""Figures over pixels: one label for each pixel of a photo on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import decode_rle
from prelabel.evaluation import metrics
from prelabel.evaluation.figures import ClassPixels, Confusion, PixelFigures
from prelabel.evaluation.pairing import Pair


@dataclass(frozen=True, slots=True)
class PhotoPixels:
    """One photo. ``has_object``: the truth has one, or a crowd; None where there is nothing but
    crowds or void, and nothing was found beside them. ``foreground_iou``,
    ``boundary_iou``: of all regions together. ``foreground``: share of the photo inside regions.
    ``cells``, ``counts``: the confusion's cells that are not 0, by place in its rows laid end to
    end, and their pixels."""

    has_object: bool | None
    foreground_iou: float
    boundary_iou: float
    foreground: float
    cells: NDArray[np.int32]
    counts: NDArray[np.int32]


@dataclass
class Pixels:
    """Adds up over photos. ``n_clusters``: rows of the confusion but for background."""

    n_clusters: int
    photos: list[PhotoPixels] = field(default_factory=list)
    foreground: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, dtype=np.int64))
    boundary: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, dtype=np.int64))
    confusion: metrics.Counts = field(init=False)

    def __post_init__(self) -> None:
        self.confusion = np.zeros((self.n_clusters + 1, 256), dtype=np.int64)

    def add(self, pair: Pair, rows: Mapping[int, int]) -> None:
        """Count one photo. ``rows``: the confusion's row of each cluster, from 1."""
        clusters, truth = paint(pair, rows)
        counts = metrics.confusion(clusters, truth, n_clusters=self.n_clusters)
        self.confusion += counts
        inside = clusters > 0
        foreground = metrics.foreground_pixels(inside, truth)
        boundary = metrics.boundary_pixels(inside, truth)
        self.foreground += foreground
        self.boundary += boundary
        cells = np.flatnonzero(counts)
        has_object = bool(pair.truth.regions or pair.void)
        self.photos.append(
            PhotoPixels(
                has_object=has_object if foreground[1] or not has_object else None,
                foreground_iou=metrics.share(*foreground),
                boundary_iou=metrics.share(*boundary),
                foreground=float(inside.mean()),
                cells=cells.astype(np.int32),
                counts=counts.ravel()[cells].astype(np.int32),
            )
        )


@dataclass(frozen=True)
class Clusters:
    """The confusion's rows but for background, from 0. ``ids``, ``names``: of each row, regions
    without a class last. ``n``: how many rows are clusters."""

    ids: Sequence[int]
    names: Sequence[str]

    @property
    def n(self) -> int:
        return sum(cluster >= 0 for cluster in self.ids)

    @property
    def rows(self) -> dict[int, int]:
        """The confusion's row of each cluster, from 1."""
        return {cluster: row for row, cluster in enumerate(self.ids, start=1)}


def pixel_figures(
    pixels: Pixels, clusters: Clusters, class_of_row: Mapping[int, int], classes: Sequence[str]
) -> tuple[PixelFigures, dict[int, ClassPixels]]:
    """All figures, and those of each class that is present, by id. ``class_of_row``: the class, from
    1, of each of ``clusters`` that has one. ``classes``: names by id."""
    match = metrics.given_classes(pixels.confusion, class_of_row)
    vote = metrics.vote_classes(pixels.confusion, n_clusters=clusters.n)
    with_object = [photo for photo in pixels.photos if photo.has_object]
    without = [photo for photo in pixels.photos if photo.has_object is False]
    figures = PixelFigures(
        photos_with_object=len(with_object),
        photos_without_object=len(without),
        photos_of_void_alone=len(pixels.photos) - len(with_object) - len(without),
        foreground_iou=_mean([photo.foreground_iou for photo in with_object]),
        foreground_iou_pooled=metrics.share(*pixels.foreground.tolist()),
        boundary_iou=_mean([photo.boundary_iou for photo in with_object]),
        boundary_iou_pooled=metrics.share(*pixels.boundary.tolist()),
        false_foreground=_mean([photo.foreground for photo in without]),
        mean_iou=match.mean_iou,
        pixel_accuracy=match.accuracy,
        mean_iou_vote=vote.mean_iou,
        pixel_accuracy_vote=vote.accuracy,
        background_iou=match.iou[0],
        confusion=_confusion(pixels.confusion, clusters.names, classes),
    )
    by_class = {
        index - 1: ClassPixels(
            iou=iou,
            iou_vote=vote.iou[index],
            cluster=clusters.ids[row] if (row := match.cluster[index]) >= 0 else None,
        )
        for index, iou in match.iou.items()
        if index  # background
    }
    return figures, by_class


def paint(pair: Pair, rows: Mapping[int, int]) -> tuple[NDArray[np.int64], metrics.Truth]:
    """The photo's clusters, int64 (w, h), by row of the confusion, 0 background; and its classes,
    uint8 (w, h), from 1, void 255. Turned, as COCO's masks run down the columns.

    Where regions overlap, the one with the best score is on top, of equals the later one; where
    objects do, the later one; void goes over everything.
    """
    shape = (pair.truth.width, pair.truth.height)
    clusters = np.zeros(shape, dtype=np.int64)
    for region in sorted(pair.prediction.regions, key=lambda region: region.score):
        np.copyto(clusters, rows[region.cluster], where=decode_rle(region.rle).T)
    truth = np.zeros(shape, dtype=np.uint8)
    for item in pair.truth.regions:
        np.copyto(truth, item.cluster + 1, where=decode_rle(item.rle).T)
    for item in pair.void:
        np.copyto(truth, metrics.VOID, where=decode_rle(item.rle).T)
    return clusters, truth


def _confusion(counts: metrics.Counts, names: Sequence[str], classes: Sequence[str]) -> Confusion:
    counts = counts[:, : metrics.VOID]
    columns = [0, *(int(c) for c in np.flatnonzero(counts.any(axis=0)) if c)]
    rows = [0, *(int(r) for r in np.flatnonzero(counts.any(axis=1)) if r)]
    return Confusion(
        clusters=["background", *(names[r - 1] for r in rows[1:])],
        classes=["background", *(classes[c - 1] for c in columns[1:])],
        pixels=counts[np.ix_(rows, columns)].tolist(),
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
