"""What strangers can do to `prelabel serve`: memory that it takes, and whether others are answered."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from support.fake_label_studio import FakeLabelStudio
from support.serving import needs_proc, serving

pytestmark = [pytest.mark.slow, needs_proc]
JSON = {"Content-Type": "application/json"}
LISTS = b"[]," * 33_000_000


def resident(pid: int) -> float:
    """Megabytes that a process holds at most so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


@contextmanager
def polled(url: httpx.URL) -> Iterator[list[float]]:
    """The seconds that /health takes for a new client, again and again."""
    seconds: list[float] = []
    done = threading.Event()

    def poll() -> None:
        while not done.wait(0.05):
            began = time.monotonic()
            assert httpx.get(f"{url}/health", timeout=30).json()["status"] == "UP"
            seconds.append(time.monotonic() - began)

    with ThreadPoolExecutor(1) as pool:
        polling = pool.submit(poll)
        try:
            yield seconds
        finally:
            done.set()
            polling.result(60)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/webhook", b'{"action":"x","task":[%s[]]}' % LISTS),
        ("/predict", b'{"tasks":[{"id":1,"annotations":[%s[]]}]}' % LISTS),
        ("/predict", b'{"tasks":[{"id":1,"data":{"a":[%s[]]}}]}' % LISTS),
        ("/predict", b'{"tasks":[%s{"id":1}]}' % (b'{"id":1},' * 10_900_000)),
        ("/setup", b'{"project":"1.1","schema":"%s"}' % (b"<View/>" * 14_000_000)),
    ],
    ids=["webhook", "annotations", "data", "tasks", "setup"],
)
def test_large_body__takes_little_memory_and_stops_nobody(
    path: str, body: bytes, server: FakeLabelStudio, tmp_path: Path
) -> None:
    with serving(tmp_path, server) as (process, http):
        before = resident(process.pid)
        with polled(http.base_url) as seconds, suppress(httpx.WriteError):  # refused while sent
            assert http.post(path, content=body, headers=JSON).status_code < 500
        assert resident(process.pid) - before < 300
        print(f"{path}: /health took {max(seconds):.2f} s at most")
        assert sorted(seconds)[len(seconds) // 2] < 1


def test_unfinished_bodies__take_little_memory_and_stop_nobody(
    server: FakeLabelStudio, tmp_path: Path
) -> None:
    piece = b"1," * 500_000

    def send(client: socket.socket) -> None:
        with suppress(OSError):
            client.sendall(b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            client.sendall(b"Content-Type: application/json\r\nContent-Length: 98000000\r\n\r\n[")
            for _ in range(97):
                client.sendall(piece)

    with serving(tmp_path, server) as (process, http), ExitStack() as opened:
        before = resident(process.pid)
        address = (http.base_url.host, http.base_url.port or 0)
        clients = [opened.enter_context(socket.create_connection(address)) for _ in range(15)]
        with polled(http.base_url) as seconds, ThreadPoolExecutor(15) as pool:
            list(pool.map(send, clients))
            answer = http.post("/predict", json={"tasks": [], "project": "1.1"})
            assert answer.status_code == 400  # an unknown project: it was read
        assert resident(process.pid) - before < 300
        assert sorted(seconds)[len(seconds) // 2] < 1


def test_two_hundred_clients_at_once(server: FakeLabelStudio, tmp_path: Path) -> None:
    with serving(tmp_path, server) as (process, http):
        before = resident(process.pid)

        def ask(_: int) -> list[int]:
            with httpx.Client(base_url=http.base_url, timeout=60) as client:
                paths = ("/", "/health", "/versions", "/metrics")
                return [client.get(path).status_code for path in paths]

        with ThreadPoolExecutor(200) as pool:
            answers = list(pool.map(ask, range(200)))
        assert answers == [[200] * 4] * 200
        assert resident(process.pid) - before < 300
