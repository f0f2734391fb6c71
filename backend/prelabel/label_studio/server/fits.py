"""Fits in the background: a process each, one after the other, with progress and cancel."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from prelabel.data.images import be_frugal
from prelabel.errors import UserError
from prelabel.label_studio.fit import FitRequest, fit_project
from prelabel.label_studio.server.child_process import Child, exit_with_parent
from prelabel.storage.progress import RunLog

CANCELLED = "cancelled"
_STOPPED = "the backend was stopped"
_KILLED = "its process was killed; what it had computed is kept"
_REPORT_EVERY = 0.3
"""Seconds between two reports of progress, at least."""


@dataclass
class Fit:
    """A fit that was requested. ``ended``: set when it is over; ``problem``: why it has failed, ""
    if it has not. ``outcome``: the problem that its process has reported at its end."""

    request: FitRequest
    stage: str = "waiting"
    done: int = 0
    total: int = 0
    problem: str = ""
    outcome: str | None = None
    ended: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Stage:
    """A stage of ``total`` steps has begun."""

    name: str
    total: int


@dataclass(frozen=True)
class Step:
    """``done`` steps of the stage are done."""

    done: int


@dataclass(frozen=True)
class Outcome:
    """The fit is over. ``problem``: "" if it has not failed."""

    problem: str


Message = Stage | Step | Outcome


class Fits:
    """Runs fits, one at a time: each has the machine to itself, and no project has two.

    ``on_end``: called in a thread with every fit that has ended.
    """

    def __init__(self, on_end: Callable[[Fit], None]) -> None:
        self._on_end = on_end
        self._lock = threading.Lock()
        self._waiting: deque[Fit] = deque()
        self._running: tuple[Fit, Child[FitRequest, Message]] | None = None
        self._stopping = False

    def request(self, request: FitRequest) -> Fit:
        """A project's fit: the one that is under way or waiting, else a new one."""
        with self._lock:
            fit = self._find(request.folder)
            if fit is not None:
                return fit
            fit = Fit(request)
            if self._stopping:
                fit.problem = _STOPPED
                fit.ended.set()
                return fit
            self._waiting.append(fit)
            self._start_next()
            return fit

    def of(self, folder: Path) -> Fit | None:
        """The fit of the project in a folder that is under way or waiting."""
        with self._lock:
            return self._find(folder)

    def cancel(self, folder: Path) -> bool:
        """End a project's fit; whether there was one. What was computed is kept."""
        with self._lock:
            fit = self._find(folder)
            if fit is None:
                return False
            if fit in self._waiting:
                self._waiting.remove(fit)
                self._end(fit, CANCELLED)
                return True
            assert self._running is not None
            child = self._running[1]
            fit.problem = CANCELLED
        child.stop()
        return True

    def revive(self) -> bool:
        """End a process that cannot be talked to; whether there was one. To be called regularly."""
        with self._lock:
            running = self._running
        if running is None or not running[1].broken:
            return False
        running[1].stop()
        return True

    def stop(self) -> None:
        """End all of them; the next start of the backend requests them again."""
        with self._lock:
            self._stopping = True
            running = self._running
            for fit in self._all():
                fit.problem = _STOPPED
                fit.ended.set()
            self._waiting.clear()
        if running:
            running[1].stop()

    def _all(self) -> list[Fit]:
        return [*([self._running[0]] if self._running else []), *self._waiting]

    def _find(self, folder: Path) -> Fit | None:
        return next((fit for fit in self._all() if fit.request.folder == folder), None)

    def _start_next(self) -> None:
        if self._running is not None or not self._waiting or self._stopping:
            return
        fit = self._waiting.popleft()
        try:
            child = Child(
                run,
                fit.request,
                name="fit",
                on_message=partial(_follow, fit),
                on_exit=partial(self._on_exit, fit),
            )
        except OSError as error:
            self._end(fit, f"its process cannot be started: {error}")
        else:
            self._running = fit, child

    def _on_exit(self, fit: Fit) -> None:
        with self._lock:
            # What the backend itself has set, as by a cancel, comes first.
            problem = fit.problem or (_KILLED if fit.outcome is None else fit.outcome)
            self._running = None
            if not self._stopping:
                self._end(fit, problem)
            self._start_next()

    def _end(self, fit: Fit, problem: str) -> None:
        fit.problem, fit.stage = problem, "over"
        fit.ended.set()
        threading.Thread(target=self._on_end, args=(fit,), daemon=True).start()


def _follow(fit: Fit, message: Message) -> None:
    """Take over what a fit's process reports."""
    match message:
        case Stage(name, total):
            fit.stage, fit.total, fit.done = name, total, 0
        case Step(done):
            fit.done = done
        case Outcome(problem):
            fit.outcome = problem


def run(pipe: Connection, request: FitRequest) -> None:
    """In the fit's own process: fit, and report progress and outcome."""
    exit_with_parent(pipe)
    be_frugal()

    try:
        fit_project(request, RunLog(_PipeProgress(pipe)))
    except UserError as error:
        pipe.send(Outcome(str(error)))
    except OSError as error:
        advice = "see whether there is room on the disk, then fit again: what was computed is kept"
        pipe.send(Outcome(f"{error}: {advice}"))
    except Exception as error:  # for people, who cannot see this process
        pipe.send(Outcome(f"{type(error).__name__}: {error}"))
        raise
    else:
        pipe.send(Outcome(""))


class _PipeProgress:
    """Progress through a pipe, a few times a second at most."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._done = 0
        self._reported_at = 0.0

    def start(self, stage: str, total: int) -> None:
        self._done, self._reported_at = 0, 0.0
        self._pipe.send(Stage(stage, total))

    def advance(self) -> None:
        self._done += 1
        if time.monotonic() - self._reported_at > _REPORT_EVERY:
            self._reported_at = time.monotonic()
            self._pipe.send(Step(self._done))

    def stop(self) -> None:
        self._pipe.send(Step(self._done))
