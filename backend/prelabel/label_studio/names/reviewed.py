"""What a review of a project's classes says, as exemplars: as few as give every region its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.label_studio.names.exemplars import CLASS
from prelabel.steps.exemplars import Exemplar, classes_of
from prelabel.steps.levels import unit
from prelabel.strategies.checks import assign, similarity
from prelabel.strategies.protocols import Clusterer

Float = NDArray[np.float32]
Ints = NDArray[np.int32]
_MOST = 200
"""Exemplars of one class of the model: what they do not tell apart stays as it was named before."""
_SPREAD = 8
"""Regions of each name in a class that are exemplars in any case, far from each other: after a refit,
they may be in several classes."""
NOTHING = -1
UNNAMED = -2
"""Kinds of a region beside its name's number."""


@dataclass(frozen=True)
class ReviewedRegions:
    """All regions of a review.

    ``key``: of the review. ``kinds``: int32 (n,), the number of each one's name in ``names``, NOTHING or
    UNNAMED. ``touched``: bool (n,), whether the review has changed its name; those of others stay as the
    project has them. ``vectors``: float32 (m, dim) of some regions, by number.
    """

    key: str
    names: Sequence[str]
    kinds: Ints
    touched: NDArray[np.bool_]
    vectors: Callable[[Ints], Float]


def review_key(key: str) -> str:
    """Where the exemplars of a review are kept."""
    return f"{CLASS}review:{key}"


def reviewed_exemplars(
    reviewed: ReviewedRegions,
    base: Sequence[Exemplar],
    centroids: Float,
    *,
    clusterer: Clusterer,
    origin: str,
) -> list[Exemplar]:
    """The exemplars to add to ``base``, those of annotators and other reviews, so that the touched
    regions have the names of the review and no others change.

    A class of the model that has one name throughout is named as a whole. In others, regions are added
    one after the other, those that are named wrongly without (condensed nearest neighbours). An annotated
    region keeps the name of its annotation. Classes without touched regions get none.
    """
    found: list[Exemplar] = []
    if not reviewed.touched.any():
        return found
    every = np.arange(len(reviewed.kinds), dtype=np.int32)
    clusters = np.concatenate(
        [
            assign(clusterer, reviewed.vectors(part), centroids)
            for part in np.array_split(every, max(1, len(every) // 4096))
        ]
    )
    classes = classes_of(base, centroids, clusterer, origin=origin)
    for cluster in np.unique(clusters[reviewed.touched]).tolist():
        own = every[clusters == cluster]
        known = [base[i] for i in np.flatnonzero(classes == cluster)]
        table = _Class(reviewed, own, known, clusterer)
        for vector, kind in table.missing(centroids[cluster]):
            found.append(
                Exemplar(
                    review_key(reviewed.key),
                    None,
                    vector.astype(np.float32),
                    table.names[kind] if kind >= 0 else "",
                    origin=origin,
                    nothing=kind == NOTHING,
                )
            )
    return found


class _Class:
    """The regions of one class of the model, and which exemplar is nearest to each."""

    def __init__(
        self, reviewed: ReviewedRegions, own: Ints, known: Sequence[Exemplar], clusterer: Clusterer
    ) -> None:
        self._clusterer = clusterer
        self._vectors = reviewed.vectors(own)
        self._units = unit(self._vectors)
        self._nearest = np.full(len(own), -np.inf, dtype=np.float32)
        self._given = np.full(len(own), UNNAMED, dtype=np.int32)
        numbers = {name: number for number, name in enumerate(reviewed.names)}
        for exemplar in known:
            kind = NOTHING if exemplar.nothing else UNNAMED
            if exemplar.counts_as:
                kind = numbers.setdefault(exemplar.counts_as, len(numbers))
            self._add(exemplar.embedding, kind)
        self.names = list(numbers)
        self._touched = reviewed.touched[own]
        self._expected = np.where(self._touched, reviewed.kinds[own], self._given)

    def missing(self, centroid: Float) -> Iterator[tuple[Float, int]]:
        """The vectors that have to be added, and their kinds."""
        kinds = np.unique(self._expected)
        tried = np.zeros(len(self._expected), dtype=np.bool_)
        if (self._given == self._expected).all():
            return
        if len(kinds) == 1:
            self._add(centroid, int(kinds[0]))
            yield centroid, int(kinds[0])
        for kind in kinds.tolist():
            for best in self._spread(self._touched & (self._expected == kind)):
                tried[best] = True
                self._add(self._vectors[best], kind)
                yield self._vectors[best], kind
        for _ in range(_MOST):
            wrong = (self._given != self._expected) & ~tried
            unknown = np.isneginf(self._nearest)  # one name alone would be that of all
            if len(kinds) > 1:
                wrong |= unknown & ~tried
            if not wrong.any():
                return
            of_kind, counts = np.unique(self._expected[wrong], return_counts=True)
            kind = int(of_kind[np.argmax(counts)])
            those = np.flatnonzero(wrong & (self._expected == kind))
            middle = self._units[those].mean(axis=0)
            best = int(those[np.argmax(self._units[those] @ middle)])
            tried[best] = True
            self._add(self._vectors[best], kind)
            yield self._vectors[best], kind

    def _spread(self, chosen: NDArray[np.bool_]) -> Iterator[int]:
        """Some of the chosen regions, each the farthest from those before it."""
        those = np.flatnonzero(chosen)
        nearest = np.full(len(those), -1.0, dtype=np.float32)
        for _ in range(min(_SPREAD, len(those))):
            place = int(np.argmin(nearest))
            yield int(those[place])
            nearest = np.maximum(nearest, self._units[those] @ self._units[those[place]])
            nearest[place] = np.inf

    def _add(self, vector: Float, kind: int) -> None:
        similar = similarity(self._clusterer, self._vectors, vector)
        nearer = similar > self._nearest
        self._nearest[nearer] = similar[nearer]
        self._given[nearer] = kind
