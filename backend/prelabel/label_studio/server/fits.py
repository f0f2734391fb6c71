"""Fits in the background: a process each, one after the other, with progress and cancel."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from prelabel.config import Config
from prelabel.errors import UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Sources, open_fetcher
from prelabel.label_studio.api.tasks import read_task, read_tasks
from prelabel.label_studio.fit import fit_tasks, project_config
from prelabel.label_studio.format import label_config
from prelabel.label_studio.learn import learn_tasks
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.server.child_process import Child, die_with
from prelabel.model import FittedModel
from prelabel.steps.photos import draw_sample
from prelabel.storage.progress import RunLog

_STOPPED = "the backend was stopped"


@dataclass(frozen=True)
class FitRequest:
    """``tasks``: as the server sent them, or None for all of the project's. ``newest``: the model
    that was the newest when the fit was asked for; if another is by then, that is the answer.
    ``most``: a seeded sample of at most so many tasks, which somebody waits for; 0 for all."""

    home: Path
    server: str
    token: str
    project_id: int
    label_config: str
    config: Config
    sources: Sources
    shape: ResultOptions
    newest: str
    tasks: tuple[Mapping[str, Any], ...] | None = None
    most: int = 0


@dataclass
class Fit:
    """A fit that was asked for. ``ended``: set when it is over; ``problem``: why it came to
    nothing, "" if it did not."""

    request: FitRequest
    stage: str = "waiting"
    done: int = 0
    total: int = 0
    problem: str = ""
    ended: threading.Event = field(default_factory=threading.Event)


class Fits:
    """Runs fits, one at a time: each has the machine, and no project two.

    ``over``: called in a thread with every fit that has ended.
    """

    def __init__(self, over: Callable[[Fit], None]) -> None:
        self._over = over
        self._lock = threading.Lock()
        self._waiting: deque[Fit] = deque()
        self._running: tuple[Fit, Child] | None = None
        self._stopping = False

    def ask(self, request: FitRequest) -> Fit:
        """A project's fit: the one that is under way or waiting, else a new one."""
        with self._lock:
            for fit in self._all():
                if fit.request.home == request.home:
                    return fit
            fit = Fit(request)
            if self._stopping:
                fit.problem = _STOPPED
                fit.ended.set()
                return fit
            self._waiting.append(fit)
            self._start_next()
            return fit

    def of(self, home: Path) -> Fit | None:
        """The project's fit that is under way or waiting."""
        with self._lock:
            return next((fit for fit in self._all() if fit.request.home == home), None)

    def cancel(self, home: Path) -> bool:
        """End a project's fit; whether there was one. What was computed is kept."""
        with self._lock:
            for fit in list(self._waiting):
                if fit.request.home == home:
                    self._waiting.remove(fit)
                    self._end(fit, "cancelled")
                    return True
            if self._running is None or self._running[0].request.home != home:
                return False
            fit, child = self._running
            fit.problem = "cancelled"
        child.stop()
        return True

    def stop(self) -> None:
        """End all of them, to be asked for again by the next process."""
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

    def _start_next(self) -> None:
        if self._running is not None or not self._waiting or self._stopping:
            return
        fit = self._waiting.popleft()
        answered = False

        def heard(message: tuple[str, Any]) -> None:
            nonlocal answered
            kind, value = message
            if kind == "stage":
                fit.stage, fit.total = value
                fit.done = 0
            elif kind == "done":
                fit.done = value
            else:
                answered = True
                fit.problem = fit.problem or value

        def ended() -> None:
            with self._lock:
                if not answered and not fit.problem:
                    fit.problem = "its process was killed; what it had computed is kept"
                self._running = None
                if not self._stopping:
                    self._end(fit, fit.problem)
                self._start_next()

        self._running = fit, Child(run, fit.request, name="fit", heard=heard, ended=ended)

    def _end(self, fit: Fit, problem: str) -> None:
        fit.problem, fit.stage = problem, "over"
        fit.ended.set()
        threading.Thread(target=self._over, args=(fit,), daemon=True).start()


def run(pipe: Connection, request: FitRequest) -> None:
    """In the fit's own process: fit, learn names from what is annotated, tell how it went."""
    die_with(pipe)
    try:
        fit_project(
            request,
            RunLog(_Telling(pipe)),
            waiting=lambda: pipe.send(
                ("stage", ("waiting for another process that fits this project", 0))
            ),
        )
    except UserError as error:
        pipe.send(("over", str(error)))
    except OSError as error:
        advice = "see whether there is room on the disk, then fit again: what was computed is kept"
        pipe.send(("over", f"{error}: {advice}"))
    except Exception as error:  # told to people, who cannot see this process
        pipe.send(("over", f"{type(error).__name__}: {error}"))
        raise
    else:
        pipe.send(("over", ""))


def fit_project(request: FitRequest, log: RunLog, *, waiting: Callable[[], None]) -> None:
    """Fit a project and learn names from what is annotated. ``waiting``: called if another process
    is at it; its model is taken then. Raises UserError."""
    home = ProjectFolder(request.home)
    wanted = label_config.parse_label_config(request.label_config)
    lock = home.fit_lock()
    try:
        lock.acquire(timeout=0)
    except TimeoutError:
        waiting()
        lock.acquire()
    try:
        with Client(request.server, request.token) as client:
            fetcher = open_fetcher(client, request.sources, server=request.server)
            if request.tasks is None:
                n = client.project(request.project_id).task_number
                tasks = read_tasks(client, request.project_id, n, wanted, log)
            else:
                tasks = [read_task(task, wanted) for task in request.tasks]
            if request.most:
                tasks = draw_sample(tasks, most=request.most, seed=request.config.fit.seed)
            model = _newest(home)
            if model is None or home.state.newest == request.newest:
                config = project_config(request.config, wanted)
                model = fit_tasks(fetcher, tasks, home, config, log)
            learn_tasks(client, fetcher, tasks, home, model, wanted, request.shape, log)
    finally:
        lock.release()


def _newest(home: ProjectFolder) -> FittedModel | None:
    """A damaged one is as good as none: it is fitted anew."""
    try:
        return home.newest_model()
    except UserError:
        home.update(newest="")
        return None


class _Telling:
    """Progress through a pipe, a few times a second at most."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._done = 0
        self._told = 0.0

    def start(self, stage: str, total: int) -> None:
        self._done, self._told = 0, 0.0
        self._pipe.send(("stage", (stage, total)))

    def advance(self) -> None:
        self._done += 1
        if time.monotonic() - self._told > 0.3:
            self._told = time.monotonic()
            self._pipe.send(("done", self._done))

    def stop(self) -> None:
        self._pipe.send(("done", self._done))
