"""The memory of this process."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from prelabel.storage.memory import MemoryBudget, peak_memory


def test_peak_memory__is_the_same_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    held = np.ones(8_000_000)
    peak = peak_memory()
    assert peak > held.nbytes

    def missing(file: Path, **_: object) -> str:
        raise FileNotFoundError(file)

    monkeypatch.setattr(Path, "read_text", missing)
    assert peak_memory() == pytest.approx(peak, rel=0.1)


def test_budget__is_never_exceeded_and_large_ones_have_it_alone() -> None:
    budget = MemoryBudget(100)
    lock = threading.Lock()
    taken: list[int] = []
    seen: list[list[int]] = []

    def take(n_bytes: int) -> None:
        with budget.taking(n_bytes):
            with lock:
                taken.append(n_bytes)
                seen.append(sorted(taken))
            time.sleep(0.005)
            with lock:
                taken.remove(n_bytes)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, [30, 30, 30, 30, 1000, 60, 60, 0] * 5))
    assert all(sum(at_once) <= 100 or at_once in ([1000], [0, 1000]) for at_once in seen)
    assert any(len(at_once) > 2 for at_once in seen)


def test_budget__an_error_gives_back_what_was_taken() -> None:
    budget = MemoryBudget(1)
    with pytest.raises(ValueError, match="x"), budget.taking(1):
        raise ValueError("x")
    with budget.taking(1):
        pass
