"""`prelabel serve` as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from prelabel.label_studio.demo.local_server import free_port
from support.fake_label_studio import FakeLabelStudio, wait_for

COMMAND = (sys.executable, "-m", "prelabel", "serve")
TINY = ("--recipe", "fast", "--backbone", "color-texture", "--set", "features.size=112")


@contextmanager
def serving(
    folder: Path, server: FakeLabelStudio, *options: str, pipe: int | None = None, **more: str
) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """The command in a process group of its own, and a client for it. ``pipe``: the end of one, for
    what it prints; else it goes to serve.log."""
    port = free_port(0)
    environment = {
        **os.environ,
        "PRELABEL_HOME": str(folder / "home"),
        "PRELABEL_CACHE": str(folder / "cache"),
        **more,
    }
    log = folder / "serve.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*COMMAND, *TINY, "--port", str(port), *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output if pipe is None else pipe,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            wait_for(lambda: process.poll() is not None or _up(client))
            assert process.poll() is None, log.read_text()
            yield process, client
    finally:
        for pid in group(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()


def _up(client: httpx.Client) -> bool:
    try:
        return client.get("/health").is_success
    except httpx.TransportError:
        return False


def group(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and state != "Z":
            found.append(int(folder.name))
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
