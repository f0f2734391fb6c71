"""One deadline for a whole download, whatever its servers send, and however slowly."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from prelabel.errors import PhotoError


class _Stream(Protocol):
    """A connection, as httpx's extensions give it."""

    def get_extra_info(self, info: str) -> object: ...


class Deadline:
    """Cuts the connections of a download when its time is over: a timeout for each read would never
    end one that sends a byte now and then, or one "100 Continue" after another."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._clock = threading.Timer(seconds, self._cut)
        self._clock.daemon = True

    def __enter__(self) -> Self:
        self._clock.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clock.cancel()
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()

    @property
    def left(self) -> float:
        """Seconds, not less than 0."""
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Raises PhotoError if the time is over."""
        if not self.left:
            raise PhotoError(f"cannot be fetched (not done after {self._seconds:.3g} seconds)")

    def trace(self, event: str, facts: dict[str, object]) -> None:
        """For httpx's extension ``trace``: watch the connections that a request makes."""
        if event == "connection.connect_tcp.complete":
            self.watch(facts["return_value"])  # type: ignore[arg-type]

    def watch(self, stream: _Stream) -> None:
        """Cut this connection too."""
        watched = stream.get_extra_info("socket")
        if isinstance(watched, socket.socket):
            with self._lock, suppress(OSError):  # closed already
                # Another handle of the connection: TLS takes this one for itself.
                handle = socket.socket(fileno=socket.dup(watched.fileno()))
                self._sockets.append(handle)
            if not self.left:
                self._cut()

    def _cut(self) -> None:
        with self._lock:
            for handle in self._sockets:
                with suppress(OSError):
                    handle.shutdown(socket.SHUT_RDWR)
