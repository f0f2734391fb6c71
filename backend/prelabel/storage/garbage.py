"""The garbage collector, held back where records pile up and none goes: looking through all of them
again and again takes half of the time of reading."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[None]:
    """Without cyclic garbage collection in the whole process; what was made meanwhile counts as old
    afterwards, so that only a full collection looks through it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if not gc.get_freeze_count():  # nobody keeps objects frozen
                gc.freeze()
                gc.unfreeze()  # into the oldest generation
            gc.enable()
