"""Jobs for the worker: the most urgent first, none twice, and none lost with a process."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace

from prelabel.label_studio.server import worker
from prelabel.label_studio.server.child_process import Child
from prelabel.label_studio.server.worker import Done, Job, WorkerSettings
from prelabel.storage.threads import cores

POINT, OPEN, BATCH, BACKGROUND = range(4)
"""How urgent: somebody points, somebody opens a task, somebody retrieves many, nobody waits."""
_ATTEMPTS = 2
"""Times that a job may be at work when the process dies: the second death is its own doing."""
_MOST = 20_000
"""Jobs that may wait."""
_PAUSE = 2.0
"""Seconds before a process that died within 30 seconds is started again."""


@dataclass
class Entry:
    """A job that waits or is at work. ``attempts``: processes that died over it. ``again``: asked
    for once more since it began. ``answer``: what comes of it."""

    job: Job
    key: Hashable
    urgency: int
    attempts: int = 0
    again: bool = False
    answer: Future[Done] = field(default_factory=Future)


class Queue:
    """``told``: called in a thread with every job that is done. ``trouble``: called with a text when
    the worker's process has died, or says what is wrong with no job in particular."""

    def __init__(
        self,
        desk: WorkerSettings,
        *,
        told: Callable[[Job, Done], None],
        trouble: Callable[[str], None],
    ) -> None:
        self._desk = desk
        self._told = told
        self._trouble = trouble
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._waiting: tuple[deque[Entry], ...] = tuple(deque() for _ in range(4))
        self._at_work: dict[int, Entry] = {}
        self._by_key: dict[Hashable, Entry] = {}
        self._child: Child | None = None
        self._started_at = 0.0
        self._stopping = False
        self.restarts = 0

    def put(self, job: Job, *, key: Hashable, urgency: int) -> Entry:
        """Queue a job; one with the same key that is there already is the answer, made more urgent
        if need be. With too many waiting, one that has failed."""
        with self._lock:
            entry = self._by_key.get(key)
            if entry is not None:
                # The annotation may have changed after the worker looked at it.
                entry.again |= job.kind == "learn" and entry.job.number in self._at_work
                self._move(entry, min(entry.urgency, urgency))
                return entry
            entry = Entry(replace(job, number=next(self._numbers)), key, urgency)
            if self._stopping:
                _give_up(entry)
                return entry
            if len(self._by_key) >= _MOST and urgency != POINT:
                entry.answer.set_result(
                    Done(entry.job.number, b"[]", problem=f"{_MOST} tasks are waiting already")
                )
                return entry
            self._by_key[key] = entry
            self._waiting[urgency].append(entry)
            self._hand_over()
            return entry

    def deprioritize(self, entry: Entry) -> None:
        """Nobody waits for it any more; it is done when there is nothing better to do."""
        with self._lock:
            self._move(entry, BACKGROUND)

    def sizes(self) -> dict[str, int]:
        """How many jobs of each urgency wait, and how many are at work."""
        with self._lock:
            names = ("point", "open", "batch", "background")
            waiting = {n: len(q) for n, q in zip(names, self._waiting, strict=True)}
            return {**waiting, "at work": len(self._at_work)}

    @property
    def worker_pid(self) -> int:
        """The number of the worker's process, 0 before the first job."""
        with self._lock:
            return self._child.pid if self._child else 0

    def stop(self) -> None:
        """End the process; what waits is given up."""
        with self._lock:
            self._stopping = True
            child = self._child
            entries = list(self._by_key.values())
            self._by_key.clear()
        for entry in entries:
            _give_up(entry)
        if child:
            child.stop(wait=2.0)

    def _move(self, entry: Entry, urgency: int) -> None:
        if urgency != entry.urgency and entry in (waiting := self._waiting[entry.urgency]):
            waiting.remove(entry)
            self._waiting[urgency].append(entry)
        entry.urgency = urgency

    def _hand_over(self) -> None:
        """Give the worker what it has hands for; who points has one of their own."""
        if self._stopping:
            return
        for urgency, waiting in enumerate(self._waiting):
            while waiting and self._may_begin(waiting[0], urgency):
                entry = waiting.popleft()
                self._at_work[entry.job.number] = entry
                self._worker().send(entry.job)

    def _may_begin(self, entry: Entry, urgency: int) -> bool:
        """One that was at work when the process died is tried alone: a second death is its doing
        then, and costs no other."""
        if not self._at_work:
            return True
        if entry.attempts or any(other.attempts for other in self._at_work.values()):
            return False
        return urgency == POINT or len(self._at_work) < cores() + 2

    def _worker(self) -> Child:
        if self._child is None:
            self._started_at = time.monotonic()
            self._child = Child(
                worker.work, self._desk, name="worker", heard=self._heard, ended=self._ended
            )
        return self._child

    def _heard(self, done: Done) -> None:
        with self._lock:
            entry = self._at_work.pop(done.number, None)
            again = entry is not None and entry.again
            if entry is not None and again:
                entry.again = False
                self._waiting[entry.urgency].append(entry)
            elif entry is not None:
                self._by_key.pop(entry.key, None)
            self._hand_over()
        if entry is None:
            if done.problem:
                self._trouble(done.problem)
        elif not again:
            self._finish(entry, done)

    def _ended(self) -> None:
        """The process is gone: what it was at is done again, but for what has killed it twice."""
        with self._lock:
            self._child = None
            lost = list(self._at_work.values())
            self._at_work.clear()
            if self._stopping:
                return
            self.restarts += 1
            given_up = []
            for entry in lost:
                entry.attempts += 1
                if entry.attempts >= _ATTEMPTS:
                    self._by_key.pop(entry.key, None)
                    given_up.append(entry)
                else:
                    self._waiting[entry.urgency].appendleft(entry)
            soon = time.monotonic() - self._started_at < 30
        self._trouble(
            f"the worker's process died with {len(lost)} jobs at work; they are done again"
        )
        for entry in given_up:
            reason = "the worker's process died over it twice: see whether there is enough memory"
            self._finish(entry, Done(entry.job.number, b"[]", problem=reason))
        if soon:
            time.sleep(_PAUSE)
        with self._lock:
            self._hand_over()

    def _finish(self, entry: Entry, done: Done) -> None:
        self._told(entry.job, done)
        with suppress(InvalidStateError):  # given up meanwhile
            entry.answer.set_result(done)


def _give_up(entry: Entry) -> None:
    if entry.answer.cancel():
        entry.answer.set_running_or_notify_cancel()  # this, not cancel, wakes who waits
