"""Removing this tool's earlier predictions once the server has the new ones."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from prelabel.errors import UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.project_folder import ProjectState

_AFTER = 5.0
"""Seconds after an answer, in which the server has stored it."""
_ATTEMPTS = 3


@dataclass(frozen=True)
class _Job:
    server: str
    token: str
    version: str
    earlier: frozenset[str]
    task: int
    at: float
    attempt: int = 1


class PredictionCleanup:
    """One thread, one task after the other: nobody waits for it. ``told``: called with problems.

    Only versions that this project's folder has given out before are removed, so that a backend
    elsewhere keeps its own.
    """

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told
        self._todo: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def later(self, server: str, token: str, state: ProjectState, tasks: Sequence[int]) -> None:
        """Look at tasks that were answered just now."""
        earlier = frozenset(v for v in state.versions if v != state.version)
        if not earlier or not token or not tasks:
            return
        at = time.monotonic() + _AFTER
        with self._wake:
            self._todo.extend(
                _Job(server, token, state.version, earlier, task, at) for task in tasks
            )
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tidier", daemon=True)
                self._thread.start()
            self._wake.notify()

    def stop(self) -> None:
        """What is left is found again when its task is predicted again."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._stopping and not (
                    self._todo and self._todo[0].at <= time.monotonic()
                ):
                    left = self._todo[0].at - time.monotonic() if self._todo else None
                    self._wake.wait(left)
                if self._stopping:
                    return
                errand = self._todo.popleft()
            try:
                stored = _tidy(errand)
            except UserError as error:
                self._told(f"task {errand.task}: earlier predictions stay: {error}")
                continue
            if not stored and errand.attempt < _ATTEMPTS:
                at = time.monotonic() + 3 * _AFTER
                with self._wake:
                    self._todo.append(replace(errand, at=at, attempt=errand.attempt + 1))


def _tidy(errand: _Job) -> bool:
    """Whether the new prediction is there; only then are the earlier ones removed."""
    with Client(errand.server, errand.token, attempts=2) as client:
        predictions = client.task(errand.task).get("predictions") or []
        if not any(p.get("model_version") == errand.version for p in predictions):
            return False
        for prediction in predictions:
            if prediction.get("model_version") in errand.earlier:
                client.delete_prediction(int(prediction["id"]))
        return True
