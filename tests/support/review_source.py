"""Sources of a review that tests make up: drawn photos, and vectors around the middle of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builders import box, region
from prelabel.data.records import Image
from prelabel.errors import PhotoError
from prelabel.review.review import Review
from prelabel.review.source import Decisions, Name, ReviewPhoto

HEIGHT, WIDTH = 30, 40
"""Of the photos."""
DIM = 8


@dataclass
class SyntheticSource:
    """Photos with regions that stand beside each other, of clusters in turn; region i is of cluster
    ``i % n_clusters``, and farther from its middle the higher i is.

    ``names``: of clusters, as known before the review. ``applied``: what was applied so far.
    ``failing``: what ``apply`` raises. ``gone``: photos that cannot be read.
    """

    n_photos: int = 6
    per_photo: int = 4
    n_clusters: int = 3
    names: Mapping[int, Name] = field(default_factory=dict)
    expected: Mapping[str, str] = field(default_factory=dict)
    key: str = "k1"
    title: str = "synthetic"
    photo_name: Callable[[int], str] = lambda i: f"photo {i}.jpg"
    vectors: bool = True
    applied: list[Decisions] = field(default_factory=list)
    failing: Exception | None = None
    gone: Sequence[str] = ()
    read: int = 0

    def labels(self) -> Mapping[str, str]:
        """Names that are expected."""
        return self.expected

    def regions(self) -> Iterator[ReviewPhoto]:
        """All photos."""
        self.read += 1
        rng = np.random.default_rng(0)
        side = WIDTH // max(self.per_photo, 1)
        total = self.n_photos * self.per_photo
        for i in range(self.n_photos):
            numbers = range(i * self.per_photo, (i + 1) * self.per_photo)
            yield ReviewPhoto(
                id=f"p{i}",
                name=self.photo_name(i),
                width=WIDTH,
                height=HEIGHT,
                regions=[
                    region(
                        box(j * side, 5, max(side - 2, 1), 8 + i % 7, photo=(HEIGHT, WIDTH)),
                        n % self.n_clusters,
                        score=0.25 + 0.5 * n / max(total, 1),
                    )
                    for j, n in enumerate(numbers)
                ],
                vectors=np.stack([self._vector(n, total, rng) for n in numbers])
                if self.vectors and self.per_photo
                else np.zeros((self.per_photo, 0), dtype=np.float32),
                names=[self.names.get(n % self.n_clusters, "") for n in numbers],
            )

    def image(self, photo: str) -> Image:
        """A photo of one colour for each."""
        if photo in self.gone:
            raise PhotoError("cannot be read (No such file or directory)")
        pixels = np.full((HEIGHT, WIDTH, 3), 60 + 20 * (int(photo[1:]) % 8), dtype=np.uint8)
        return Image(pixels, WIDTH, HEIGHT, "0" * 32)

    def apply(self, decisions: Decisions) -> None:
        """Remember what is decided."""
        if self.failing:
            raise self.failing
        self.applied.append(decisions)

    def _vector(self, n: int, total: int, rng: np.random.Generator) -> NDArray[np.float32]:
        vector = 0.5 * n / total * rng.standard_normal(DIM)
        vector[n % self.n_clusters % DIM] += 2
        return np.asarray(vector, dtype=np.float32)


def review_of(folder: Path, **settings: object) -> tuple[Review, SyntheticSource]:
    """A review of a synthetic source, whose threads were not started."""
    source = SyntheticSource(**settings)  # type: ignore[arg-type]
    return Review(source, folder), source
