"""The memory of this process: its peak, and returning free memory to the system."""

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
