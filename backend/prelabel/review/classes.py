"""The class of each region and the name of each class, and how edits change them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prelabel.errors import UserError
from prelabel.review.edits import BackgroundEdit, Edit, MergeEdit, MoveEdit, NameEdit, SplitEdit
from prelabel.review.history import Change
from prelabel.review.source import Name

Ints = NDArray[np.int32]
_MOST_NEW = 1_000_000
"""Numbers of new classes that may be left out, as lines of the journal may be damaged."""


class Classes:
    """Regions, numbered from 0, and their classes. A class without regions is none.

    ``class_of``: int32 (n,). ``following``: above the numbers of all classes that ever were.
    """

    def __init__(self, start: Ints, names: Mapping[int, Name]) -> None:
        self.class_of = start.copy()
        self.following = int(start.max(initial=-1)) + 1
        self._names: dict[int, Name] = dict(names)
        self._counts = np.bincount(start, minlength=self.following)

    def names(self) -> dict[int, Name]:
        """The names of all classes, by number."""
        return {int(c): self.name(int(c)) for c in np.flatnonzero(self._counts)}

    def name(self, number: int) -> Name:
        """The name of a class."""
        return self._names.get(number, "")

    def count(self, number: int) -> int:
        """How many regions a class has."""
        return int(self._counts[number])

    def regions(self, number: int) -> Ints:
        """The regions of a class, in order."""
        return np.flatnonzero(self.class_of == number).astype(np.int32)

    def change_of(self, edit: Edit) -> Change:
        """What a complete edit changes. Raises UserError if that is not possible."""
        match edit:
            case NameEdit(classes=classes, name=name):
                return Change(dict.fromkeys(self.checked(classes), name))
            case BackgroundEdit(classes=classes):
                return Change(dict.fromkeys(self.checked(classes)))
            case MergeEdit(classes=classes, into=into):
                others = [c for c in self.checked(classes) if c != into]
                if into is None or into not in classes:
                    raise UserError("cannot merge into a class that is none of them")
                ids = np.flatnonzero(np.isin(self.class_of, others)).astype(np.int32)
                return Change({}, ids, np.full(len(ids), into, dtype=np.int32))
            case SplitEdit(class_=number, created=created):
                self.checked([number])
                return self._created(created or {})
            case MoveEdit(regions=regions, class_=None, created=created):
                return self._created({-1 if created is None else created: regions})
            case MoveEdit(regions=regions, class_=int(number)):
                [number] = self.checked([number])
                ids = self.checked_regions(regions)
                ids = ids[self.class_of[ids] != number]
                return Change({}, ids, np.full(len(ids), number, dtype=np.int32))
        return Change()

    def reverse_of(self, change: Change) -> Change:
        """What takes a change back that was not made yet."""
        names = {c: self.name(c) for c in change.names}
        return Change(names, change.ids, self.class_of[change.ids])

    def make(self, change: Change) -> None:
        """Change them."""
        self._names.update(change.names)
        if not len(change.ids):
            return
        self.class_of[change.ids] = change.classes
        self.following = max(self.following, int(change.classes.max()) + 1)
        self._counts = np.bincount(self.class_of, minlength=self.following)

    def checked(self, classes: Iterable[int]) -> list[int]:
        """The classes, each once. Raises UserError for what is no class."""
        found = list(dict.fromkeys(classes))
        for number in found:
            if not 0 <= number < len(self._counts) or not self._counts[number]:
                raise UserError(
                    f"there is no class {number}: it was merged or emptied meanwhile, or never was; "
                    "look at the page again"
                )
        return found

    def checked_regions(self, regions: Sequence[int]) -> Ints:
        """The regions, each once, in order. Raises UserError for what is no region."""
        for number in (min(regions), max(regions)):
            if not 0 <= number < len(self.class_of):
                n = len(self.class_of)
                raise UserError(f"there is no region {number}: expected one from 0 to {n - 1}")
        return np.unique(np.array(regions, dtype=np.int32))

    def _created(self, created: Mapping[int, Sequence[int]]) -> Change:
        """New classes of regions; each must have a number of its own."""
        highest = self.following + _MOST_NEW
        if not created or not all(0 <= number < highest for number in created):
            raise UserError("a new class has no number, or one that is far too high")
        if any(number < len(self._counts) and self._counts[number] for number in created):
            raise UserError(f"a class {next(iter(created))} is there already")
        ids = [self.checked_regions(regions) for regions in created.values()]
        classes = [
            np.full(len(own), number, dtype=np.int32)
            for number, own in zip(created, ids, strict=True)
        ]
        return Change(dict.fromkeys(created, ""), np.concatenate(ids), np.concatenate(classes))
