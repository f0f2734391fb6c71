"""The state of a review: the class of each region, the name of each class, and one order of edits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from prelabel.errors import UserError
from prelabel.review.edits import (
    MOST_PARTS,
    BackgroundEdit,
    Edit,
    MergeEdit,
    MoveEdit,
    NameEdit,
    SplitEdit,
    UndoEdit,
    described,
)
from prelabel.review.history import Change, Done, History
from prelabel.review.journal import Journal, damaged
from prelabel.review.source import Name

Ints = NDArray[np.int32]
_MOST_NEW = 1_000_000
"""Numbers of new classes that may be left out, as lines of the journal may be damaged."""
Splitter = Callable[[Ints, int], NDArray[np.int64]]
"""Regions and a number of parts to the part of each region, int64 (n,)."""


@dataclass(frozen=True)
class Snapshot:
    """The state at one moment; its arrays are copies.

    ``edits``: how many lines the journal had. ``names``: of classes that have regions, by id.
    """

    edits: int
    class_of: Ints
    names: Mapping[int, Name]


class Board:
    """Takes edits one after the other, from any thread: the last writer wins. An edit that was taken is
    in the journal, from which the board makes itself again."""

    def __init__(
        self, start: Ints, names: Mapping[int, Name], journal: Journal, split: Splitter
    ) -> None:
        """``start``: int32 (n,), the class of each region before all edits; ``names``: of each
        class. Lines of the journal that cannot be used are named in ``problems``."""
        self.problems: list[str] = []
        self._start_names = dict(names)
        self._names: dict[int, Name] = dict(names)
        self._class_of = start.copy()
        self._following = int(start.max(initial=-1)) + 1
        self._counts = np.bincount(start, minlength=self._following)
        self._used: dict[str, None] = dict.fromkeys(n for n in names.values() if n)
        self._history = History(len(start))
        self._journal = journal
        self._split = split
        self._lock = threading.RLock()
        self._edits = 0
        for number, edit in journal.read(self.problems):
            self._edits = number
            try:
                self._make(edit)
            except UserError as error:
                self.problems.append(damaged(journal.file, number, str(error)))

    @property
    def edits(self) -> int:
        """Lines of the journal."""
        return self._edits

    def edit(self, asked: Edit) -> Edit:
        """Make an edit; returns it with what the board has decided. Raises UserError for one that
        cannot be made, and OSError if it cannot be kept; nothing has changed then."""
        with self._lock:
            edit = self._completed(asked)
            self._changed(edit)  # before it is kept
            self._journal.append(edit, at=time.time())
            self._edits += 1
            self._make(edit)
            return edit

    def snapshot(self) -> Snapshot:
        """The state now."""
        with self._lock:
            names = {int(c): self._names.get(int(c), "") for c in np.flatnonzero(self._counts)}
            return Snapshot(self._edits, self._class_of.copy(), names)

    def regions_of(self, number: int) -> Ints:
        """The regions of a class, in order. Raises UserError if there is no such class."""
        with self._lock:
            self._check_classes([number])
            return np.flatnonzero(self._class_of == number).astype(np.int32)

    def class_of(self, region: int) -> int:
        """The class of a region. Raises UserError if there is no such region."""
        with self._lock:
            self._check_regions([region])
            return int(self._class_of[region])

    def undo_texts(self, most: int) -> list[str]:
        """What can be taken back, last one last."""
        with self._lock:
            return self._history.texts(most)

    def names_used(self) -> list[str]:
        """All names that were ever given, in the order of their first use."""
        with self._lock:
            return list(self._used)

    def _completed(self, asked: Edit) -> Edit:
        """The edit with what the board decides: new ids, which class stays, parts."""
        match asked:
            case MergeEdit(classes=classes):
                return msgspec.structs.replace(asked, into=self._staying(classes))
            case MoveEdit(class_=None):
                return msgspec.structs.replace(asked, created=self._following)
            case SplitEdit():
                return msgspec.structs.replace(asked, created=self._parts(asked))
        return asked

    def _staying(self, classes: Sequence[int]) -> int:
        """Of classes that are merged, the largest one with a name; else of background; else of all."""
        classes = self._check_classes(classes)
        if len(classes) < 2:
            raise UserError("one class alone cannot be merged: expected two or more")
        kind = {
            c: 2 if self._names.get(c, "") else int(self._names.get(c, "") is None) for c in classes
        }
        return max(classes, key=lambda c: (kind[c], int(self._counts[c]), -c))

    def _parts(self, asked: SplitEdit) -> dict[int, list[int]]:
        """What leaves a class, by the id of the class that it becomes."""
        [number] = self._check_classes([asked.class_])
        own = np.flatnonzero(self._class_of == number).astype(np.int32)
        if (asked.parts is None) == (asked.regions is None):
            raise UserError("cannot split: expected either `parts` or `regions`")
        if asked.regions is not None:
            chosen = self._check_regions(asked.regions)
            leaving = [chosen[self._class_of[chosen] == number]]
        else:
            parts = asked.parts or 0
            if not 2 <= parts <= MOST_PARTS:
                raise UserError(f"cannot split into {parts} parts: expected 2 to {MOST_PARTS}")
            found = self._split(own, parts)
            sizes = np.bincount(found)
            rest = np.argsort(-sizes, kind="stable")[1:]
            leaving = [own[found == part] for part in rest if sizes[part]]
        if not leaving or not len(leaving[0]):
            raise UserError("cannot split: its regions are all alike, or none of those is in it")
        if sum(map(len, leaving)) == len(own):
            raise UserError("cannot split: those are all of its regions")
        return {self._following + i: ids.tolist() for i, ids in enumerate(leaving)}

    def _make(self, edit: Edit) -> None:
        """Change the state; nothing is changed where that raises UserError."""
        if isinstance(edit, UndoEdit):
            done = self._history.pop()
            if done is None:
                raise UserError("there is nothing to undo")
            self._set(done.before)
            return
        change = self._changed(edit)
        text = described(edit, self._shown(edit))
        before = Change(
            {c: self._names.get(c, "") for c in change.names},
            change.ids,
            self._class_of[change.ids],
        )
        self._set(change)
        self._history.add(Done(text, before))
        if isinstance(edit, NameEdit):
            self._used.setdefault(edit.name)

    def _changed(self, edit: Edit) -> Change:
        """What a complete edit changes. Raises UserError if that is not possible."""
        match edit:
            case NameEdit(classes=classes, name=name):
                return Change(dict.fromkeys(self._check_classes(classes), name))
            case BackgroundEdit(classes=classes):
                return Change(dict.fromkeys(self._check_classes(classes)))
            case MergeEdit(classes=classes, into=into):
                others = [c for c in self._check_classes(classes) if c != into]
                if into is None or into not in classes:
                    raise UserError("cannot merge into a class that is none of them")
                ids = np.flatnonzero(np.isin(self._class_of, others)).astype(np.int32)
                return Change({}, ids, np.full(len(ids), into, dtype=np.int32))
            case SplitEdit(class_=number, created=created):
                self._check_classes([number])
                return self._created(created or {})
            case MoveEdit(regions=regions, class_=None, created=created):
                return self._created({-1 if created is None else created: regions})
            case MoveEdit(regions=regions, class_=int(number)):
                [number] = self._check_classes([number])
                ids = self._check_regions(regions)
                ids = ids[self._class_of[ids] != number]
                return Change({}, ids, np.full(len(ids), number, dtype=np.int32))
        if not self._history.texts(1):
            raise UserError("there is nothing to undo")
        return Change()

    def _created(self, created: Mapping[int, Sequence[int]]) -> Change:
        """New classes of regions; each must have a number of its own."""
        highest = self._following + _MOST_NEW
        if not created or not all(0 <= number < highest for number in created):
            raise UserError("a new class has no number, or one that is far too high")
        if any(number < len(self._counts) and self._counts[number] for number in created):
            raise UserError(f"a class {next(iter(created))} is there already")
        ids = [self._check_regions(regions) for regions in created.values()]
        classes = [
            np.full(len(own), c, dtype=np.int32) for c, own in zip(created, ids, strict=True)
        ]
        return Change(dict.fromkeys(created, ""), np.concatenate(ids), np.concatenate(classes))

    def _set(self, change: Change) -> None:
        self._names.update(change.names)
        if not len(change.ids):
            return
        self._class_of[change.ids] = change.classes
        self._following = max(self._following, int(change.classes.max()) + 1)
        self._counts = np.bincount(self._class_of, minlength=self._following)

    def _shown(self, edit: Edit) -> list[str]:
        """How the classes that an edit is about are called."""
        match edit:
            case (
                NameEdit(classes=classes)
                | BackgroundEdit(classes=classes)
                | MergeEdit(classes=classes)
            ):
                numbers = list(dict.fromkeys(classes))
            case SplitEdit(class_=number) | MoveEdit(class_=int(number)):
                numbers = [number]
            case _:
                numbers = []
        return [shown_name(c, self._names.get(c, "")) for c in numbers]

    def _check_classes(self, classes: Iterable[int]) -> list[int]:
        """The classes, each once."""
        found = list(dict.fromkeys(classes))
        for number in found:
            if not 0 <= number < len(self._counts) or not self._counts[number]:
                raise UserError(
                    f"there is no class {number}: it was merged or emptied meanwhile, or never was; "
                    "look at the page again"
                )
        return found

    def _check_regions(self, regions: Sequence[int]) -> Ints:
        """The regions, each once, in order."""
        for number in (min(regions), max(regions)):
            if not 0 <= number < len(self._class_of):
                n = len(self._class_of)
                raise UserError(f"there is no region {number}: expected one from 0 to {n - 1}")
        return np.unique(np.array(regions, dtype=np.int32))


def shown_name(number: int, name: Name) -> str:
    """A class for people."""
    return "background" if name is None else name or f"class {number + 1}"
