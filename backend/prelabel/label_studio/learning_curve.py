"""How much the annotations of a project have helped, revision by revision."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from prelabel.steps.taught import Facts
from prelabel.storage.files import replacing

_MOST = 500
"""Revisions that are kept."""


class LearningPoint(msgspec.Struct, frozen=True):
    """What a revision has taught. ``before``, ``after``: mean foreground IoU, in [0, 1], on annotated
    photos that were left out, of masks without and with what the others teach; None as long as no
    photo could be left out. ``weight``: how far the learner is believed, in [0, 1]."""

    revision: int
    photos: int
    classes: list[str]
    weight: float
    before: float | None = None
    after: float | None = None

    def text(self) -> str:
        """The point in one line."""
        photos = f"{self.photos} photo{'' if self.photos == 1 else 's'}"
        classes = ", ".join(self.classes) if self.classes else "background alone"
        start = f"{photos} ({classes})"
        if self.before is None or self.after is None:
            return f"{start}; not measured yet, as no photo can be left out"
        gain = f"foreground IoU {self.before:.2f} without, {self.after:.2f} with what was learned"
        return f"{start}; on annotated photos left out, {gain}"


class LearningCurve:
    """The points of a project, in one file of its folder. Several processes may use it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "learning.jsonl"

    def points(self) -> list[LearningPoint]:
        """In order of revisions; none if the file is not there or damaged."""
        with suppress(OSError, msgspec.DecodeError):
            lines = self._file.read_bytes().splitlines()
            return [msgspec.json.decode(line, type=LearningPoint) for line in lines]
        return []

    def add(self, revision: int, facts: Facts) -> None:
        """Add the point of a revision, or replace it. Raises OSError."""
        scores = facts.scores
        point = LearningPoint(
            revision=revision,
            photos=facts.photos,
            classes=list(facts.classes),
            weight=facts.weight,
            before=scores.get("0"),
            after=scores.get(f"{facts.weight:g}"),
        )
        known = {other.revision: other for other in self.points()} | {revision: point}
        kept = [known[number] for number in sorted(known)][-_MOST:]
        with replacing(self._file) as beside:
            beside.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in kept))
