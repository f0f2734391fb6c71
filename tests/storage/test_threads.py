"""Work ahead on several threads, and BLAS on one."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np  # noqa: F401  (brings BLAS)
import pytest
from threadpoolctl import threadpool_info

from prelabel.storage.threads import (
    lane_map,
    one_blas_thread,
    open_lanes,
    prefetch_map,
    share_of,
)


def _blas_threads() -> set[int]:
    return {int(lib["num_threads"]) for lib in threadpool_info() if lib["user_api"] == "blas"}


def test_prefetch_map__keeps_order_and_never_runs_far_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for i in range(10):
            taken.append(i)
            yield i

    stream = prefetch_map(lambda i: i * i, items(), workers=2)
    assert next(stream) == (0, 0)
    assert taken == [0, 1, 2]  # workers + 1
    assert list(stream) == [(i, i * i) for i in range(1, 10)]


def test_prefetch_map__more_than_one_at_once() -> None:
    both = threading.Barrier(2, timeout=20)
    # Neither comes back before the other has started.
    assert len(list(prefetch_map(lambda _: both.wait(), range(2), workers=2))) == 2


def test_prefetch_map__an_error_comes_at_its_item() -> None:
    stream = prefetch_map(lambda i: 1 // i, [2, 1, 0, 3], workers=2)
    assert [next(stream), next(stream)] == [(2, 0), (1, 1)]
    with pytest.raises(ZeroDivisionError):
        next(stream)


def test_lane_map__each_lane_has_its_share_of_the_threads() -> None:
    both = threading.Barrier(2, timeout=20)

    def share(_: int) -> tuple[int, str]:
        both.wait()
        return share_of(5), threading.current_thread().name

    shares = [found for _, found in lane_map(share, range(4), lanes=2)]
    assert [number for number, _ in shares] == [2, 2, 2, 2]
    assert threading.current_thread().name not in {name for _, name in shares}
    assert share_of(5) == 5


def test_lane_map__goes_on_while_one_takes_longer() -> None:
    others = threading.Semaphore(0)

    def work(i: int) -> int:
        if i == 0:
            assert all(others.acquire(timeout=20) for _ in range(4))
        else:
            others.release()
        return i

    assert [found for _, found in lane_map(work, range(6), lanes=2)] == [0, 1, 2, 3, 4, 5]


def test_lane_map__one_lane_is_the_callers_thread() -> None:
    taken: list[int] = []
    stream = lane_map(lambda i: (i, threading.get_ident(), share_of(4)), _noted(taken), lanes=1)
    assert next(stream) == (0, (0, threading.get_ident(), 4))
    assert taken == [0]  # nothing ahead


def test_share_of__lanes_within_lanes() -> None:
    with open_lanes():
        assert share_of(4) == 4
        with open_lanes(2):
            assert share_of(4) == 1
            assert share_of(2) == 1  # never none
    assert share_of(4) == 4


def _noted(taken: list[int]) -> Iterator[int]:
    for number in range(3):
        taken.append(number)
        yield number


def test_one_blas_thread__until_the_last_one_is_out() -> None:
    before = _blas_threads()
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert _blas_threads() == {1}
    second.__exit__(None, None, None)
    assert _blas_threads() == before
