"""Servers on loopback that answer as a test tells them to, and a client of one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from prelabel.label_studio.api.client import Client
from support.http_server import LEGACY, Server


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as running:
        yield running


@pytest.fixture
def other() -> Iterator[Server]:
    """On another host as far as a client can tell: another port."""
    with Server().running() as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url, LEGACY, timeout=2, attempts=3, wait=0.01) as client:
        yield client
