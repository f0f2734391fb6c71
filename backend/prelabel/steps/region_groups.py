"""How many kinds of objects regions look like, beside the classes that they were put into."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.steps.classes import classify, find_classes
from prelabel.strategies.protocols import Clusterer

Float = NDArray[np.float32]
Ints = NDArray[np.int64]
FEWEST = 50
"""Regions from which on something is said: groups of three among fewer are chance."""
MOST = 2000
"""Regions that are looked at, since both figures take time that grows with the square of their
number."""


@dataclass(frozen=True)
class RegionGroups:
    """What regions look like.

    Attributes:
        n_regions: that were looked at, at most ``MOST``.
        n_groups: dense groups among them, as `find_classes` finds them; None of fewer than ``FEWEST``.
        class_silhouette: mean silhouette of the classes over these regions, in [-1, 1]; None for
            fewer than two classes.
        group_silhouette: likewise of the groups, each region in the group with the nearest centroid.
    """

    n_regions: int
    n_groups: int | None = None
    class_silhouette: float | None = None
    group_silhouette: float | None = None


class RegionSample:
    """At most ``most`` regions with a class, drawn evenly from a stream with the seed (algorithm R:
    Vitter, ACM Transactions on Mathematical Software 11, 1985)."""

    def __init__(self, *, seed: int, most: int = MOST) -> None:
        self._most = most
        self._random = np.random.default_rng(seed)
        self._seen = 0
        self._kept: list[tuple[Float, int]] = []

    def add(self, vectors: Float, classes: Iterable[int]) -> None:
        """Regions of a photo: their vectors float32 (n, dim), and their classes; -1 is none."""
        for vector, number in zip(vectors, classes, strict=True):
            if number < 0:
                continue
            self._seen += 1
            if len(self._kept) < self._most:
                self._kept.append((vector.copy(), number))  # not all of the photo's
            elif (place := int(self._random.integers(self._seen))) < self._most:
                self._kept[place] = vector.copy(), number

    def groups(self, *, clusterer: Clusterer, seed: int) -> RegionGroups:
        """What they look like."""
        n = len(self._kept)
        if n < FEWEST:
            return RegionGroups(n)
        vectors = np.stack([vector for vector, _ in self._kept])
        of_classes = mean_silhouette(vectors, np.array([number for _, number in self._kept]))
        found = find_classes(vectors, clusterer=clusterer, seed=seed)
        if found is None:
            return RegionGroups(n, 0, of_classes)
        groups = classify(vectors, found.centroids, clusterer=clusterer, reach=-math.inf)
        return RegionGroups(n, len(found.centroids), of_classes, mean_silhouette(vectors, groups))


def mean_silhouette(vectors: Float, groups: Ints) -> float | None:
    """Rousseeuw's silhouette (J. Comp. Appl. Math. 20, 1987) by cosine distance, mean over vectors
    float32 (n, dim) in groups int64 (n,), in [-1, 1]: 1 is far apart, 0 is not apart at all. None
    where it is not defined: for one group, or as many as vectors."""
    if not 1 < len(np.unique(groups)) < len(groups):
        return None
    from sklearn.metrics import silhouette_score  # takes seconds to load

    return float(silhouette_score(vectors, groups, metric="cosine"))
