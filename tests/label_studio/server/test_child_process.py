"""Processes of the backend: messages both ways, and their end."""

from __future__ import annotations

import threading
import time
from multiprocessing.connection import Connection

import pytest

from prelabel.label_studio.server.child_process import Child

pytestmark = pytest.mark.slow


def echo_lengths(pipe: Connection, pause: float) -> None:
    time.sleep(pause)  # as a process that is still importing
    while (message := pipe.recv()) is not None:
        pipe.send(len(message))


def read_nothing(pipe: Connection, started: str) -> None:
    pipe.send(started)
    threading.Event().wait()


def fail(pipe: Connection, _: None) -> None:
    raise RuntimeError("as planned")


def test_send__does_not_wait_until_it_is_received() -> None:
    lengths: list[int] = []
    ended = threading.Event()
    child = Child(echo_lengths, 1.0, name="echo", on_message=lengths.append, on_exit=ended.set)
    began = time.monotonic()
    for n in range(4):
        child.send(b"x" * (3_000_000 + n))  # no pipe holds that
    assert time.monotonic() - began < 0.5
    child.stop(wait=30)
    assert ended.wait(10)
    assert lengths == [3_000_000, 3_000_001, 3_000_002, 3_000_003]


def test_stop__of_a_process_that_does_not_listen() -> None:
    started, ended = threading.Event(), threading.Event()

    def on_message(_: str) -> None:
        started.set()

    child = Child(read_nothing, "up", name="deaf", on_message=on_message, on_exit=ended.set)
    assert started.wait(60)
    child.send(b"x" * 10_000_000)
    began = time.monotonic()
    child.stop(wait=0.5)
    assert ended.wait(10)
    assert time.monotonic() - began < 10


def test_on_exit__is_called_when_the_process_ends_by_itself() -> None:
    ended = threading.Event()
    child = Child(fail, None, name="failing", on_message=print, on_exit=ended.set)
    assert ended.wait(60)
    child.send("lost")
    child.stop()
