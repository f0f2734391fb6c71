"""How many photos go through backbone and embedder beside each other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prelabel.storage.threads import cores
from prelabel.strategies.protocols import Concurrent

_MOST = 8
"""Lanes at most: each holds a photo and a pass through the network, 0.1 GB with ViT-S."""
_one_at_a_time, _few = threading.Lock(), threading.BoundedSemaphore(_MOST)
"""Held while strategies work: those that only one thread may use, as two models may share their weights,
and the others."""


def lanes(*strategies: object) -> int:
    """How many threads are to use the strategies at once, ≥ 1: at most one for each core."""
    most = [own.threads if isinstance(own, Concurrent) else 1 for own in strategies]
    return min(_MOST, cores(), *most)


@contextmanager
def in_turn(*strategies: object) -> Iterator[None]:
    """Wait until the strategies may be used: by one thread at a time, or by several."""
    with _few if lanes(*strategies) > 1 else _one_at_a_time:
        yield
