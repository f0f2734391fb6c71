"""Jobs for the worker, most urgent first. None is queued twice, and none is lost if its process dies."""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace

from prelabel.label_studio.server import worker
from prelabel.label_studio.server.child_process import Child
from prelabel.label_studio.server.jobs import NOT_READY, Job, JobResult, Urgency, WorkerSettings
from prelabel.storage.threads import cores

_ATTEMPTS = 2
"""A job that is at work at this many deaths of the process is taken to be their cause."""
_MOST = 20_000
"""Jobs that may wait."""
_MOST_LEARN = 2_000
"""Jobs of urgency LEARN that may wait, which do not count among the others."""
_MOST_BYTES = 200_000_000
"""Data of tasks in memory."""
_MOST_BYTES_AT_WORK = 10_000_000
"""Data of tasks that are at work: once decoded, they may take ten times as much."""
_QUICK_DEATH = 30.0
"""Seconds: a process that dies sooner is started again only after ``_PAUSE``."""
_LONGEST = 900.0
"""Seconds after which a job that is at work is taken to hang."""
_PAUSE = 2.0
"""Seconds to wait after a quick death."""


@dataclass(eq=False)
class Entry:
    """A job that waits or is at work. ``attempts``: processes that died while it was at work.
    ``began``: when it was sent to the process last, by the monotonic clock. ``again``: requested once
    more since then. ``result``: set when it is done, cancelled when
    the queue is stopped."""

    job: Job
    key: Hashable
    urgency: Urgency
    attempts: int = 0
    began: float = 0.0
    again: bool = False
    result: Future[JobResult] = field(default_factory=Future)

    @property
    def answer(self) -> bytes:
        """Of the finished job, else NOT_READY."""
        if self.result.done() and not self.result.cancelled():
            return self.result.result().answer
        return NOT_READY


