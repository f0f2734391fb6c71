"""Progress and log of a run: reported by the pipeline, shown by the caller."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Receives a run's progress. ``start``: a stage of ``total`` steps begins; ``advance``: one step
    is done; ``stop``: the stage is over."""

    def start(self, stage: str, total: int) -> None: ...
    def advance(self) -> None: ...
    def stop(self) -> None: ...


class Silent:
    """Ignores the progress."""

    def start(self, stage: str, total: int) -> None: ...
    def advance(self) -> None: ...
    def stop(self) -> None: ...


class Prefixed:
    """Passes progress on, with ``prefix`` and a colon before the name of each stage."""

    def __init__(self, progress: Progress, prefix: str) -> None:
        self._progress, self._prefix = progress, prefix

    def start(self, stage: str, total: int) -> None:
        """Start the stage under its longer name."""
        self._progress.start(f"{self._prefix}: {stage}", total)

    def advance(self) -> None:
        """Advance the stage."""
        self._progress.advance()

    def stop(self) -> None:
        """End the stage."""
        self._progress.stop()


class RunLog:
    """Seconds spent in each stage, the photos left out, with reasons, notes on others, and remarks on
    the whole."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.progress = progress or Silent()
        self.seconds: dict[str, float] = {}
        self.skipped: dict[str, str] = {}
        self.notes: dict[str, str] = {}
        self.remarks: list[str] = []

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[None]:
        """Time a stage. The times of a stage that is entered twice are added."""
        started = time.perf_counter()
        self.progress.start(name, total)
        try:
            yield
        finally:
            self.progress.stop()
            spent = time.perf_counter() - started
            self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def advance(self) -> None:
        """Report one step of the stage."""
        self.progress.advance()

    def advancing(self, items: Iterable[T]) -> Iterator[T]:
        """The same items; each one that was taken is a step of the stage."""
        for item in items:
            yield item
            self.advance()

    def skip(self, photo: str, reason: str) -> None:
        """Note that a photo is left out; its first reason is kept."""
        self.skipped.setdefault(photo, reason)

    def note(self, photo: str, text: str) -> None:
        """Note that a photo was used though something is wrong with its file."""
        self.notes.setdefault(photo, text)

    def remark(self, text: str) -> None:
        """Remark on the whole of the photos, such as what was chosen for them."""
        self.remarks.append(text)


def reasons(skipped: Mapping[str, str]) -> str:
    """Every reason for which photos were left out, the most frequent first, with their number and
    the name of one; reasons that differ only in numbers count as one."""
    kinds = {name: re.sub(r"[0-9]+", "0", reason) for name, reason in skipped.items()}
    example = {kind: name for name, kind in reversed(kinds.items())}
    return "; ".join(
        f"{n} {skipped[example[kind]]} ({example[kind]})"
        for kind, n in Counter(kinds.values()).most_common()
    )
