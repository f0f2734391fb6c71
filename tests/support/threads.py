"""Ending threads as a fault would."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def named(prefix: str) -> list[threading.Thread]:
    """The living threads of this process whose names begin so."""
    return [t for t in threading.enumerate() if t.name.startswith(prefix)]


def fail(thread: threading.Thread) -> None:
    """Raise SystemExit in a thread, at the next thing that it does in Python."""
    assert thread.ident
    number, error = ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(number, error) == 1


@contextmanager
def untraced() -> Iterator[None]:
    """No thread that is started here is traced, as for coverage: while an exception of ``fail`` is
    pending, CPython 3.11 never leaves the first instruction of a traced function."""
    own, others = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        threading.settrace(others)
        sys.settrace(own)
