"""Names of classes, from exemplars: regions that people have named, which survive a refit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Rle
from prelabel.strategies.checks import assign, similarity
from prelabel.strategies.protocols import Clusterer

Float = NDArray[np.float32]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exemplar:
    """One region that a person has looked at, or the centroid of a class that was named outright.

    ``photo``: which one, such as the task and image key; for a class, its key. ``rle``: the
    region's mask, None for a class. ``embedding``: float32 (dim,), by the embedder that the classes
    are made from. ``name``: the label that it was given or kept with; "" if it was deleted.
    ``renamed``: the name that counts instead since its class was named outright, or its name was
    changed everywhere. ``origin``: what made the embedding, ``<space>-<code>`` as a model's
    ``vectors_origin``; "" if nobody knows. ``weight``: in (0, 1], how far its inside is of its class;
    less for a rectangle, in which nobody knows where the object is. ``nothing``: it is no object at
    all, and regions like it are left out; its name is "".
    """

    photo: str
    rle: Rle | None
    embedding: Float
    name: str
    renamed: str | None = None
    origin: str = ""
    weight: float = 1.0
    nothing: bool = False

    @property
    def counts_as(self) -> str:
        """The name that counts; "" for none."""
        return self.name if self.renamed is None else self.renamed


@dataclass(frozen=True)
class Likeliest:
    """What a region without a name is most similar to, that first: ``names`` of exemplars,
    and ``classes``, ids."""

    names: tuple[str, ...] = ()
    classes: tuple[int, ...] = ()


class Names:
    """Names for regions, from exemplars and class centroids float32 (n_classes, dim).

    An exemplar belongs to the class nearest to it, by the clusterer's own distance, so it needs no
    class id and outlives every refit. The name that counts is its ``counts_as``.

    - A class whose exemplars all have one name has that name everywhere; so classes that were given
      one label are one from then on.
    - A class with exemplars of several names is split: a region takes the name of the exemplar
      nearest to it, by the clusterer's own measure too. Deleted regions count like a name of their
      own, and a region nearest to one stays without a name.
    - A class without exemplars has no name.
    - Regions nearest to an exemplar that is nothing are no objects.

    Exemplars whose vectors are of another space, or have another length, come from another embedder
    or other weights and are left out. Those that other code has made in the same space count until
    their photos are embedded again; that is logged, once for each set of names.
    """

    def __init__(
        self,
        exemplars: Sequence[Exemplar],
        centroids: Float,
        *,
        clusterer: Clusterer,
        origin: str = "",
    ) -> None:
        """``origin``: of the regions' vectors; "" if it is not to be compared."""
        self._of: dict[int, tuple[Float, list[str]]] = {}
        self._nothing: dict[int, list[bool]] = {}
        self._outright: set[int] = set()
        self._centroids, self._clusterer = centroids, clusterer
        classes = classes_of(exemplars, centroids, clusterer, origin=origin)
        _warn_of_other_code(exemplars, origin)
        for c in np.unique(classes[classes >= 0]):
            own = [exemplars[i] for i in np.flatnonzero(classes == c)]
            vectors = np.stack([e.embedding for e in own]).astype(np.float32)
            self._of[int(c)] = vectors, [e.counts_as for e in own]
            if any(e.nothing for e in own):
                self._nothing[int(c)] = [e.nothing for e in own]
            if len(set(self._of[int(c)][1])) == 1 and any(e.rle is None for e in own):
                self._outright.add(int(c))

    def __call__(self, embeddings: Float, clusters: Iterable[int]) -> list[str | None]:
        """A name, or None, for each region: float32 (n, dim) and n class ids."""
        return [
            self._name(vector, cluster)
            for vector, cluster in zip(embeddings, clusters, strict=True)
        ]

    def knows(self, cluster: int) -> bool:
        """Whether people have named a class, or said that it has no name."""
        return cluster in self._of

    def is_outright(self, cluster: int) -> bool:
        """Whether a class was named as a whole, and nobody has called one of its regions otherwise."""
        return cluster in self._outright

    def is_nothing(self, embeddings: Float, clusters: Iterable[int]) -> list[bool]:
        """Whether each region is no object: float32 (n, dim) and n class ids."""
        return [
            cluster in self._nothing
            and self._nothing[cluster][self._nearest(self._of[cluster][0], vector)]
            for vector, cluster in zip(embeddings, clusters, strict=True)
        ]

    def is_like_deleted(self, vector: Float) -> bool:
        """Whether the exemplar nearest to a region, float32 (dim,), was deleted."""
        nearest, answer = -np.inf, False
        for vectors, names in self._of.values():
            similar = similarity(self._clusterer, vectors, vector)
            best = int(np.argmax(similar))
            if similar[best] > nearest:
                nearest, answer = float(similar[best]), not names[best]
        return answer

    def same_as(self, other: Names) -> bool:
        """Whether all regions have the same names with the other's exemplars; sometimes False where
        they have."""
        if self._nothing != other._nothing or self._of.keys() != other._of.keys():
            return False
        return all(
            _alike(own, other._of[cluster])
            and (cluster not in self._nothing or np.array_equal(own[0], other._of[cluster][0]))
            for cluster, own in self._of.items()
        )

    def may_be_unnamed(self, cluster: int) -> bool:
        """Whether some region of a class may have no name."""
        if cluster not in self._of:
            return True
        names = self._of[cluster][1]
        nothing = self._nothing.get(cluster, [False] * len(names))
        return any(not name and not none for name, none in zip(names, nothing, strict=True))

    def likeliest(self, embeddings: Float) -> list[Likeliest]:
        """What each region, float32 (n, dim), is most similar to."""
        if not len(embeddings) or not len(self._centroids):
            return [Likeliest()] * len(embeddings)
        return [self._likeliest(vector) for vector in embeddings]

    def _likeliest(self, vector: Float) -> Likeliest:
        nearest: dict[str, float] = {}
        for vectors, names in self._of.values():
            similar = similarity(self._clusterer, vectors, vector).tolist()
            for name, own in zip(names, similar, strict=True):
                if name:
                    nearest[name] = max(own, nearest.get(name, -np.inf))
        similar = similarity(self._clusterer, self._centroids, vector)
        classes = np.argsort(-similar, kind="stable")
        names_first = sorted(nearest, key=lambda name: -nearest[name])
        return Likeliest(tuple(names_first), tuple(classes.tolist()))

    def table(self, n_classes: int) -> list[dict[str, int]]:
        """For each class the names of its exemplars and how many have each; "" is deleted. A name
        given outright counts as one."""
        counts: list[dict[str, int]] = [{} for _ in range(n_classes)]
        for c, (_, names) in self._of.items():
            counts[c] = {name: names.count(name) for name in dict.fromkeys(names)}
        return counts

    def _name(self, vector: Float, cluster: int) -> str | None:
        if cluster not in self._of:
            return None
        vectors, names = self._of[cluster]
        if len(set(names)) == 1:
            return names[0] or None
        return names[self._nearest(vectors, vector)] or None

    def _nearest(self, vectors: Float, vector: Float) -> int:
        return int(np.argmax(similarity(self._clusterer, vectors, vector)))


