"""What a review is made of: the Protocol of its sources, and the records that travel between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import Image, Region

Name = str | None
"""Of a class: "" while nobody has named it, None for background, which is no object at all."""


@dataclass(frozen=True)
class ReviewPhoto:
    """A photo with its regions, at the photo's full upright size.

    Attributes:
        id: what the source knows it by; unique.
        name: for people.
        width: in pixels.
        height: likewise.
        regions: each with its mask and score; ``cluster`` is its class, -1 for none.
        vectors: float32 (n, dim), the regions' embeddings; zeros where one is not known.
        names: of each region, as known before the review.
    """

    id: str
    name: str
    width: int
    height: int
    regions: Sequence[Region]
    vectors: NDArray[np.float32]
    names: Sequence[Name]


@dataclass(frozen=True)
class ReviewedPhoto:
    """A photo with what the review says of its regions.

    Attributes:
        photo: as the source gave it; its ``names`` are those of the review now.
        classes: int32 (n,), the class of each region.
    """

    photo: ReviewPhoto
    classes: NDArray[np.int32]


@dataclass(frozen=True)
class Decisions:
    """What a review says of all regions at one moment.

    Attributes:
        revision: number of edits so far; goes up with each.
        names: of each class that has regions, by id.
        class_of: int32 (n,), the class of each region, in the source's order.
        start: int32 (n,), the same before the first edit; classes keep the number of the source's
            cluster where they can.
        photos: all photos, in the source's order, read from disk one after the other.
    """

    revision: int
    names: Mapping[int, Name]
    class_of: NDArray[np.int32]
    start: NDArray[np.int32]
    photos: Callable[[], Iterator[ReviewedPhoto]]


class RegionSource(Protocol):
    """What the regions of a review are read from."""

    def regions(self) -> Iterator[ReviewPhoto]:
        """All photos, with their regions."""


class ReviewSource(RegionSource, Protocol):
    """A dataset whose classes are reviewed.

    - ``regions`` is read once, and again only after ``key`` has changed.
    - ``apply`` is called from a thread of its own, never twice at once, some time after an edit and
      once at the start if edits were not applied before. It must be idempotent. What it raises is
      shown on the page, and it is tried again later.
    - ``image`` may be called from several threads at once.
    """

    @property
    def title(self) -> str:
        """For people."""

    @property
    def key(self) -> str:
        """Names what ``regions`` gives, in a few characters that file names may have; another one
        when that changes."""

    def labels(self) -> Mapping[str, str]:
        """Names that are expected, in order, each with its colour as CSS writes it, or ""."""

    def image(self, photo: str) -> Image:
        """A photo's pixels, upright. Raises PhotoError."""

    def apply(self, decisions: Decisions) -> None:
        """Have the names count. Raises UserError or OSError, which the page shows."""


@runtime_checkable
class PushSource(Protocol):
    """A source whose predictions lie elsewhere, where they are brought up to date when asked."""

    def push(self, progress: Callable[[int, int], None]) -> str:
        """Bring them up to date; returns a line for people. ``progress`` takes how many are done, of
        how many. Raises UserError or OSError, which the page shows."""
