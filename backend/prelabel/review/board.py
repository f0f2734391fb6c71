"""The state of a review, and one order of edits, which are kept in a journal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from prelabel.errors import UserError
from prelabel.review.classes import Classes, Ints
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
from prelabel.review.history import Done, History
from prelabel.review.journal import Journal, damaged
from prelabel.review.source import Name

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
        self._classes = Classes(start, names)
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
            self._classes.change_of(edit)  # before it is kept
            self._journal.append(edit, at=time.time())
            self._edits += 1
            self._make(edit)
            return edit

    def snapshot(self) -> Snapshot:
        """The state now."""
        with self._lock:
            return Snapshot(self._edits, self._classes.class_of.copy(), self._classes.names())

    def regions_of(self, number: int) -> Ints:
        """The regions of a class, in order. Raises UserError if there is no such class."""
        with self._lock:
            self._classes.checked([number])
            return self._classes.regions(number)

    def class_of(self, region: int) -> int:
        """The class of a region. Raises UserError if there is no such region."""
        with self._lock:
            self._classes.checked_regions([region])
            return int(self._classes.class_of[region])

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
                return msgspec.structs.replace(asked, created=self._classes.following)
            case SplitEdit():
                return msgspec.structs.replace(asked, created=self._parts(asked))
            case UndoEdit() if not self._history.texts(1):
                raise UserError("there is nothing to undo")
        return asked

    def _staying(self, classes: Sequence[int]) -> int:
        """Of classes that are merged, the largest one with a name; else of background; else of all."""
        own = self._classes
        classes = own.checked(classes)
        if len(classes) < 2:
            raise UserError("one class alone cannot be merged: expected two or more")
        kind = {c: 2 if own.name(c) else int(own.name(c) is None) for c in classes}
        return max(classes, key=lambda c: (kind[c], own.count(c), -c))

    def _parts(self, asked: SplitEdit) -> dict[int, list[int]]:
        """What leaves a class, by the id of the class that it becomes."""
        [number] = self._classes.checked([asked.class_])
        own = self._classes.regions(number)
        if (asked.parts is None) == (asked.regions is None):
            raise UserError("cannot split: expected either `parts` or `regions`")
        if asked.regions is not None:
            chosen = self._classes.checked_regions(asked.regions)
            leaving = [chosen[self._classes.class_of[chosen] == number]]
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
        return {self._classes.following + i: ids.tolist() for i, ids in enumerate(leaving)}

    def _make(self, edit: Edit) -> None:
        """Change the state; nothing is changed where that raises UserError."""
        if isinstance(edit, UndoEdit):
            done = self._history.pop()
            if done is None:
                raise UserError("there is nothing to undo")
            self._classes.make(done.before)
            return
        change = self._classes.change_of(edit)
        done = Done(described(edit, self._shown(edit)), self._classes.reverse_of(change))
        self._classes.make(change)
        self._history.add(done)
        if isinstance(edit, NameEdit):
            self._used.setdefault(edit.name)

    def _shown(self, edit: Edit) -> list[str]:
        """How the classes that an edit is about are called."""
        match edit:
            case NameEdit() | BackgroundEdit() | MergeEdit():
                numbers = list(dict.fromkeys(edit.classes))
            case SplitEdit(class_=number) | MoveEdit(class_=int(number)):
                numbers = [number]
            case _:
                numbers = []
        return [shown_name(number, self._classes.name(number)) for number in numbers]


def shown_name(number: int, name: Name) -> str:
    """A class for people."""
    return "background" if name is None else name or f"class {number + 1}"