def _alike(one: tuple[Float, list[str]], other: tuple[Float, list[str]]) -> bool:
    """Whether the exemplars of a class give the same names: all have one, or they are the same."""
    if len(set(one[1])) == 1 and set(one[1]) == set(other[1]):
        return True
    return one[1] == other[1] and np.array_equal(one[0], other[0])


def is_outdated(exemplar: Exemplar, origin: str) -> bool:
    """Whether other code has embedded the exemplar, whose photo can be embedded again."""
    return exemplar.rle is not None and exemplar.origin != origin


def classes_of(
    exemplars: Sequence[Exemplar], centroids: Float, clusterer: Clusterer, *, origin: str = ""
) -> NDArray[np.int64]:
    """The class of each exemplar, int64 (n,); -1 for one that another embedder made, or that is of
    another space than ``origin``."""
    fits = [
        len(centroids) > 0
        and exemplar.embedding.shape == centroids.shape[1:]
        and is_of_space(exemplar, origin)
        for exemplar in exemplars
    ]
    classes = np.full(len(exemplars), -1, dtype=np.int64)
    if any(fits):
        own = [e.embedding for e, fit in zip(exemplars, fits, strict=True) if fit]
        classes[fits] = assign(clusterer, np.stack(own).astype(np.float32), centroids)
    return classes


def is_of_space(exemplar: Exemplar, origin: str) -> bool:
    """Whether an exemplar's vector is of the same space; true if either origin is unknown."""
    if not exemplar.origin or not origin:
        return True
    return exemplar.origin.partition("-")[0] == origin.partition("-")[0]


def _warn_of_other_code(exemplars: Sequence[Exemplar], origin: str) -> None:
    if not origin:
        return
    foreign = sum(not is_of_space(exemplar, origin) for exemplar in exemplars)
    outdated = sum(is_outdated(exemplar, origin) for exemplar in exemplars) - foreign
    if outdated > 0 or foreign:
        _log.warning(
            "of %d named examples, %d were embedded by other code than is installed now and count as "
            "they are, %d by another embedder or with other weights and do not count, until their "
            "photos are embedded again, as the backend and a fit do, or their class is named again",
            len(exemplars),
            max(outdated, 0),
            foreign,
        )
