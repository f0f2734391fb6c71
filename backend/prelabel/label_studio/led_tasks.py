"""Which tasks of a project come first, and what has to be put back when they no longer shall."""

from __future__ import annotations

from pathlib import Path

import msgspec

from prelabel.storage.state_file import read_record, write_record

LED = 200
"""Tasks that get a place, at most: each is a request to the server."""
_FILE = "leading.json"


class Leading(msgspec.Struct, frozen=True):
    """What was changed in a project so that some tasks come first.

    Attributes:
        tasks: those with a place, the first one first.
        tab: number of the data manager's tab.
        sampling: the project's task sampling before; None while it was not changed.
    """

    tasks: tuple[int, ...] = ()
    tab: int | None = None
    sampling: str | None = None

    @property
    def scores(self) -> dict[int, float]:
        """By task the score of its prediction: -1 for the first, rising towards 0, below all others."""
        return {task: place / LED - 1 for place, task in enumerate(self.tasks[:LED])}


def read_leading(folder: Path) -> Leading:
    """What was changed in the project of this folder. Raises UserError for a damaged file."""
    remedy = "remove it, and put the project's task sampling and tabs back in Label Studio"
    return read_record(folder / _FILE, Leading, remedy=remedy)


def write_leading(folder: Path, leading: Leading) -> None:
    """Keep it; without anything to put back, the file goes. Raises OSError."""
    write_record(folder / _FILE, leading)