class Queue:
    """Jobs that wait, and the process that does them. Several threads may use it at once.

    ``on_result``: called in a thread with every job that is done. ``on_problem``: called with a
    text when the worker's process has died, or reports a problem that does not belong to a job.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        on_result: Callable[[Job, JobResult], None],
        on_problem: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._on_result = on_result
        self._on_problem = on_problem
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._waiting: dict[Urgency, OrderedDict[int, Entry]] = {
            urgency: OrderedDict() for urgency in Urgency
        }
        self._at_work: dict[int, Entry] = {}
        self._fetching: dict[int, Entry] = {}
        self._by_key: dict[Hashable, Entry] = {}
        self._child: Child[WorkerSettings, JobResult] | None = None
        self._bytes = 0
        self._started_at = 0.0
        self._ended_at = 0.0
        self._died = False
        self._stopping = False
        self.restarts = 0

    def put(self, job: Job, urgency: Urgency) -> Entry:
        """Queue a job. If one with the same key is queued already, that one is returned, made more
        urgent if need be. If too many are waiting, a failed entry is returned."""
        key = job.key
        with self._lock:
            entry = self._by_key.get(key)
            if entry is not None:
                # The annotation may have changed after the worker looked at it.
                entry.again |= job.kind == "learn" and entry.job.number in self._at_work
                self._move(entry, min(entry.urgency, urgency))
                return entry
            entry = Entry(replace(job, number=next(self._numbers)), key, urgency)
            if self._stopping:
                _cancel(entry)
                return entry
            if problem := self._too_many(entry):
                entry.result.set_result(JobResult(entry.job.number, NOT_READY, problem=problem))
                return entry
            self._by_key[key] = entry
            self._bytes += len(job.data)
            self._waiting[urgency][entry.job.number] = entry
            self._dispatch()
            return entry

    def deprioritize(self, entry: Entry) -> None:
        """Lower a job's urgency, since nobody waits for it any more."""
        with self._lock:
            self._move(entry, Urgency.BACKGROUND)

    def sizes(self) -> dict[str, int]:
        """How many jobs of each urgency wait, how many wait for photos, and how many are at work."""
        with self._lock:
            waiting = {urgency.name.lower(): len(q) for urgency, q in self._waiting.items()}
            return {**waiting, "fetching": len(self._fetching), "at work": len(self._at_work)}

    def revive(self) -> bool:
        """End a process that hangs or cannot be talked to, and start one where jobs wait without.
        Whether that was necessary, or one has died since the last call. To be called regularly."""
        with self._lock:
            died, self._died = self._died, False
            child, jobs = self._child, any(self._waiting.values())
            idle = time.monotonic() - self._ended_at > 2 * _PAUSE
            if child is None and jobs and idle and not self._stopping:
                self._dispatch()
                return True
            hangs = any(time.monotonic() - e.began > _LONGEST for e in self._at_work.values())
        if child is None or not (hangs or child.broken):
            return died
        child.stop()
        return True

    def stop(self) -> None:
        """End the process; jobs that wait are cancelled."""
        with self._lock:
            self._stopping = True
            child = self._child
            entries = list(self._by_key.values())
            self._by_key.clear()
        for entry in entries:
            _cancel(entry)
        if child:
            child.stop(wait=2.0)

    def _too_many(self, entry: Entry) -> str:
        """Why a job cannot wait here, "" if it can."""
        learning = len(self._waiting[Urgency.LEARN])
        if entry.urgency is Urgency.INTERACTIVE:
            return ""
        if entry.urgency is Urgency.LEARN:
            return f"{learning} tasks wait to be learned from" if learning >= _MOST_LEARN else ""
        if len(self._by_key) - learning >= _MOST:
            return f"{_MOST} tasks are waiting already"
        if self._bytes + len(entry.job.data) > _MOST_BYTES:
            return f"tasks with {_MOST_BYTES / 1e6:.0f} MB of data are waiting already"
        return ""

    def _move(self, entry: Entry, urgency: Urgency) -> None:
        number = entry.job.number
        if urgency != entry.urgency and number in self._waiting[entry.urgency]:
            self._waiting[urgency][number] = self._waiting[entry.urgency].pop(number)
        if urgency < entry.urgency and number in self._fetching:
            self._worker().send(replace(entry.job, urgency=urgency))
        entry.urgency = urgency

    def _forget(self, entry: Entry) -> None:
        if self._by_key.pop(entry.key, None) is not None:
            self._bytes -= len(entry.job.data)

    def _dispatch(self) -> None:
        """Dispatch jobs up to the worker's capacity; interactive jobs have a reserved slot."""
        if self._stopping:
            return
        for waiting in self._waiting.values():
            while waiting and self._may_start(next(iter(waiting.values()))):
                try:
                    child = self._worker()
                except OSError as error:  # tried again by revive
                    self._ended_at = time.monotonic()
                    self._on_problem(f"the worker's process cannot be started: {error}")
                    return
                _, entry = waiting.popitem(last=False)
                self._at_work[entry.job.number] = entry
                entry.began = time.monotonic()
                child.send(replace(entry.job, urgency=entry.urgency))

    def _may_start(self, entry: Entry) -> bool:
        """A job that was at work when the process died is tried alone: if the process dies again,
        this job is the reason, and no other suffers. One job learns at a time."""
        if not self._at_work:
            return True
        if entry.attempts or any(other.attempts for other in self._at_work.values()):
            return False
        at_work = sum(len(other.job.data) for other in self._at_work.values())
        if entry.job.data and at_work + len(entry.job.data) > _MOST_BYTES_AT_WORK:
            return False
        learning = any(other.urgency is Urgency.LEARN for other in self._at_work.values())
        if entry.urgency is Urgency.LEARN and learning:
            return False
        return entry.urgency is Urgency.INTERACTIVE or len(self._at_work) < cores() + 2

    def _worker(self) -> Child[WorkerSettings, JobResult]:
        if self._child is None:
            self._started_at = time.monotonic()
            self._child = Child(
                worker.work,
                self._settings,
                name="worker",
                on_message=self._on_message,
                on_exit=self._on_exit,
            )
        return self._child

    def _on_message(self, result: JobResult) -> None:
        with self._lock:
            if result.state != "done":
                self._set_aside(result)
                return
            entry = self._at_work.pop(result.number, None)
            entry = entry or self._fetching.pop(result.number, None)
            again = entry is not None and entry.again
            if entry is not None and again:
                entry.again = False
                self._waiting[entry.urgency][entry.job.number] = entry
            elif entry is not None:
                self._forget(entry)
            self._dispatch()
        if entry is None:
            if result.problem:
                self._on_problem(result.problem)
        elif not again:
            self._finish(entry, result)

    def _set_aside(self, result: JobResult) -> None:
        """A job waits for its photos, which is no work; or it has them and comes next."""
        if result.state == "fetching" and result.number in self._at_work:
            self._fetching[result.number] = self._at_work.pop(result.number)
        elif result.number in self._fetching:
            self._put_first(self._fetching.pop(result.number))
        self._dispatch()

    def _put_first(self, entry: Entry) -> None:
        self._waiting[entry.urgency][entry.job.number] = entry
        self._waiting[entry.urgency].move_to_end(entry.job.number, last=False)

    def _on_exit(self) -> None:
        """The process is gone: the jobs at work are done again, but for those that were at work at
        two deaths."""
        with self._lock:
            self._child, self._ended_at = None, time.monotonic()
            lost = list(self._at_work.values())
            self._at_work.clear()
            if self._stopping:
                return
            self.restarts += 1
            self._died = True
            failed = []
            for entry in lost:
                entry.attempts += 1
                if entry.attempts >= _ATTEMPTS:
                    self._forget(entry)
                    failed.append(entry)
                else:
                    self._put_first(entry)
            for entry in self._fetching.values():  # which cannot be the cause
                self._put_first(entry)
            self._fetching.clear()
            quick = time.monotonic() - self._started_at < _QUICK_DEATH
        self._on_problem(
            f"the worker's process died with {len(lost)} jobs at work; they are done again"
        )
        for entry in failed:
            reason = "the worker's process died over it twice: see whether there is enough memory"
            self._finish(entry, JobResult(entry.job.number, NOT_READY, problem=reason))
        if quick:
            time.sleep(_PAUSE)
        with self._lock:
            self._dispatch()

    def _finish(self, entry: Entry, result: JobResult) -> None:
        try:
            self._on_result(entry.job, result)
        finally:
            with suppress(InvalidStateError):  # cancelled meanwhile
                entry.result.set_result(result)


def _cancel(entry: Entry) -> None:
    if entry.result.cancel():
        entry.result.set_running_or_notify_cancel()  # this, not cancel, wakes those who wait
