"""The regions of a photo from its masks of classes and objects, all in one pass.

Masks are cut into runs: pixels of one column that follow each other and have the same class and
object. All that follows is done with runs, whose number does not grow with that of the objects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from prelabel.data.coco_rle import measure_rles
from prelabel.data.masks import Rle
from prelabel.data.records import Region
from prelabel_exporters.voc.layout import BACKGROUND, VOID
from prelabel_exporters.voc.masks import MOST_VALUES

Ints = NDArray[np.int64]


class TooManyError(ValueError):
    """A mask has more objects than labels have."""


@dataclass(frozen=True)
class _Runs:
    """``starts``, ``stops``: places of pixels, counted down the columns. ``classes``, ``objects``: of
    each run."""

    height: int
    width: int
    starts: Ints
    stops: Ints
    classes: Ints
    objects: Ints

    def where(self, keep: NDArray[np.bool_]) -> _Runs:
        return _Runs(
            self.height,
            self.width,
            self.starts[keep],
            self.stops[keep],
            self.classes[keep],
            self.objects[keep],
        )


def regions_of(classes: NDArray[np.uint8], objects: NDArray[np.uint16] | None) -> list[Region]:
    """Objects by number, each of the class that most of its pixels have (of equals, the lowest);
    void comes last, as a crowd.

    Args:
        classes: (height, width), with background and void.
        objects: likewise, the numbers from 1; None if connected parts (8 neighbours) of a class are
            objects.

    Raises:
        TooManyError: there are more than ``MOST_VALUES`` objects.
    """
    runs = _cut(classes, objects)
    void = runs.where(runs.classes == VOID)
    inside = runs.where((runs.classes != VOID) & (runs.classes != BACKGROUND))
    if objects is None:
        numbers = _connected(inside)
    else:
        inside = inside.where(inside.objects > 0)
        numbers = inside.objects
    found, numbers = np.unique(numbers, return_inverse=True)
    if len(found) > MOST_VALUES:
        raise TooManyError(f"{len(found)} objects, expected at most {MOST_VALUES}")
    rles = _rles(inside, numbers, len(found))
    clusters = [int(value) - 1 for value in _majority(inside, numbers, len(found))]
    crowds = [False] * len(rles)
    if len(void.starts):
        rles += _rles(void, np.zeros(len(void.starts), dtype=np.int64), 1)
        clusters.append(-1)
        crowds.append(True)
    _, areas, boxes = measure_rles(rles)
    return [
        Region(rle, (x, y, width, height), area, 1.0, cluster, crowd)
        for rle, area, (x, y, width, height), cluster, crowd in zip(
            rles, areas.tolist(), boxes.tolist(), clusters, crowds, strict=True
        )
    ]


def _cut(classes: NDArray[np.uint8], objects: NDArray[np.uint16] | None) -> _Runs:
    """All runs, from the first column to the last."""
    height, width = classes.shape
    flat = classes.ravel(order="F")
    differs = np.empty(flat.shape, dtype=np.bool_)
    differs[0] = True
    np.not_equal(flat[1:], flat[:-1], out=differs[1:])
    differs[::height] = True
    numbers = None
    if objects is not None:
        numbers = objects.ravel(order="F")
        differs[1:] |= numbers[1:] != numbers[:-1]
    starts = np.flatnonzero(differs)
    own = np.zeros(len(starts), dtype=np.int64) if numbers is None else numbers[starts]
    stops = np.append(starts[1:], flat.size)
    return _Runs(height, width, starts, stops, flat[starts].astype(np.int64), own.astype(np.int64))


def _connected(runs: _Runs) -> Ints:
    """The number of the connected part, of one class, that each run is in."""
    column = runs.starts // runs.height
    # The places in the next column that touch a run, diagonally too.
    low = np.maximum(runs.starts + runs.height - 1, (column + 1) * runs.height)
    high = np.minimum(runs.stops + runs.height + 1, (column + 2) * runs.height)
    first = np.searchsorted(runs.stops, low, side="right")
    counts = np.maximum(np.searchsorted(runs.starts, high, side="left") - first, 0)
    left = np.repeat(np.arange(len(first)), counts)
    right = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts) + first[left]
    # In one column, runs of one class that touch would be one run.
    same = runs.classes[left] == runs.classes[right]
    left, right = left[same], right[same]
    n = len(runs.starts)
    if not n:
        return runs.starts
    graph = coo_array((np.ones(len(left), dtype=np.bool_), (left, right)), shape=(n, n))
    _, parts = connected_components(graph, directed=False)
    return _in_reading_order(runs, parts.astype(np.int64))


def _in_reading_order(runs: _Runs, parts: Ints) -> Ints:
    """Numbers of parts by class, and in each by their first pixel from the top, then the left."""
    places = runs.starts % runs.height * runs.width + runs.starts // runs.height
    n = int(parts.max(initial=-1)) + 1
    first = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(first, parts, places)
    classes = np.zeros(n, dtype=np.int64)
    classes[parts] = runs.classes
    rank = np.empty(n, dtype=np.int64)
    rank[np.lexsort((first, classes))] = np.arange(n)
    return rank[parts]


def _majority(runs: _Runs, numbers: Ints, n: int) -> Ints:
    """The class of most pixels of each of n objects."""
    pairs, place = np.unique(numbers * 256 + runs.classes, return_inverse=True)
    pixels = np.bincount(place, weights=runs.stops - runs.starts, minlength=len(pairs))
    order = np.lexsort((pairs % 256, -pixels))  # the best of each object comes first
    classes = np.zeros(n, dtype=np.int64)
    classes[(pairs // 256)[order[::-1]]] = (pairs % 256)[order[::-1]]
    return classes


def _rles(runs: _Runs, numbers: Ints, n: int) -> list[Rle]:
    """The masks of n objects, of which each run has a number from 0."""
    order = np.argsort(numbers, kind="stable")
    numbers, starts, stops = numbers[order], runs.starts[order], runs.stops[order]
    # Runs that go on, from one column to the next or in another class, become one.
    goes_on = np.zeros(len(order), dtype=np.bool_)
    goes_on[1:] = (numbers[1:] == numbers[:-1]) & (starts[1:] == stops[:-1])
    first = np.flatnonzero(~goes_on)
    numbers, starts = numbers[first], starts[first]
    stops = stops[np.append(first[1:] - 1, len(order) - 1)] if len(first) else stops[:0]
    ends = np.cumsum(np.bincount(numbers, minlength=n))
    size, pixels = [runs.height, runs.width], runs.height * runs.width
    rles: list[Rle] = []
    begin = 0
    for end in ends.tolist():
        edges = np.empty(2 * (end - begin) + 2, dtype=np.int64)
        edges[0], edges[-1] = 0, pixels
        edges[1:-1:2], edges[2:-1:2] = starts[begin:end], stops[begin:end]
        counts = np.diff(edges[: -1 if edges[-2] == pixels else None]).tolist()
        packed = coco_mask.frPyObjects({"size": size, "counts": counts}, *size)
        rles.append({"size": size, "counts": packed["counts"].decode("ascii")})
        begin = end
    return rles
