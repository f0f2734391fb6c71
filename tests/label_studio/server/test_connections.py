"""Connections of strangers: slow ones, silent ones, too many, and what is not HTTP."""

from __future__ import annotations

import logging
import random
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router

from prelabel.errors import UserError
from prelabel.label_studio.demo.local_server import free_port
from prelabel.label_studio.server import connections
from prelabel.label_studio.server.connections import http_server
from prelabel.label_studio.server.guard import Access, Guard
from prelabel.label_studio.server.metrics import Metrics
from prelabel.label_studio.server.problems import ProblemLog
from support.fake_label_studio import wait_for

Address = tuple[str, int]
LONG = 40_000_000


async def _answer(request: Request) -> Response:
    return PlainTextResponse(f"{len(await request.body())}")


async def _early(_: Request) -> Response:
    return PlainTextResponse("no", status_code=401)


async def _long(_: Request) -> Response:
    return Response(b"x" * LONG)


@contextmanager
def serving() -> Iterator[tuple[uvicorn.Server, Address]]:
    """A small application behind our server."""
    routes = [
        Route("/", _answer, methods=["GET", "POST"]),
        Route("/early", _early, methods=["POST"]),
        Route("/long", _long),
    ]
    app = Guard(Router(routes=routes), Access(), Metrics(), ProblemLog())
    server = http_server(app, host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield server, server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[Address]:
    """Of a server with short deadlines and few connections."""
    monkeypatch.setattr(connections, "_GRACE", 0.4)
    monkeypatch.setattr(connections, "_MOST", 20)
    with serving() as (_, found):
        yield found


def seconds_until_closed(client: socket.socket) -> float:
    began = time.monotonic()
    client.settimeout(10)
    with suppress(ConnectionError):
        while client.recv(65_536):
            pass
    return time.monotonic() - began


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\nhalf",
        b"POST /early HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\nhalf",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HT",
    ],
)
def test_half_open__is_closed(sent: bytes, address: Address) -> None:
    with socket.create_connection(address) as client:
        client.sendall(sent)
        assert 0.1 < seconds_until_closed(client) < 5.9


@pytest.mark.parametrize("path", ["/", "/early"])
def test_slow_sender__is_closed_however_often_it_sends(path: str, address: Address) -> None:
    with socket.create_connection(address) as client:
        client.sendall(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n".encode()
        )
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - began < 5:
                client.sendall(b"x")
                time.sleep(0.05)


def test_large_body__has_the_time_that_it_needs(address: Address) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(6):
            yield b"x" * 200_000
            time.sleep(0.15)  # 0.9 s together, with 0.4 s and 1 s for each MB

    answer = httpx.post(f"http://{address[0]}:{address[1]}/", content=pieces())
    assert answer.text == "1200000"


def test_too_many__the_one_that_waits_longest_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "_MOST", 20)
    with serving() as (server, address), ExitStack() as clients:
        silent = [clients.enter_context(socket.create_connection(address)) for _ in range(60)]
        for _ in range(5):
            began = time.monotonic()
            answer = httpx.get(f"http://{address[0]}:{address[1]}/")
            assert answer.status_code == 200
            assert time.monotonic() - began < 1
        assert seconds_until_closed(silent[0]) < 1
        assert len(server.server_state.connections) <= 20


def test_client_that_does_not_read__is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_READ_WITHIN", 0.5)
    with serving() as (server, address), socket.create_connection(address) as client:
        client.sendall(b"GET /long HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        wait_for(lambda: not server.server_state.connections, seconds=5)


def test_keep_alive__goes_on_beyond_the_deadline(address: Address) -> None:
    with httpx.Client(base_url=f"http://{address[0]}:{address[1]}") as client:
        for _ in range(4):
            assert client.get("/").status_code == 200
            time.sleep(0.2)


def test_garbage__is_answered_or_closed_and_not_logged(
    address: Address, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(3)
    heads = [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /early HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nUpgrade: websocket\r\n"
        b"Connection: upgrade\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000,
        b"\x16\x03\x01",
    ]
    for _ in range(100):
        text = bytearray(chance.choice(heads))
        for _ in range(chance.randrange(4)):
            text[chance.randrange(len(text))] = chance.randrange(256)
        with socket.create_connection(address) as client:
            client.sendall(bytes(text))
            client.sendall(chance.randbytes(chance.randrange(1, 50)))
            client.settimeout(0.01)
            with suppress(TimeoutError, ConnectionError):
                client.recv(65_536)
    assert httpx.get(f"http://{address[0]}:{address[1]}/").status_code == 200
    assert capfd.readouterr().err == ""
    assert caplog.text == ""


FEW_FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))
from starlette.responses import PlainTextResponse
from prelabel.label_studio.server.connections import http_server
http_server(PlainTextResponse("yes"), host="127.0.0.1", port=int(sys.argv[1])).run()
"""


@pytest.mark.slow
def test_few_files__silent_clients_keep_nobody_out() -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", FEW_FILES, str(port)], stderr=subprocess.PIPE, text=True
    )
    try:
        with ExitStack() as clients:

            def connect() -> socket.socket | None:
                try:
                    return clients.enter_context(socket.create_connection(("127.0.0.1", port), 5))
                except OSError:
                    return None

            wait_for(connect)
            began = time.monotonic()
            for _ in range(300):
                assert connect()
            assert time.monotonic() - began < 2
            for _ in range(10):
                began = time.monotonic()
                assert httpx.get(f"http://127.0.0.1:{port}/", timeout=5).text == "yes"
                assert time.monotonic() - began < 1
    finally:
        process.kill()
    _, err = process.communicate()
    assert "accept" not in err


def test_open_files__are_raised_and_leave_room() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, before[1]))
        server = http_server(PlainTextResponse(""), host="127.0.0.1", port=0)
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft == min(4096, before[1])
        kind = server.config.http
        assert isinstance(kind, type)
        assert issubclass(kind, connections.LimitedProtocol)
        assert kind.most_connections + 4 * server.config.backlog < soft
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_log__one_message_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    http_server(PlainTextResponse(""), host="127.0.0.1", port=0)
    log = logging.getLogger("asyncio")
    for _ in range(1000):
        log.error("socket.accept() out of system resource %d", 5)
    log.error("another one")
    assert [r.message[:5] for r in caplog.records] == ["socke", "anoth"]


def test_bind__is_ours_alone_before_the_server_runs() -> None:
    with connections.bind("127.0.0.1", 0) as place:
        address = place.getsockname()
        with socket.create_connection(address, timeout=5):  # waits, is not refused
            pass
        with pytest.raises(UserError, match="nobody can listen there"):
            connections.bind("127.0.0.1", address[1])
