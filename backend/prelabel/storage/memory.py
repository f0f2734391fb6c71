"""The memory of this process: its peak, returning free memory to the system, and sharing it."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        pass  # not Linux
    import resource

    # On Linux this would include the process that this one was forked from.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def trim_heap() -> None:
    """Return free memory to the system, where the C library is glibc; takes milliseconds.

    glibc holds back more of it the larger the freed arrays were (mallopt(3)): without this, a run's
    peak varies by tens of MB.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


class MemoryBudget:
    """Memory that threads share; who needs more than is left waits, one after the other.

    ``n_bytes``: all of it.
    """

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self._n_taken = 0
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def taking(self, n_bytes: int) -> Iterator[None]:
        """Within, that many bytes are taken, or all, if there are fewer."""
        n_bytes = min(n_bytes, self.n_bytes)
        with self._turn, self._changed:  # small ones do not pass a large one for ever
            self._changed.wait_for(lambda: self._n_taken + n_bytes <= self.n_bytes)
            self._n_taken += n_bytes
        try:
            yield
        finally:
            with self._changed:
                self._n_taken -= n_bytes
                self._changed.notify_all()
