"""A run in the terminal: its progress, and the summary at its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from prelabel.storage.progress import Progress
from prelabel.storage.text import one_line

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import Task, TaskID

    from prelabel.runs.facts import PhotoFacts, RunFacts, Skipped
    from prelabel.runs.run import Summary
    from prelabel.storage.remote import Place

EVERY = 10.0
"""Seconds between two lines of a stage, where there is no terminal."""
_SHOWN = 5
"""Skipped photos, and groups of near-identical ones, that the summary names; run.json and the report
name all."""


def progress() -> Progress:
    """Bars if standard error is a terminal, else plain lines."""
    return Bars() if sys.stderr.isatty() else Lines()


class Bars:
    """A bar for each stage, with rate and time left; a spinner for a stage of one step."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def start(self, stage: str, total: int) -> None:
        """Show a new bar."""
        self._bar = _bar(spinner=total == 1)
        self._task = self._bar.add_task(stage, total=total)
        self._bar.start()

    def advance(self) -> None:
        """Advance the bar."""
        if self._bar and self._task is not None:
            self._bar.advance(self._task)

    def stop(self) -> None:
        """Leave the bar as it is."""
        if self._bar:
            self._bar.stop()
        self._bar = self._task = None


class Lines:
    """A line every ``EVERY`` seconds and one at the end of a stage, on standard error."""

    def __init__(self) -> None:
        self._stage, self._total, self._done = "", 0, 0
        self._started = self._printed = 0.0

    def start(self, stage: str, total: int) -> None:
        """Note the time; nothing is printed yet."""
        self._stage, self._total, self._done = stage, total, 0
        self._started = self._printed = time.monotonic()

    def advance(self) -> None:
        """Print a line if the last one is ``EVERY`` seconds ago."""
        self._done += 1
        now = time.monotonic()
        if now - self._printed >= EVERY and self._done < self._total:
            self._printed = now
            spent = now - self._started
            left = spent / self._done * (self._total - self._done)
            self._print(f"{_rate(self._done / spent)}, {_duration(left)} left")

    def stop(self) -> None:
        """Print how long the stage took."""
        spent = time.monotonic() - self._started
        rate = f", {_rate(self._done / spent)}" if spent > 0 and self._total > 1 else ""
        self._print(f"{_duration(spent)}{rate}")

    def _print(self, text: str) -> None:
        done = f"{self._done} of {self._total}, " if self._total != 1 else ""
        print(f"{self._stage}: {done}{text}", file=sys.stderr, flush=True)


@contextmanager
def stage(progress: Progress, name: str) -> Iterator[None]:
    """A stage of one step, before or after the pipeline."""
    progress.start(name, 1)
    try:
        yield
        progress.advance()
    finally:
        progress.stop()


def summarise(summary: Summary, shown: Mapping[Path, Place] | None = None) -> None:
    """Print what was done, then its warnings (to standard error)."""
    text = "\n".join(summary_lines(summary))
    for folder, place in (shown or {}).items():
        text = text.replace(str(folder), str(place))
    print(text)
    for warning in summary.facts.warnings:
        say(f"warning: {warning}")


def end(summary: Summary, *, strict: bool, shown: Mapping[Path, Place] | None = None) -> None:
    """Print what was done. With ``strict``, exit with 1 if photos were skipped. ``shown``: where
    folders of this machine have been taken to."""
    summarise(summary, shown)
    if strict and summary.facts.photos.skipped:
        raise typer.Exit(1)


def summary_lines(summary: Summary) -> list[str]:
    """The summary of a run, a fit or a predict."""
    facts = summary.facts
    lines = [f"photos     {_photos(facts.photos)}", *_skipped(facts.photos.skipped)]
    if facts.regions is not None:
        lines.append(f"regions    {facts.regions}")
    used = f" ({facts.classes_used} used)" if facts.classes_used is not None else ""
    lines.append(f"classes    {facts.classes}{used}")
    if facts.region_groups:
        lines.append(f"groups     {facts.region_groups.line(facts.classes_used or 0)}")
    lines += _near_identical(facts)
    if facts.recipe:
        lines.append(f"recipe     {facts.recipe.line}")
    if facts.taught:
        lines.append(f"labels     {facts.taught.line}")
    lines.append(f"weights    {one_line(facts.weights['name'])}")
    lines.append(f"seconds    {_seconds(facts.seconds)}")
    if facts.photos_per_second is not None:
        lines.append(f"speed      {facts.photos_per_second:g} photos per second")
    lines.append(f"memory     {facts.peak_memory_mb:.0f} MB at most")
    width = max(10, *(len(name) for name in summary.files))
    lines += [f"{name:<{width}} {one_line(path)}" for name, path in summary.files.items()]
    return lines


def say(text: str) -> None:
    """One line on standard error."""
    print(f"prelabel: {one_line(text)}", file=sys.stderr, flush=True)


def _photos(photos: PhotoFacts) -> str:
    if photos.predicted is None or photos.empty is None:
        return f"{photos.fitted} of {photos.found} fitted"
    cached = f" ({photos.from_cache} from the cache)" if photos.from_cache else ""
    return (
        f"{photos.predicted} of {photos.found} processed{cached}: "
        f"{photos.predicted - photos.empty} with regions, {photos.empty} without"
    )


def _skipped(skipped: Sequence[Skipped]) -> list[str]:
    if not skipped:
        return []
    lines = [f"skipped    {len(skipped)}"]
    lines += [f"  {one_line(one.photo)}: {one_line(one.reason)}" for one in skipped[:_SHOWN]]
    if len(skipped) > _SHOWN:
        lines.append(f"  and {len(skipped) - _SHOWN} more, all named in run.json")
    return lines


def _near_identical(facts: RunFacts) -> list[str]:
    groups = facts.near_identical
    if not groups:
        return []
    lines = [f"alike      {facts.near_identical_line}"]
    for names in groups[:_SHOWN]:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        lines.append(f"  {', '.join(map(one_line, names[:_SHOWN]))}{more}")
    if len(groups) > _SHOWN:
        lines.append(f"  and {len(groups) - _SHOWN} more groups, all named in run.json")
    return lines


def _seconds(seconds: Mapping[str, float]) -> str:
    stages = ", ".join(f"{name} {s:.1f}" for name, s in seconds.items() if name != "total")
    return f"{seconds['total']:.1f}: {stages}"


def _rate(per_second: float) -> str:
    return f"{per_second:.0f} a second" if per_second >= 100 else f"{per_second:.3g} a second"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _bar(*, spinner: bool) -> RichProgress:
    from rich import progress as rich_progress
    from rich.console import Console
    from rich.text import Text

    class Rate(rich_progress.ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(_rate(speed) if speed else "")

    name = rich_progress.TextColumn("{task.description:<12}")
    console = Console(stderr=True)
    if spinner:
        columns: tuple[rich_progress.ProgressColumn, ...] = (
            name,
            rich_progress.SpinnerColumn(finished_text="✓"),
            rich_progress.TimeElapsedColumn(),
        )
    else:
        columns = (
            name,
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            Rate(),
            rich_progress.TimeRemainingColumn(elapsed_when_finished=True),
        )
    # Four times a second: drawing costs time that the photos need.
    return rich_progress.Progress(*columns, console=console, refresh_per_second=4)
