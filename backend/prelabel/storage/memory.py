"""The memory of this process: how much it was at most, and giving back what is free."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        pass  # not Linux
    import resource

    # On Linux this would count what the process was forked from as well.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def trim_heap() -> None:
    """Hand free memory back to the system, where the C library is glibc; takes milliseconds.

    glibc keeps more of it the larger the arrays are that were freed (mallopt(3)), so that before a
    stage which needs much, tens of MB too many are held or not, as chance has it.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
