"""What strangers can do to `prelabel serve`: memory that it takes, and whether others are answered."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from support.backend import predict_body, setup_body
from support.fake_label_studio import FakeLabelStudio, wait_for
from support.serving import group, needs_proc, serving

pytestmark = [pytest.mark.slow, needs_proc]
JSON = {"Content-Type": "application/json"}
LISTS = b"[]," * 33_000_000


def resident(leader: int) -> float:
    """Megabytes that all processes of a session hold now."""
    n_kb = 0
    for pid in group(leader):
        with suppress(OSError, ValueError, IndexError):  # it has ended
            status = Path(f"/proc/{pid}/status").read_text()
            n_kb += int(status.split("VmRSS:")[1].split()[0])
    return n_kb / 1024


@dataclass
class Watched:
    """``seconds``: that /health took for a new client, each time. ``growth``: megabytes that all
    processes held at most beyond what they held before."""

    seconds: list[float] = field(default_factory=list)
    growth: float = 0.0


@contextmanager
def watched(process: subprocess.Popen[str], url: httpx.URL) -> Iterator[Watched]:
    """What is done to a backend inside."""
    found = Watched()
    before = resident(process.pid)
    done = threading.Event()

    def measure() -> None:
        while not done.wait(0.01):
            found.growth = max(found.growth, resident(process.pid) - before)

    def poll() -> None:
        while not done.wait(0.05):
            began = time.monotonic()
            assert httpx.get(f"{url}/health", timeout=30).json()["status"] == "UP"
            found.seconds.append(time.monotonic() - began)

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(measure), pool.submit(poll)]
        try:
            yield found
        finally:
            done.set()
            for one in running:
                one.result(60)


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
        with watched(process, http.base_url) as found, suppress(httpx.WriteError):  # while sent
            assert http.post(path, content=body, headers=JSON).status_code < 500
        assert found.growth < 300
        print(f"{path}: /health took {max(found.seconds):.2f} s at most")
        assert sorted(found.seconds)[len(found.seconds) // 2] < 1


WIDE = b"\\ud83d\\ude00"
"""A character for which a decoded text takes four bytes for each of its others."""


def test_large_texts__take_little_memory_in_all_processes(
    server: FakeLabelStudio, tmp_path: Path
) -> None:
    project, [task, *_] = server.project(4)
    long, most = b"a" * 98_000_000, b"a" * 9_900_000
    image = task["data"]["image"].encode()
    four = [
        b'{"id":%d,"data":{"image":"%s","x":"%s"}}' % (number, image, WIDE + most)
        for number in range(4)
    ]
    photos = [
        b'{"id":%d,"data":{"image":"data:image/png;base64,%s"}}' % (number, most)
        for number in range(4)
    ]
    parts = {
        "one task": b'"tasks":[{"id":1,"data":{"image":"%s","x":"%s"}}]' % (image, WIDE + long),
        "tasks": b'"tasks":[%s]' % b",".join(four),
        "photos in tasks": b'"tasks":[%s]' % b",".join(photos),
        "prompt": b'"tasks":[{"id":1}],"params":{"context":{"result":["%s"]}}' % (WIDE + long),
        "label config": b'"tasks":[],"label_config":"%s"' % (WIDE + long),
        "project": b'"tasks":[{"id":1,"project":"%s"}]' % (WIDE + long),
    }
    with serving(tmp_path, server) as (process, http):
        http.post("/setup", json=setup_body(server, project)).raise_for_status()
        known = predict_body(project, [task])
        wait_for(lambda: all(http.post("/predict", json=known).json()["results"]))
        for name, part in parts.items():
            body = b'{%s,"project":"%s"}' % (part, project.encode())
            with watched(process, http.base_url) as found:
                assert http.post("/predict", content=body, headers=JSON).status_code < 500
            print(f"{name}: {found.growth:.0f} MB, /health {max(found.seconds):.2f} s at most")
            assert found.growth < 300, name


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
        address = (http.base_url.host, http.base_url.port or 0)
        clients = [opened.enter_context(socket.create_connection(address)) for _ in range(15)]
        with watched(process, http.base_url) as found, ThreadPoolExecutor(15) as pool:
            list(pool.map(send, clients))
            answer = http.post("/predict", json={"tasks": [], "project": "1.1"})
            assert answer.status_code == 400  # an unknown project: it was read
        assert found.growth < 300
        assert sorted(found.seconds)[len(found.seconds) // 2] < 1


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


def test_log_that_nobody_reads__stops_nobody(server: FakeLabelStudio, tmp_path: Path) -> None:
    project, tasks = server.project(1)
    refused = {"id": 10_000, "data": {"image": "http://10.0.0.1/photo.jpg"}}
    unread, end = os.pipe()
    os.set_blocking(end, False)
    with suppress(BlockingIOError):  # it is full
        while True:
            os.write(end, b"x" * 1024)
    os.set_blocking(end, True)
    with serving(tmp_path, server, pipe=end) as (_, http):
        os.close(end)
        http.post("/setup", json=setup_body(server, project)).raise_for_status()
        for _ in range(3):
            [nothing] = http.post("/predict", json=predict_body(project, [refused])).json()[
                "results"
            ]
            assert not nothing
        [answer] = http.post("/predict", json=predict_body(project, tasks)).json()["results"]
        assert answer["result"]
        assert "10.0.0.1" in http.get("/").text
    os.close(unread)
