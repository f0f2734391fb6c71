"""Work in a process of its own: at lower priority, and never outliving who started it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

_NICE = 10
"""Steps of priority that heavy work gives way by: the server in front answers first."""
_NO_MORE = object()


class Child:
    """A started process that runs ``work(pipe, argument)``; ``pipe`` is its end of ours.

    ``heard``: called in a thread with each message. ``ended``: called in that thread, once, when
    the process is gone, however that came.
    """

    def __init__(
        self,
        work: Callable[[Connection, Any], None],
        argument: Any,
        *,
        name: str,
        heard: Callable[[Any], None],
        ended: Callable[[], None],
    ) -> None:
        context = multiprocessing.get_context("spawn")  # threads and torch do not survive a fork
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_main, args=(work, theirs, argument), name=name, daemon=True
        )
        self._process.start()
        theirs.close()
        self._letters: SimpleQueue[Any] = SimpleQueue()
        for what, thread, arguments in (
            ("reader", self._listen, (heard, ended)),
            ("writer", self._write, ()),
        ):
            threading.Thread(
                target=thread, args=arguments, name=f"{name} {what}", daemon=True
            ).start()

    @property
    def pid(self) -> int:
        """The process' number."""
        return self._process.pid or 0

    def send(self, message: Any) -> None:
        """Hand over a message, without waiting for it to be taken; one to a process that is gone is
        lost (``ended`` tells)."""
        self._letters.put(message)

    def stop(self, *, wait: float = 0.0) -> None:
        """End it: asked to for ``wait`` seconds, then at once. What it has in stores is whole."""
        if wait:
            self.send(None)
            self._process.join(wait)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()

    def _listen(self, heard: Callable[[Any], None], ended: Callable[[], None]) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                heard(self._pipe.recv())
        self._process.join()
        self._letters.put(_NO_MORE)
        ended()

    def _write(self) -> None:
        """In a thread of its own: a process that is starting takes nothing for seconds, and a pipe
        holds little."""
        while (message := self._letters.get()) is not _NO_MORE:
            with contextlib.suppress(OSError):
                self._pipe.send(message)


def _main(work: Callable[[Connection, Any], None], pipe: Connection, argument: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: who started us ends us
    with contextlib.suppress(OSError, AttributeError):
        os.nice(_NICE)
    try:
        work(pipe, argument)
    finally:
        os._exit(0)  # threads that wait for something must not keep it


def die_with(pipe: Connection) -> None:
    """For a child that does not read its pipe otherwise: end at the first message, or when who
    started it is gone."""

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            pipe.recv()
        os._exit(1)

    threading.Thread(target=watch, name="watch", daemon=True).start()
