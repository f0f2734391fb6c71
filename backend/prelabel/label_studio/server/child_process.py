"""Work in a process of its own: at lower priority, and never outliving its parent."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Generic, TypeVar

log = logging.getLogger(__name__)
_NICE = 10
"""How much lower the priority of heavy work is: the server answers first."""
_END_AFTER = 15.0
"""Seconds after SIGTERM, in which the parent, which has got it too, stops this process."""

Argument = TypeVar("Argument")
Message = TypeVar("Message")


class _EndOfMessages:
    """The last entry of an outbox."""


class Child(Generic[Argument, Message]):
    """A started process that runs ``work(pipe, argument)``; ``pipe`` is its end of ours.

    ``on_message``: called in a thread with each message from it. ``on_exit``: called in that
    thread, once, when the process is gone, for whatever reason. If a thread of this object fails, the
    process is ended too: a message may have been lost.
    """

    def __init__(
        self,
        work: Callable[[Connection, Argument], None],
        argument: Argument,
        *,
        name: str,
        on_message: Callable[[Message], None],
        on_exit: Callable[[], None],
    ) -> None:
        context = multiprocessing.get_context("spawn")  # threads and torch do not survive a fork
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_main, args=(work, theirs, argument), name=name, daemon=True
        )
        self._process.start()
        theirs.close()
        self._outbox: SimpleQueue[object] = SimpleQueue()
        self._on_message = on_message
        self._on_exit = on_exit
        self._threads = [
            threading.Thread(target=self._read, name=f"{name} reader", daemon=True),
            threading.Thread(target=self._write, name=f"{name} writer", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """The process' number."""
        return self._process.pid or 0

    @property
    def broken(self) -> bool:
        """Whether the process can no longer be talked to."""
        return not all(thread.is_alive() for thread in self._threads)

    def send(self, message: object) -> None:
        """Send a message without waiting until it is received. One to a process that is gone is
        lost (``on_exit`` is called then)."""
        self._outbox.put(message)

    def stop(self, *, wait: float = 0.0) -> None:
        """End it: with a request and ``wait`` seconds to follow it, then by a kill. What it has
        written to stores is whole."""
        if wait:
            self.send(None)
            self._process.join(wait)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()

    def _read(self) -> None:
        try:
            while True:
                self._on_message(self._pipe.recv())
        except (EOFError, OSError):
            pass
        except BaseException:  # whatever it is, the process does not outlive this thread
            self._fail()
        self._process.join()
        self._outbox.put(_EndOfMessages())
        self._on_exit()

    def _write(self) -> None:
        """In a thread of its own: a process that is starting reads nothing for seconds, and a pipe
        holds little."""
        try:
            while not isinstance(message := self._outbox.get(), _EndOfMessages):
                with contextlib.suppress(OSError):
                    self._pipe.send(message)
        except BaseException:  # such as a message that cannot be sent
            self._fail()

    def _fail(self) -> None:
        log.exception("%s is ended", threading.current_thread().name)
        self._process.kill()


def _main(
    work: Callable[[Connection, Argument], None], pipe: Connection, argument: Argument
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the parent ends this process
    signal.signal(signal.SIGTERM, _end_soon)  # a service manager sends it to both
    with contextlib.suppress(OSError, AttributeError):
        os.nice(_NICE)
    try:
        work(pipe, argument)
    except BaseException:
        log.exception("the process ends")
    finally:
        os._exit(0)  # threads that wait for something must not keep it


def _end_soon(*_: object) -> None:
    """End if the parent has not done it by then: it is told of a death that it has not caused."""
    threading.Timer(_END_AFTER, os._exit, (1,)).start()


def exit_with_parent(pipe: Connection) -> None:
    """For a child that does not read its pipe otherwise: exit at the first message, or when the
    parent is gone."""

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            pipe.recv()
        os._exit(1)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()
