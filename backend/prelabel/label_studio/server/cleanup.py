"""Removing this tool's earlier predictions once the server has the new ones."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from prelabel.errors import UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.tasks import own_predictions
from prelabel.label_studio.project_state import ProjectState
from prelabel.label_studio.server.projects import Project

_AFTER = 5.0
"""Seconds after an answer, in which the server has stored it."""
_ATTEMPTS = 3


@dataclass(frozen=True)
class _Job:
    """``version``: of the new prediction; ``earlier``: versions whose predictions are removed.
    ``at``: when, by the monotonic clock."""

    server: str
    token: str = field(repr=False)
    project_id: int
    version: str
    earlier: frozenset[str]
    task: int
    at: float
    attempt: int = 1


class PredictionCleanup:
    """Works in one thread, one task after the other: nobody waits for it.

    Only predictions of versions that the project's folder has given out before are removed, so that
    those of a backend elsewhere stay. ``on_problem``: called with the text of a problem.
    """

    def __init__(self, on_problem: Callable[[str], None]) -> None:
        self._on_problem = on_problem
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def schedule(self, project: Project, state: ProjectState, tasks: Sequence[int]) -> None:
        """Clean up tasks of a project that have just been answered with the version of ``state``."""
        earlier = frozenset(v for v in state.versions if v != state.version)
        if not earlier or not project.token or not tasks:
            return
        at = time.monotonic() + _AFTER
        with self._wake:
            self._jobs.extend(
                _Job(project.server, project.token, project.id, state.version, earlier, task, at)
                for task in tasks
            )
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cleanup", daemon=True)
                self._thread.start()
            self._wake.notify()

    def stop(self) -> None:
        """End the thread. Predictions that are left are found when their task is predicted again."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def _run(self) -> None:
        while job := self._next():
            try:
                stored = _clean_up(job)
            except UserError as error:
                self._on_problem(f"task {job.task}: earlier predictions stay: {error}")
                continue
            if not stored and job.attempt < _ATTEMPTS:
                at = time.monotonic() + 3 * _AFTER
                with self._wake:
                    self._jobs.append(replace(job, at=at, attempt=job.attempt + 1))

    def _next(self) -> _Job | None:
        """Waits for the next job that is due; None when stopped."""
        with self._wake:
            while not self._stopping:
                seconds = self._jobs[0].at - time.monotonic() if self._jobs else None
                if seconds is not None and seconds <= 0:
                    return self._jobs.popleft()
                self._wake.wait(seconds)
            return None


def _clean_up(job: _Job) -> bool:
    """Whether the new prediction is there; only then are the earlier ones removed."""
    with Client(job.server, job.token, attempts=2) as client:
        own = list(own_predictions(client.task(job.project_id, job.task)))
        if job.version not in [version for _, version in own]:
            return False
        for number, version in own:
            if version in job.earlier:
                client.delete_prediction(number)
        return True
