"""A simulated person at the review page, and one who corrects tasks instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from prelabel.data.records import Image
from prelabel.errors import PhotoError
from prelabel.evaluation import Costs
from prelabel.review.edits import BackgroundEdit, MoveEdit, NameEdit, SplitEdit
from prelabel.review.review import Review
from prelabel.review.source import Decisions, Name, ReviewPhoto
from prelabel.segment import Segment
from prelabel.steps.exemplars import Exemplar, Names
from prelabel.strategies.protocols import Clusterer

SECONDS_TO_NAME = 5.0
"""Looking at a class and giving it a name, or saying that it is nothing."""
SECONDS_TO_MOVE = 3.0
"""Sending a cut-out to another class, or splitting one."""
WORTH_A_SPLIT = 4
"""Regions of a second kind from which on a split and a name take less time than moving each."""
NOTHING: Name = None


@dataclass(frozen=True)
class Photo:
    """A photo with its regions. ``right``: the right name of each, NOTHING for background."""

    stem: str
    segment: Segment
    right: Sequence[Name]


@dataclass(frozen=True)
class Fitted:
    """A fit's regions. ``clusterer``: the one that its classes are made with."""

    photos: Sequence[Photo]
    clusterer: Clusterer

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Of all regions, float32 (n, dim)."""
        return np.concatenate([p.segment.embeddings for p in self.photos if p.right])

    @property
    def right(self) -> list[Name]:
        """The right names of all regions."""
        return [name for photo in self.photos for name in photo.right]


class FittedSource:
    """Clusters of a fit's regions as the source of a review."""

    title = key = "benchmark"

    def __init__(self, fitted: Fitted, clusters: NDArray[np.int64]) -> None:
        self._fitted = fitted
        self._clusters = clusters

    def labels(self) -> Mapping[str, str]:
        """None."""
        return {}

    def regions(self) -> Iterator[ReviewPhoto]:
        """All photos that have regions."""
        clusters = iter(self._clusters.tolist())
        for photo in self._fitted.photos:
            own = photo.segment
            yield ReviewPhoto(
                *(photo.stem, photo.stem, own.width, own.height),
                [structs.replace(region, cluster=next(clusters)) for region in own.regions],
                own.embeddings,
                [""] * len(own.regions),
            )

    def image(self, photo: str) -> Image:
        """None."""
        raise PhotoError("has no pixels here")

    def apply(self, decisions: Decisions) -> None:
        """Nothing."""


class Reviewer:
    """Works at the page as it is: names the largest class without a name first, by the kind that most
    of its regions are of. When all have a name, classes that hold much of a second kind are split once;
    then cut-outs that are named wrongly are sent to where they belong, the farthest from a class's
    middle first, as the page shows them at its end."""

    def __init__(self, review: Review, right: Sequence[Name], *, splits: bool = True) -> None:
        self.seconds = 0.0
        self.actions: Counter[str] = Counter()
        self._review = review
        self._right = list(right)
        self._splits = splits
        self._split: set[int] = set()

    def work_until(self, seconds: float) -> None:
        """Go on as long as the next action ends in time."""
        while edit := self._next():
            takes = SECONDS_TO_MOVE if isinstance(edit, MoveEdit | SplitEdit) else SECONDS_TO_NAME
            if self.seconds + takes > seconds:
                return
            self.seconds += takes
            self.actions[type(edit).__name__] += 1
            made = self._review.board.edit(edit)
            if isinstance(made, SplitEdit) and made.created:
                self._split |= {made.class_, *made.created}

    @property
    def named_right(self) -> float:
        """The share of regions with their right name."""
        state = self._review.board.snapshot()
        found = [state.names[c] for c in state.class_of.tolist()]
        return float(np.mean([a == b for a, b in zip(found, self._right, strict=True)]))

    def _next(self) -> NameEdit | BackgroundEdit | SplitEdit | MoveEdit | None:
        state = self._review.board.snapshot()
        kinds: dict[int, Counter[Name]] = {c: Counter() for c in state.names}
        for right, c in zip(self._right, state.class_of.tolist(), strict=True):
            kinds[c][right] += 1
        largest = sorted(kinds, key=lambda c: (-kinds[c].total(), c))
        for c in largest:
            if state.names[c] == "":
                [(name, _)] = kinds[c].most_common(1)
                return NameEdit([c], name) if name else BackgroundEdit([c])
        for c in largest:
            _, second = [*kinds[c].most_common(2), (None, 0)][:2]
            if self._splits and second[1] >= WORTH_A_SPLIT and c not in self._split:
                return SplitEdit(c, parts=2)
        return self._outlier(state.names, largest)

    def _outlier(self, names: Mapping[int, Name], largest: Sequence[int]) -> MoveEdit | None:
        places = {names[c]: c for c in reversed(largest)}
        for c in largest:
            regions = self._review.class_regions(c, offset=0, limit=1000).regions
            for region in reversed(regions):
                right = self._right[region.id]
                if right != names[c] and right in places:
                    return MoveEdit([region.id], places[right])
        return None


def named_right_by_correcting(
    fitted: Fitted,
    clusters: NDArray[np.int64],
    centroids: NDArray[np.float32],
    *,
    seconds: float,
    seed: int,
) -> float:
    """The share of regions with their right name after tasks were corrected for ``seconds``.

    Photos are opened in a random order: each takes the seconds to look at it, and each region those to
    give it its label or to delete it, by the costs of `prelabel evaluate`. Masks are not touched. The
    names of all other regions are learned from them.
    """
    costs, left = Costs(), seconds
    known: list[Exemplar] = []
    corrected: set[str] = set()
    order = np.random.default_rng(seed).permutation(len(fitted.photos))
    for photo in (fitted.photos[i] for i in order):
        left -= costs.photo + costs.relabel * len(photo.right)
        if left < 0:
            break
        corrected.add(photo.stem)
        known += [
            Exemplar(photo.stem, region.rle, vector, name or "")
            for region, vector, name in zip(
                photo.segment.regions, photo.segment.embeddings, photo.right, strict=True
            )
        ]
    names = Names(known, centroids, clusterer=fitted.clusterer)
    found = names(fitted.vectors, clusters.tolist())
    stems = [photo.stem for photo in fitted.photos for _ in photo.right]
    return float(
        np.mean(
            [
                stem in corrected or (name == right and (name is not None or names.knows(cluster)))
                for name, right, cluster, stem in zip(
                    found, fitted.right, clusters.tolist(), stems, strict=True
                )
            ]
        )
    )


def review_of(fitted: Fitted, clusters: NDArray[np.int64], folder: Path) -> Review:
    """The review of some clusters, in an empty folder."""
    return Review(FittedSource(fitted, clusters), folder)
