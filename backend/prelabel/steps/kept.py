"""What of learning is kept until the next time, when a few photos more are labelled."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar, cast

T = TypeVar("T")


class Kept:
    """Values by key, as they were asked for last; those that one round does not ask for are forgotten
    with the next."""

    def __init__(self) -> None:
        self._now: dict[Hashable, object] = {}
        self._before: dict[Hashable, object] = {}

    def begin(self) -> None:
        """Begin a round."""
        self._before, self._now = self._now, {}

    def get(self, key: Hashable, find: Callable[[], T]) -> T:
        """The value of a key, which ``find`` gives if it is not known."""
        if key not in self._now:
            self._now[key] = self._before[key] if key in self._before else find()
        return cast(T, self._now[key])
