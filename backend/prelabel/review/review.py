"""One review: a source, its regions, the board, and the threads that work beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import decode_rle
from prelabel.errors import UserError
from prelabel.report.svg_paths import svg_path
from prelabel.review import figures
from prelabel.review.answers import (
    ClassAnswer,
    EditAnswer,
    LabelAnswer,
    MapAnswer,
    OutlineAnswer,
    PhotoAnswer,
    RegionAnswer,
    RegionsAnswer,
    StateAnswer,
)
from prelabel.review.applier import Applier, Applying
from prelabel.review.board import Board, Snapshot
from prelabel.review.closeness import ClosestFirst, kmeans
from prelabel.review.edits import Edit, MoveEdit, SplitEdit
from prelabel.review.index import RegionIndex, build_index
from prelabel.review.journal import FILE, Journal
from prelabel.review.map import RegionMap
from prelabel.review.palette import Palette
from prelabel.review.pictures import Pictures
from prelabel.review.pushing import Pusher
from prelabel.review.source import Decisions, PushSource, ReviewedPhoto, ReviewPhoto, ReviewSource

_UNDO_TEXTS = 20
_MOST_REGIONS = 1000
"""In one answer."""


class Review:
    """A review of what a source holds; all methods may be called from any thread.

    Everything that it keeps lies in a folder of its own in ``folder``, named by the source's key: the
    index of the regions, the map, and the journal of edits. The caller makes sure that no other
    process reviews there. ``start`` begins the work in the background, ``stop`` ends it.
    """

    def __init__(self, source: ReviewSource, folder: Path) -> None:
        """Reads the source, if that was not done before. Raises UserError and OSError."""
        self.key = source.key
        place = folder / source.key
        self.index = build_index(source, place / "index")
        self._source = source
        self.board = Board(
            self.index.start,
            self.index.start_names,
            Journal(place / FILE),
            lambda ids, parts: kmeans(self.index, ids, parts),
        )
        self._map = RegionMap(self.index)
        self._order = ClosestFirst(self.index)
        self._pictures = Pictures(self.index, source)
        self._lock = threading.Lock()
        # Above those of an earlier process, so that an open page notices that this is another.
        self._version = time.time_ns() // 1_000_000
        self._known: tuple[int, StateAnswer] | None = None
        self._applier = Applier(self._apply, place / "applied", self.board.edits, self._changed)
        self._pusher = Pusher(source, self._changed) if isinstance(source, PushSource) else None
        self._map_problem = ""

    def start(self) -> None:
        """Begin to compute the map, and to have edits count."""
        self._applier.start()
        threading.Thread(target=self._make_map, name="review-map", daemon=True).start()

    def stop(self) -> None:
        """Have the last edits count, and end."""
        self._applier.stop()

    def apply_now(self) -> None:
        """Have the names count, without any thread. Raises what the source raises."""
        self._applier.apply_now()

    @property
    def applying(self) -> Applying:
        """How far the last edits count."""
        return self._applier.applying

    def state(self, since: int | None) -> StateAnswer | None:
        """The state; None if it still is version ``since``."""
        with self._lock:
            version = self._version
            if since == version:
                return None
            known = self._known
        if known and known[0] == version:
            return known[1]
        answer = self._state(version)
        with self._lock:
            self._known = version, answer
        return answer

    def class_regions(self, number: int, *, offset: int, limit: int) -> RegionsAnswer:
        """Some regions of a class, closest to its middle first. Raises UserError."""
        if offset < 0 or not 0 <= limit <= _MOST_REGIONS:
            raise UserError(f"expected an offset from 0, and a limit from 0 to {_MOST_REGIONS}")
        found = self._order.order(number, self.board.regions_of(number))
        part = slice(offset, offset + limit)
        return RegionsAnswer(
            len(found.ids),
            [
                RegionAnswer(
                    id=region,
                    photo=int(self.index.photo[region]),
                    name=self._pictures.photo(int(self.index.photo[region])).name,
                    score=round(float(self.index.score[region]), 4),
                    area=int(self.index.area[region]),
                    closeness=round(closeness, 4),
                )
                for region, closeness in zip(
                    found.ids[part].tolist(), found.closeness[part].tolist(), strict=True
                )
            ],
        )

    def thumbnail(self, region: int) -> bytes:
        """The cut-out of a region, JPEG. Raises UserError, and PhotoError if its photo is gone."""
        self.board.class_of(region)  # refuses what is no region
        return self._pictures.thumbnail(region)

    def photo_image(self, number: int) -> bytes:
        """A photo, JPEG. Raises UserError and PhotoError."""
        if not 0 <= number < self.index.n_photos:
            raise UserError(f"there is no photo {number}")
        return self._pictures.whole(number)

    def photo(self, region: int) -> PhotoAnswer:
        """The photo of a region, with all its regions. Raises UserError."""
        self.board.class_of(region)  # refuses what is no region
        number = int(self.index.photo[region])
        photo = self._pictures.photo(number)
        state = self.board.snapshot()
        palette = self._palette()
        regions = []
        for other, own in enumerate(photo.regions, start=photo.first):
            of = int(state.class_of[other])
            name = state.names[of]
            regions.append(
                OutlineAnswer(
                    id=other,
                    class_=of,
                    name=name or "",
                    background=name is None,
                    color=palette.color(of, name),
                    path=svg_path(decode_rle(own.rle), view=max(photo.width, photo.height)),
                    score=round(own.score, 4),
                )
            )
        return PhotoAnswer(region, number, photo.name, photo.width, photo.height, regions)

    def map_bytes(self) -> bytes | None:
        """The map: uint32 n, then for each region float32 x and y, uint32 class, float32 score, all
        little-endian; None until it is computed."""
        places = self._map.places
        if places is None:
            return None
        rows = np.zeros(
            len(self.index), dtype=[("x", "<f4"), ("y", "<f4"), ("class", "<u4"), ("score", "<f4")]
        )
        rows["x"], rows["y"] = places[:, 0], places[:, 1]
        rows["class"], rows["score"] = self.board.snapshot().class_of, self.index.score
        return np.array([len(rows)], dtype="<u4").tobytes() + rows.tobytes()

    def figures(self) -> figures.Figures:
        """Histograms of all classes."""
        return figures.figures(self.board.snapshot().class_of, self.index.score, self.index.area)

    def edit(self, asked: Edit) -> EditAnswer:
        """Make an edit; it is on the disk then. Raises UserError and OSError."""
        made = self.board.edit(asked)
        self._changed()
        self._applier.edited(self.board.edits)
        created: int | None = None
        if isinstance(made, SplitEdit | MoveEdit) and made.created is not None:
            created = made.created if isinstance(made, MoveEdit) else min(made.created)
        return EditAnswer(self._version, created)

    def push(self) -> None:
        """Begin to bring stored predictions up to date. Raises UserError."""
        if self._pusher is None:
            raise UserError("there are no stored predictions here: names count at once")
        self._pusher.start()

    def _state(self, version: int) -> StateAnswer:
        snapshot = self.board.snapshot()
        palette = self._palette()
        classes = self._classes(snapshot, palette)
        return StateAnswer(
            version=version,
            title=self._source.title,
            labels=[LabelAnswer(name, color) for name, color in palette.of_names.items()],
            classes=classes,
            progress=figures.progress({c.id: c.count for c in classes}, snapshot.names),
            undo=self.board.undo_texts(_UNDO_TEXTS),
            applying=self.applying,
            push=self._pusher.pushed if self._pusher else None,
            map=MapAnswer(self._map.places is not None),
            problems=[*self.board.problems, *([self._map_problem] if self._map_problem else [])],
        )

    def _classes(self, snapshot: Snapshot, palette: Palette) -> list[ClassAnswer]:
        counts = np.bincount(snapshot.class_of)
        scores = np.bincount(snapshot.class_of, weights=self.index.score)
        found = [
            ClassAnswer(
                id=c,
                name=name or "",
                background=name is None,
                count=int(counts[c]),
                score=round(float(scores[c] / counts[c]), 4),
                color=palette.color(c, name),
            )
            for c, name in snapshot.names.items()
        ]
        return sorted(found, key=lambda c: (-c.count, c.id))

    def _palette(self) -> Palette:
        return Palette(self._source.labels(), self.board.names_used())

    def _changed(self) -> None:
        with self._lock:
            self._version += 1

    def _make_map(self) -> None:
        try:
            self._map.compute()
        except Exception as error:
            self._map_problem = f"the map could not be made ({type(error).__name__}: {error})"
        self._changed()

    def _apply(self) -> int:
        snapshot = self.board.snapshot()
        self._source.apply(
            Decisions(
                revision=snapshot.edits,
                names=snapshot.names,
                class_of=snapshot.class_of,
                start=self.index.start,
                photos=lambda: reviewed_photos(self.index, snapshot),
            )
        )
        return snapshot.edits


def reviewed_photos(index: RegionIndex, snapshot: Snapshot) -> Iterator[ReviewedPhoto]:
    """All photos with the classes and names that a snapshot has."""
    for photo in index.photos():
        ids: NDArray[np.int32] = np.arange(
            photo.first, photo.first + len(photo.regions), dtype=np.int32
        )
        classes = snapshot.class_of[ids]
        names = [snapshot.names[c] for c in classes.tolist()]
        yield ReviewedPhoto(
            ReviewPhoto(
                photo.id,
                photo.name,
                photo.width,
                photo.height,
                photo.regions,
                index.vectors(ids),
                names,
            ),
            classes,
        )
