"""The garbage collector, held back and let go again."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from prelabel.storage.garbage import gc_paused


class Node:
    """Something that the collector tracks."""


@contextmanager
def collections() -> Iterator[list[int]]:
    """The generations that are collected meanwhile."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    try:
        yield seen
    finally:
        gc.callbacks.remove(note)


def test_uncollected__nothing_is_looked_through_and_cycles_go_later() -> None:
    gc.collect()
    with collections() as seen, gc_paused():
        kept = [Node() for _ in range(20_000)]
        for one, other in itertools.pairwise(kept):
            one.next, other.last = other, one  # type: ignore[attr-defined]
        assert not gc.isenabled()
    assert seen == []
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert not any(isinstance(item, Node) for item in gc.get_objects(generation=0))
    del kept, one, other
    assert gc.collect() >= 20_000


def test_uncollected__what_others_froze_or_switched_off_stays_so() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    try:
        with gc_paused():
            kept = [Node() for _ in range(10)]
        assert gc.get_freeze_count() == frozen
    finally:
        gc.unfreeze()
    gc.disable()
    try:
        with gc_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
    with pytest.raises(ValueError, match="x"), gc_paused():
        raise ValueError("x")
    assert gc.isenabled()
    assert len(kept) == 10
