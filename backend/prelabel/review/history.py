"""What an edit changes, and how it is taken back."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prelabel.review.source import Name

_MOST = 1000
"""Edits that can be taken back."""
_MOST_MOVES = 8
"""Regions that they have moved, all of them together, by the number of all regions: 8 bytes each."""


@dataclass(frozen=True)
class Change:
    """``names``: of classes, by id, from now on. ``ids``, ``classes``: int32 (n,), regions and the
    class that each is of from now on."""

    names: dict[int, Name] = field(default_factory=dict)
    ids: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    classes: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))


@dataclass(frozen=True)
class Done:
    """An edit that was made. ``text``: for people. ``before``: takes it back."""

    text: str
    before: Change


class History:
    """The edits that can be taken back, last one last; memory is bounded by the number of regions."""

    def __init__(self, n_regions: int) -> None:
        self._done: deque[Done] = deque()
        self._moves = 0
        self._most_moves = _MOST_MOVES * n_regions + 1000

    def add(self, done: Done) -> None:
        """Remember an edit; the oldest are forgotten where there are too many."""
        self._done.append(done)
        self._moves += len(done.before.ids)
        while len(self._done) > 1 and (len(self._done) > _MOST or self._moves > self._most_moves):
            self._moves -= len(self._done.popleft().before.ids)

    def pop(self) -> Done | None:
        """The last edit, which is forgotten; None if there is none."""
        if not self._done:
            return None
        done = self._done.pop()
        self._moves -= len(done.before.ids)
        return done

    def texts(self, most: int) -> list[str]:
        """The last edits for people, last one last."""
        return [done.text for done in list(self._done)[-most:]]
