"""edits.jsonl: every edit of a review, one a line, only ever added to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from prelabel.review.edits import Edit
from prelabel.storage.files import named_errors

FILE = "edits.jsonl"


class Line(msgspec.Struct):
    """An edit, and when it was made, in seconds since 1970."""

    at: float
    edit: Edit


class Journal:
    """The file of a review's edits. An edit is on the disk when ``append`` returns; what a killed
    process has left of a line is not read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self, problems: list[str]) -> Iterator[tuple[int, Edit]]:
        """The edits with their lines' numbers, from 1. A line that is damaged is left out, and named
        in ``problems``; a last one that was never finished is left out silently."""
        if not self.file.exists():
            return
        with self.file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    yield number, msgspec.json.decode(line, type=Line).edit
                except (msgspec.DecodeError, ValueError, RecursionError) as error:
                    if line.endswith(b"\n"):
                        problems.append(damaged(self.file, number, str(error)))

    def append(self, edit: Edit, *, at: float) -> None:
        """Add an edit. Raises OSError, after which the file holds no edit more than before."""
        line = msgspec.json.encode(Line(at, edit)) + b"\n"
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with named_errors(self.file), self.file.open("ab+") as out:
            size = out.seek(0, os.SEEK_END)
            if size:
                out.seek(size - 1)
                if out.read(1) != b"\n":  # of a process that was killed
                    line = b"\n" + line
            try:
                out.write(line)
                out.flush()
                os.fsync(out.fileno())
            except OSError:
                out.truncate(size)
                raise


def damaged(file: Path, number: int, reason: str) -> str:
    """One line for people about a line that cannot be used."""
    return f"{file}, line {number}: not an edit ({reason}); left out, the others count"
