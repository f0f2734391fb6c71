"""Locks between processes: one writer of a folder, and who that is."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from prelabel.errors import UserError
from prelabel.storage.files import replacing
from prelabel.storage.json import decode, encode

_WRITING = 1.0
"""Seconds in which a new holder has written who it is, on a busy machine too."""


class InUseError(UserError):
    """Another process, or another thread of this one, holds the lock."""


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lock. ``since``: local time, as in 2026-01-31 18:05:00."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


@contextmanager
def exclusive(file: Path, what: str, *, timeout: float = 0.0) -> Iterator[None]:
    """Hold the lock ``file``, which one thread of one process can hold at a time.

    The kernel holds it for the process, and gives it up when that ends, however it ends: a lock is
    never stale. The file itself stays. A file beside it says who the holder is, for messages alone.

    Args:
        file: an empty file of this purpose only; it is created with its folder.
        what: what is in use then, for the message, as in "the folder 'out'".
        timeout: seconds to wait for another holder; -1 for as long as it takes.

    Raises:
        InUseError: another one holds it; the message says who.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    # Not of a thread: a generator that holds it may be closed by another one.
    lock = FileLock(file, timeout=timeout, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise InUseError(
            f"{what} is in use by {_named(file) or 'another process'}: wait until it is done, or "
            "stop it, and try again"
        ) from None
    try:
        since = datetime.now().isoformat(" ", "seconds")
        with replacing(_about(file), sync=False) as beside:
            beside.write_bytes(encode(Holder(os.getpid(), platform.node(), since)))
        yield
    finally:
        _about(file).unlink(missing_ok=True)
        lock.release()


def holder(file: Path) -> Holder | None:
    """Who said last that they hold the lock ``file``; None if that is not known."""
    try:
        return decode(_about(file).read_bytes(), Holder)
    except (OSError, ValueError):
        return None


def _named(file: Path) -> Holder | None:
    """The holder, who may have got the lock a moment ago and is still writing who it is."""
    until = time.monotonic() + _WRITING
    while (found := holder(file)) is None and time.monotonic() < until:
        time.sleep(0.02)
    return found


def _about(file: Path) -> Path:
    return file.with_name(f"{file.name}.holder")
