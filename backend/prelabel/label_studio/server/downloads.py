"""Fetching the photos of jobs while others are worked on: slow hosts hold up nobody else's."""

from __future__ import annotations

import heapq
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from prelabel.errors import PhotoError, UserError
from prelabel.label_studio.server.job_photos import OWN
from prelabel.label_studio.server.jobs import Job, Urgency

_OF_ONE_PLACE = 4
"""Downloads at once from the same hosts."""
_OF_OTHERS = 32
"""Downloads at once from all hosts but Label Studio's own, which has slots for itself."""
_AHEAD = 64
"""Jobs whose photos are there and that nobody has taken: more are fetched only for people who wait."""


class Downloads:
    """Jobs that wait for their photos, in slots for each place, the most urgent first.

    ``fetch``: fetches a job's photos. ``on_done``: called in a thread with each job and the problem,
    "" for none. ``thread``: what the threads' names begin with. May be used by several threads at once.
    """

    def __init__(
        self, fetch: Callable[[Job], None], on_done: Callable[[Job, str], None], *, thread: str
    ) -> None:
        self._fetch = fetch
        self._on_done = on_done
        self._lock = threading.Lock()
        self._waiting: dict[str, list[tuple[Urgency, int]]] = {}
        self._jobs: dict[int, Job] = {}
        self._active: Counter[str] = Counter()
        self._ahead: set[int] = set()
        self._pool = ThreadPoolExecutor(_OF_ONE_PLACE + _OF_OTHERS, thread)

    def add(self, job: Job, place: str) -> None:
        """Fetch a job's photos, as soon as there is a slot."""
        with self._lock:
            self._jobs[job.number] = job
            heapq.heappush(self._waiting.setdefault(place, []), (job.urgency, job.number))
        self._start()

    def hurry(self, job: Job) -> bool:
        """Whether a job waits here already or is being fetched: it is as urgent as this one now."""
        with self._lock:
            known = job.number in self._jobs
            for waiting in self._waiting.values():
                if any(number == job.number for _, number in waiting):
                    heapq.heappush(waiting, (job.urgency, job.number))
                    break
        self._start()
        return known

    def take(self, job: Job) -> bool:
        """Whether a job's photos were fetched here; it is forgotten."""
        with self._lock:
            found = job.number in self._ahead
            self._ahead.discard(job.number)
        self._start()
        return found

    def stop(self) -> None:
        """Begin nothing more; what is being fetched is left to itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        with self._lock:
            for place, number in list(self._next()):
                job = self._jobs[number]
                self._active[place] += 1
                self._pool.submit(self._run, job, place)

    def _next(self) -> Iterator[tuple[str, int]]:
        """What may begin now. The places take turns, as each has few slots."""
        others = sum(n for place, n in self._active.items() if place != OWN)
        for place, waiting in list(self._waiting.items()):
            free = _OF_ONE_PLACE - self._active[place]
            if place != OWN:
                free = min(free, _OF_OTHERS - others)
            while waiting and free > 0:
                if waiting[0][0] >= Urgency.BATCH and len(self._ahead) >= _AHEAD:
                    break
                _, number = heapq.heappop(waiting)
                if any(n == number for _, n in waiting):  # it was hurried
                    waiting[:] = [entry for entry in waiting if entry[1] != number]
                    heapq.heapify(waiting)
                free -= 1
                others += place != OWN
                yield place, number
            if not waiting:
                del self._waiting[place]

    def _run(self, job: Job, place: str) -> None:
        problem = ""
        with self._slot(place):
            try:
                self._fetch(job)
            except (PhotoError, UserError, OSError) as error:
                problem = str(error)
            except BaseException as error:  # one task must not cost a slot
                logging.getLogger(__name__).exception("task %s", job.task_id)
                problem = f"{type(error).__name__}: {error}"
        with self._lock:
            del self._jobs[job.number]
            if not problem:
                self._ahead.add(job.number)
        self._on_done(job, problem)
        self._start()

    @contextmanager
    def _slot(self, place: str) -> Iterator[None]:
        try:
            yield
        finally:
            with self._lock:
                self._active[place] -= 1
                if not self._active[place]:
                    del self._active[place]
