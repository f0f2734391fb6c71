"""How close the regions of a class are to its middle, and k-means within one."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from prelabel.review.index import RegionIndex

Ints = NDArray[np.int32]
_KEPT = 4
"""Orders of classes that are kept, by the number of all regions: 8 bytes each."""
_ROUNDS = 30
_SAMPLE = 2000
"""Regions of a class whose middles are searched for; all are assigned to them."""


@dataclass(frozen=True)
class Ordered:
    """The regions of a class, closest to its middle first. ``closeness``: float32 (n,), cosines."""

    ids: Ints
    closeness: NDArray[np.float32]


class ClosestFirst:
    """Orders classes, and keeps the orders of those that were asked for last."""

    def __init__(self, index: RegionIndex) -> None:
        self._index = index
        self._known: OrderedDict[int, tuple[int, Ordered]] = OrderedDict()
        self._lock = Lock()

    def order(self, number: int, ids: Ints) -> Ordered:
        """The order of class ``number`` with exactly these regions."""
        content = hash(ids.tobytes())
        with self._lock:
            known = self._known.get(number)
            if known and known[0] == content:
                self._known.move_to_end(number)
                return known[1]
        found = ordered(self._index, ids)
        with self._lock:
            self._known[number] = content, found
            self._known.move_to_end(number)
            most = _KEPT * max(len(self._index), 1)
            while len(self._known) > 1 and sum(len(o.ids) for _, o in self._known.values()) > most:
                self._known.popitem(last=False)
        return found


def ordered(index: RegionIndex, ids: Ints) -> Ordered:
    """The regions, closest to their mean vector first, those with equal ones in order of their ids."""
    middle = np.zeros(index.dim, dtype=np.float64)
    for _, vectors in index.chunks(ids):
        middle += vectors.sum(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(middle))
    unit = (middle / (length or 1.0)).astype(np.float32)
    cosines = np.zeros(len(ids), dtype=np.float32)
    for place, vectors in index.chunks(ids):
        cosines[place] = vectors @ unit
    order = np.argsort(-cosines, kind="stable")
    return Ordered(ids[order], cosines[order])


def kmeans(index: RegionIndex, ids: Ints, parts: int) -> NDArray[np.int64]:
    """The part of each region, int64 (n,), by spherical k-means from far apart regions on. The same
    regions give the same parts."""
    rng = np.random.default_rng(0)
    some = ids if len(ids) <= _SAMPLE else np.sort(rng.choice(ids, _SAMPLE, replace=False))
    vectors = index.vectors(some)
    mean = vectors.mean(axis=0)
    centers = [vectors[int(np.argmin(vectors @ mean))]]  # the farthest outlier first
    while len(centers) < min(parts, len(some)):
        nearest = np.max(np.stack([vectors @ c for c in centers]), axis=0)
        centers.append(vectors[int(np.argmin(nearest))])
    middles = np.stack(centers)
    for _ in range(_ROUNDS):
        labels = (vectors @ middles.T).argmax(axis=1)
        sums = np.stack([vectors[labels == k].sum(axis=0) for k in range(len(middles))])
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        moved = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), middles)
        if np.allclose(moved, middles, atol=1e-6):
            break
        middles = moved.astype(np.float32)
    found = np.zeros(len(ids), dtype=np.int64)
    for place, chunk in index.chunks(ids):
        found[place] = (chunk @ middles.T).argmax(axis=1)
    return found
