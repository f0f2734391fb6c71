"""Names that an earlier review gave to regions of the same photos, for regions that were found anew."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.model import FittedModel
from prelabel.review.board import Board, Snapshot
from prelabel.review.index import RegionIndex
from prelabel.review.journal import FILE, Journal
from prelabel.review.source import Name
from prelabel.steps.exemplars import Exemplar, Names
from prelabel.strategies.checks import assign

_SAME = 0.5
"""IoU from which on a region is the one that was reviewed."""
_MOST = 200
"""Exemplars of a class, drawn evenly."""
ORIGIN = "origin"
"""Beside an index: the origin of its vectors."""


class CarriedNames:
    """What a review has decided, for the regions of another run over the same or more photos.

    A region that overlaps a reviewed one has its name. All others are named as in a project of Label
    Studio, where reviewed regions are the exemplars: a class whose exemplars all have one name has it,
    and in one with several a region takes that of the nearest.
    """

    def __init__(self, reviewed: Reviewed, model: FittedModel, origin: str) -> None:
        """``origin``: of the model's vectors."""
        self._reviewed = reviewed
        photos = enumerate(reviewed.index.photos())
        self._photos = {_digest(photo.id): i for i, photo in photos if _digest(photo.id)}
        self._clusterer = model.config.strategy("clusterer")
        self._centroids = model.classes
        self._names = Names(
            _exemplars(reviewed), model.classes, clusterer=self._clusterer, origin=origin
        )

    def of(self, prediction: Prediction, vectors: NDArray[np.float32]) -> list[Name]:
        """The name of each region; "" for none. ``vectors``: float32 (n, dim)."""
        found = self._nearest(prediction.regions, vectors)
        number = self._photos.get(prediction.digest)
        if number is None:
            return found
        photo = self._reviewed.index.read_photo(number)
        if (photo.width, photo.height) != (prediction.width, prediction.height):
            return found
        for i, j in _same(prediction.regions, photo.regions):
            found[i] = self._reviewed.name(photo.first + j)
        return found

    def _nearest(self, regions: Sequence[Region], vectors: NDArray[np.float32]) -> list[Name]:
        known = vectors.any(axis=1)
        found: list[Name] = [""] * len(regions)
        if not known.any() or vectors.shape[1:] != self._centroids.shape[1:]:
            return found
        places = np.flatnonzero(known).tolist()
        clusters = assign(self._clusterer, vectors[known], self._centroids).tolist()
        names = self._names(vectors[known], clusters)
        for place, cluster, name in zip(places, clusters, names, strict=True):
            # In a class with exemplars, one without a name is like those of background.
            found[place] = name or (None if self._names.knows(cluster) else "")
        return found


def photo_id(prediction: Prediction) -> str:
    """What a review knows a photo of a run by: its content, and its name."""
    return f"{prediction.digest}:{prediction.photo}"


def _digest(photo: str) -> str:
    return photo.partition(":")[0]


@dataclass(frozen=True)
class Reviewed:
    """A review as its folder has kept it. ``origin``: of its vectors, "" if that is not known."""

    index: RegionIndex
    snapshot: Snapshot
    origin: str

    def name(self, region: int) -> Name:
        """The name of a region."""
        return self.snapshot.names[int(self.snapshot.class_of[region])]


def last_reviewed(place: Path, *, key: str) -> Reviewed | None:
    """The review that was edited last in a folder of reviews, but for the one of ``key``; None if
    there is none that can be read."""
    journals = [file for file in place.glob(f"*/{FILE}") if file.parent.name != key]
    for file in sorted(journals, key=lambda file: -file.stat().st_mtime_ns):
        with suppress(UserError, OSError):
            return _read(file.parent)
    return None


def _read(folder: Path) -> Reviewed:
    index = RegionIndex(folder / "index")
    board = Board(index.start, index.start_names, Journal(folder / FILE), _no_split)
    origin = folder / ORIGIN
    text = origin.read_text(encoding="utf-8") if origin.exists() else ""
    return Reviewed(index, board.snapshot(), text)


def _no_split(ids: NDArray[np.int32], parts: int) -> NDArray[np.int64]:
    raise AssertionError("edits in a journal say what they split")


def _exemplars(reviewed: Reviewed) -> list[Exemplar]:
    """Regions of each class that was decided, with their vectors."""
    found = []
    for number, name in reviewed.snapshot.names.items():
        if name == "":
            continue
        own = np.flatnonzero(reviewed.snapshot.class_of == number)
        if len(own) > _MOST:
            own = own[np.linspace(0, len(own) - 1, _MOST).astype(int)]
        vectors = reviewed.index.vectors(own)
        found += [
            Exemplar(
                str(region),
                {"size": [0, 0], "counts": ""},
                vector,
                name or "",
                None,
                reviewed.origin,
            )
            for region, vector in zip(own.tolist(), vectors, strict=True)
            if vector.any()
        ]
    return found


def _same(regions: Sequence[Region], reviewed: Sequence[Region]) -> list[tuple[int, int]]:
    """Pairs of a region and the reviewed one that it overlaps most, where that is far enough."""
    if not regions or not reviewed:
        return []
    ious = coco_mask.iou(
        [r.rle for r in regions], [r.rle for r in reviewed], [False] * len(reviewed)
    )
    best = np.asarray(ious).argmax(axis=1)
    return [(i, int(j)) for i, j in enumerate(best) if ious[i][j] >= _SAME]
