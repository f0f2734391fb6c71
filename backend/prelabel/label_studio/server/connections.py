"""The HTTP server: uvicorn, with limits that it does not have itself.

Its connections are limited in number and in the time that a client may take, so that those who connect
and send nothing, or little, keep nobody out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from contextlib import suppress
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from prelabel.errors import UserError
from prelabel.label_studio.server.guard import REASON

_MOST = 1000
"""Connections at once, where enough files may be open."""
_WAITING = 1024
"""Clients that wait until they are accepted; the system may allow fewer."""
_FILES = 4096
"""Files that may be open are raised to this number where that is allowed."""
_GRACE = 10.0
"""Seconds in which a client must have sent its request, and as many more as ..."""
_RATE = 1_000_000
"""... this number of bytes fits into what it has sent."""
_READ_WITHIN = 100.0
"""Seconds in which a client must have read an answer that does not fit into the system's buffers."""


def http_server(app: ASGIApp, *, host: str, port: int) -> uvicorn.Server:
    """A server for the application. Its process may have fewer connections than open files."""
    files = _open_files()
    logging.getLogger("asyncio").addFilter(_OnceAMinute())
    return _Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=_protocol(most=min(_MOST, files // 2)),
            ws="none",
            # Each round of the event loop accepts this many connections, before it can close any.
            backlog=max(4, min(128, files // 16)),
            log_level="error",  # what strangers send is no reason for a line in the log
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
    )


def bind(host: str, port: int) -> socket.socket:
    """The socket of an address, which nobody else can take any more.

    It listens: who connects before the server runs waits for it. Raises UserError.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        if os.name == "posix":  # elsewhere it would let two programs listen
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(_WAITING)  # until then, POSIX lets others bind it as well
    except OSError as error:
        raise UserError(
            f"{host}, port {port}: nobody can listen there ({error.strerror}): stop the program that "
            "does, or choose another --port or --host"
        ) from error
    return found


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; more clients may wait to be accepted than are accepted at once."""
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                with listening.dup() as same:
                    same.listen(_WAITING)


def _protocol(*, most: int) -> type[asyncio.Protocol]:
    class Protocol(LimitedProtocol):
        most_connections = most

    return Protocol


class LimitedProtocol(H11Protocol):
    """One connection. ``most_connections``: if there are more, the one that has waited longest for
    its client is closed; if none waits, the new one."""

    most_connections = _MOST

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.conn = _Connection(h11.SERVER)
        self._waits_since: float | None = self.loop.time()  # for its client's next request
        self._received = 0
        self._timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            waiting = [c for c in self.connections if isinstance(c, LimitedProtocol)]
            min(waiting, key=LimitedProtocol._waits_from).abort()
        self._timer = self.loop.call_later(_GRACE, self._check)

    def data_received(self, data: bytes) -> None:
        """Some of a request has arrived."""
        self._received += len(data)
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._waits_since = None

    def on_response_complete(self) -> None:
        """An answer was sent; the next request may follow."""
        if self._waits_since is None:
            self._waits_since, self._received = self.loop.time(), 0
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Somebody has closed it."""
        for timer in (self._timer, self._read_timer):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        super().pause_writing()
        self._read_timer = self.loop.call_later(_READ_WITHIN, self.abort)

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        if self._read_timer:
            self._read_timer.cancel()

    def send_400_response(self, msg: str) -> None:
        """To what is not HTTP; nothing where an answer was sent already."""
        with suppress(h11.LocalProtocolError):
            super().send_400_response(msg)
        self.transport.close()

    def abort(self) -> None:
        """Close it at once."""
        self.connections.discard(self)  # before it is lost, so that no other one is closed for it
        self.transport.abort()

    def _waits_from(self) -> float:
        return float("inf") if self._waits_since is None else self._waits_since

    def _check(self) -> None:
        left = _GRACE
        if self._waits_since is not None:
            left += self._received / _RATE - (self.loop.time() - self._waits_since)
        if left <= 0:
            self.abort()
        else:
            self._timer = self.loop.call_later(left, self._check)


class _Connection(h11.Connection):
    """Sends the text of a header as the reason phrase."""

    def send_with_data_passthrough(self, event: h11.Event) -> list[bytes] | None:
        """The bytes of an event, for ``send``."""
        if isinstance(event, h11.Response):
            reason = dict(event.headers).get(REASON.encode())
            if reason:
                headers = [(k, v) for k, v in event.headers if k != REASON.encode()]
                event = h11.Response(status_code=event.status_code, headers=headers, reason=reason)
        return super().send_with_data_passthrough(event)


class _OnceAMinute(logging.Filter):
    """Lets one record with a message pass in a minute: a system without free files would give
    thousands a second."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is logged."""
        text, now = record.getMessage()[:40], time.monotonic()
        self._passed = {key: at for key, at in self._passed.items() if now - at < 60}
        return self._passed.setdefault(text, now) == now


def _open_files() -> int:
    """How many files this process may have open, after raising that where it is allowed."""
    try:
        import resource
    except ImportError:  # Windows
        return 2 * _MOST
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return _FILES if soft == resource.RLIM_INFINITY else soft
