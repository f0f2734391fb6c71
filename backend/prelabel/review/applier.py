"""Has edits count, in a thread of its own: gathered, again after a failure, and at the end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from prelabel.errors import UserError
from prelabel.storage.files import replacing

_QUIET = 1.0
"""Seconds without an edit after which edits are applied …"""
_LONGEST = 5.0
"""… or at the latest, in seconds after the first. Both are longer where applying takes long, so that
most of the processor is left for the page."""
_AGAIN = 30.0
"""Seconds until a failure is tried again."""
_log = logging.getLogger(__name__)
State = Literal["idle", "waiting", "running", "failed"]


class Applying(msgspec.Struct, frozen=True):
    """What is going on. ``message``: for people."""

    state: State
    message: str = ""


class Applier:
    """Calls ``apply``, which returns the number of edits that it has applied.

    ``file`` keeps that number, so that edits of a killed process are applied at the next start.
    ``changed`` is called whenever ``applying`` is another.
    """

    def __init__(
        self, apply: Callable[[], int], file: Path, edits: int, changed: Callable[[], None]
    ) -> None:
        """``edits``: how many there are."""
        self._apply = apply
        self._file = file
        self._changed = changed
        self._applied = _read(file)
        self._asked = edits
        self._first = self._last = time.monotonic() - _LONGEST
        self._condition = threading.Condition()
        self._again = 0.0
        self._took = 0.0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="review-apply", daemon=True)
        waits = self._asked > self._applied
        self.applying = Applying("waiting" if waits else "idle")

    def start(self) -> None:
        """Begin to apply."""
        self._thread.start()

    def edited(self, edits: int) -> None:
        """There are this many edits now."""
        with self._condition:
            now = time.monotonic()
            if self._asked <= self._applied:
                self._first = now
            self._asked, self._last, self._again = edits, now, 0.0
            if self.applying.state == "idle":
                self.applying = Applying("waiting")
            self._condition.notify()

    def stop(self) -> None:
        """Apply what is left, once, and end."""
        with self._condition:
            self._stopped = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join()

    def apply_now(self) -> None:
        """Apply in this thread, where none was started. Raises what ``apply`` raises."""
        self._note(self._apply())

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._stopped and (wait := self._wait()) > 0:
                    self._condition.wait(wait)
                if self._stopped and self._asked <= self._applied:
                    return
            was_stopped = self._stopped
            if not self._try() and was_stopped:
                return

    def _wait(self) -> float:
        """Seconds until there is something to do."""
        if self._asked <= self._applied:
            return 3600.0
        quiet, longest = max(_QUIET, self._took), max(_LONGEST, 3 * self._took)
        due = min(self._last + quiet, self._first + longest)
        return max(due, self._again) - time.monotonic()

    def _try(self) -> bool:
        self._set(Applying("running"))
        try:
            started = time.monotonic()
            applied = self._apply()
            self._note(applied)
            self._took = time.monotonic() - started
        except Exception as error:
            message = str(error)
            if not isinstance(error, UserError | OSError):
                _log.exception("the names of the review could not be applied")
                message = f"a fault of prelabel ({type(error).__name__}: {error})"
            with self._condition:
                self._again = time.monotonic() + _AGAIN
            self._set(Applying("failed", message))
            return False
        with self._condition:
            self._applied = applied
            self._first = time.monotonic()
        self._set(Applying("waiting" if self._asked > applied else "idle"))
        return True

    def _note(self, applied: int) -> None:
        with replacing(self._file, sync=False) as beside:
            beside.write_text(str(applied), encoding="ascii")

    def _set(self, applying: Applying) -> None:
        self.applying = applying
        self._changed()


def _read(file: Path) -> int:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
