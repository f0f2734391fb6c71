"""Brings stored predictions up to date when somebody asks, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Literal

import msgspec

from prelabel.errors import UserError
from prelabel.review.source import PushSource

_log = logging.getLogger(__name__)


class Pushed(msgspec.Struct, frozen=True):
    """How far it is. ``message``: for people."""

    state: Literal["idle", "running", "done", "failed"] = "idle"
    done: int = 0
    total: int = 0
    message: str = ""


class Pusher:
    """One push at a time. ``changed`` is called whenever ``pushed`` is another."""

    def __init__(self, source: PushSource, changed: Callable[[], None]) -> None:
        self._source = source
        self._changed = changed
        self._lock = threading.Lock()
        self.pushed = Pushed()

    def start(self) -> None:
        """Begin. Raises UserError if one is under way."""
        with self._lock:
            if self.pushed.state == "running":
                raise UserError(
                    "predictions are being brought up to date already: wait for the end"
                )
            self.pushed = Pushed("running")
        self._changed()
        threading.Thread(target=self._run, name="review-push", daemon=True).start()

    def _run(self) -> None:
        try:
            message = self._source.push(self._progress)
            self._set(Pushed("done", self.pushed.done, self.pushed.total, message))
        except (UserError, OSError) as error:
            self._set(Pushed("failed", self.pushed.done, self.pushed.total, str(error)))
        except Exception as error:
            _log.exception("predictions could not be brought up to date")
            fault = f"a fault of prelabel ({type(error).__name__}: {error})"
            self._set(Pushed("failed", self.pushed.done, self.pushed.total, fault))

    def _progress(self, done: int, total: int) -> None:
        self._set(Pushed("running", done, total))

    def _set(self, pushed: Pushed) -> None:
        self.pushed = pushed
        self._changed()
