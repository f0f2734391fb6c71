"""Work on several cores: results computed ahead of the consumer, in lanes that share the cores."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 4
"""Items that lanes may compute ahead while one takes longer, such as a photo with many regions."""


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prefetch_map(
    work: Callable[[T], R], items: Iterable[T], *, workers: int, ahead: int = 1
) -> Iterator[tuple[T, R]]:
    """Each item with ``work(item)``, in order; at most ``workers + ahead`` are computed ahead.

    What ``work`` raises is raised here, at its item. ``items`` is advanced by the caller's thread.
    BLAS is limited to one thread meanwhile, since the workers use all cores.
    """
    waiting: deque[tuple[T, Future[R]]] = deque()
    pool, wait = ThreadPoolExecutor(workers), True
    with one_blas_thread():
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) >= workers + ahead:
                    first, result = waiting.popleft()
                    yield first, result.result()
            for first, result in waiting:
                yield first, result.result()
        except KeyboardInterrupt:
            wait = False  # some may never end
            raise
        finally:
            pool.shutdown(wait=wait, cancel_futures=True)


def lane_map(work: Callable[[T], R], items: Iterable[T], *, lanes: int) -> Iterator[tuple[T, R]]:
    """As ``prefetch_map``, for work that would use all cores by itself, such as a network's: each of the
    lanes takes its share of them, and need not wait for one whose item takes longer. One lane is the
    caller's thread, and computes nothing ahead."""
    if lanes == 1:
        for item in items:
            yield item, work(item)
        return
    with open_lanes(lanes):
        yield from prefetch_map(work, items, workers=lanes, ahead=_AHEAD)


@contextmanager
def open_lanes(number: int = 1) -> Iterator[None]:
    """While inside, as many more pieces of work run beside each other; see ``share_of``."""
    _lanes.add(number)
    try:
        yield
    finally:
        _lanes.add(-number)


def share_of(threads: int) -> int:
    """How many of ``threads`` one piece of work may use, ≥ 1: several that use all of them at once wait
    for each other most of the time."""
    return max(1, threads // max(1, _lanes.number))


class _Lanes:
    """Counts the lanes of all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.number = 0

    def add(self, number: int) -> None:
        with self._lock:
            self.number += number


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread; may be entered by several threads at once.

    For small products, where BLAS' threads spend up to fifteen times as long waiting for each other,
    and so that rounding does not depend on their number.
    """
    _blas.enter()
    try:
        yield
    finally:
        _blas.leave()


class _Blas:
    """Counts the threads inside: BLAS' limit holds for the whole process, so the first one sets it
    and the last one restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limit: Any = None

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._limit = _libraries().limit(limits=1, user_api="blas")

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.restore_original_limits()


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # looking for the libraries takes milliseconds


_blas, _lanes = _Blas(), _Lanes()
