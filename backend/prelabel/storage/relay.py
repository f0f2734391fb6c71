"""Output to a pipe that perhaps nobody reads: who logs must not wait for who reads."""

from __future__ import annotations

import os
import select
import stat
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from queue import SimpleQueue

_HELD = 1_000_000
"""Bytes that wait for a reader."""
_LOOK_EVERY = 0.2
"""Seconds in which the end is noticed."""
_LAST = 1.0
"""Seconds that the reader has for the last lines."""


@contextmanager
def relayed_output() -> Iterator[None]:
    """Within, writing to standard output and error never waits for their reader, in this process and
    in those that it starts. What exceeds ``_HELD`` bytes is left out, which is said as soon as somebody
    reads. Only pipes and sockets are relayed: files need no reader, and a terminal has one."""
    with ExitStack() as relays:
        for places in _pipes() if os.name == "posix" else ():
            relays.callback(_Relay(places).close)
        yield


def _pipes() -> list[list[int]]:
    """Standard output and error, together if they are the same pipe, so that lines keep their order."""
    found = defaultdict(list)
    for place in (1, 2):
        with suppress(OSError):  # it is closed
            facts = os.fstat(place)
            if stat.S_ISFIFO(facts.st_mode) or stat.S_ISSOCK(facts.st_mode):
                found[facts.st_dev, facts.st_ino].append(place)
    return list(found.values())


class _Relay:
    """Takes what is written to some of this process' files at once, and passes it on when it can.

    ``places``: their numbers; all are the same pipe.
    """

    def __init__(self, places: list[int]) -> None:
        self._places = places
        self._out = os.dup(places[0])
        self._taken, ours = os.pipe()
        for place in places:
            os.dup2(ours, place)
        os.close(ours)
        self._waiting: SimpleQueue[bytes | None] = SimpleQueue()
        self._n_held = self._n_lost = 0
        self._counts = threading.Lock()
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=f"output {work.__name__}", daemon=True)
            for work in (self._take, self._pass_on)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Have the files as they were; a reader gets the last lines if it reads them now."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for place in self._places:
            os.dup2(self._out, place)
        self._closing.set()
        for thread in self._threads:
            thread.join(_LAST)

    def _take(self) -> None:
        # Not until the end of the file: processes that this one has started may hold it for longer.
        while True:
            if select.select([self._taken], [], [], _LOOK_EVERY)[0]:
                self._keep(os.read(self._taken, 65536))
            elif self._closing.is_set():
                self._waiting.put(None)
                return

    def _keep(self, data: bytes) -> None:
        with self._counts:
            if self._n_held + len(data) > _HELD:
                self._n_lost += len(data)
                return
            self._n_held += len(data)
        self._waiting.put(data)

    def _pass_on(self) -> None:
        while (data := self._waiting.get()) is not None:
            self._write(data)
            with self._counts:
                self._n_held -= len(data)
                n_lost, self._n_lost = self._n_lost, 0
            if n_lost:
                self._write(
                    f"prelabel: {n_lost} bytes of output left out: nobody read it\n".encode()
                )

    def _write(self, data: bytes) -> None:
        with suppress(OSError):  # the reader is gone
            while data:
                data = data[os.write(self._out, data) :]
