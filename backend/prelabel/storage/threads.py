"""Work on several cores: results computed ahead of the consumer, and BLAS limited to one thread."""

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


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prefetch_map(
    work: Callable[[T], R], items: Iterable[T], *, workers: int
) -> Iterator[tuple[T, R]]:
    """Each item with ``work(item)``, in order; at most ``workers + 1`` are computed ahead.

    What ``work`` raises is raised here, at its item. ``items`` is advanced by the caller's thread.
    BLAS is limited to one thread meanwhile, since the workers use all cores.
    """
    waiting: deque[tuple[T, Future[R]]] = deque()
    pool, wait = ThreadPoolExecutor(workers), True
    with one_blas_thread():
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) > workers:
                    first, result = waiting.popleft()
                    yield first, result.result()
            for first, result in waiting:
                yield first, result.result()
        except KeyboardInterrupt:
            wait = False  # some may never end
            raise
        finally:
            pool.shutdown(wait=wait, cancel_futures=True)


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


_blas = _Blas()
