"""How many threads use backbone and embedder at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from prelabel.strategies.lanes import in_turn, lanes


@dataclass(frozen=True)
class Shared:
    threads: int = 100


@pytest.mark.parametrize(
    ("cores", "threads", "expected"),
    [(4, (100,), 4), (64, (100, 50), 8), (4, (100, 2), 2), (4, (1, 100), 1), (1, (100,), 1)],
)
def test_lanes__the_fewest_of_all(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: tuple[int, ...], expected: int
) -> None:
    monkeypatch.setattr("prelabel.strategies.lanes.cores", lambda: cores)
    assert lanes(*map(Shared, threads)) == expected
    assert lanes(*map(Shared, threads), object()) == 1  # it says nothing: one thread


@pytest.mark.parametrize(("strategy", "most"), [(Shared(), 8), (object(), 1)])
def test_in_turn__at_most_as_many(
    monkeypatch: pytest.MonkeyPatch, strategy: object, most: int
) -> None:
    monkeypatch.setattr("prelabel.strategies.lanes.cores", lambda: 64)
    inside, seen, full = set[int](), list[int](), threading.Event()

    def work(number: int) -> None:
        with in_turn(strategy):
            inside.add(number)
            seen.append(len(inside))
            if len(inside) == most:
                full.set()
            full.wait(20)
            inside.remove(number)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(12)))
    assert max(seen) == most
