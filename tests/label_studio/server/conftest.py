"""A small Label Studio on loopback, and a backend for the tests that do no harm to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from prelabel.label_studio.server.app import create_app
from prelabel.label_studio.server.guard import Access
from prelabel.label_studio.server.service import Service
from support.backend import PASSWORD, SCRIPT_TOKEN, started
from support.fake_label_studio import FakeLabelStudio, running


@pytest.fixture(scope="module")
def server() -> Iterator[FakeLabelStudio]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One for all tests of a file: its processes take seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRELABEL_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("PRELABEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        with started() as found:
            yield found


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of the test's own, for a backend of its own."""
    monkeypatch.setenv("PRELABEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def open_http(service: Service) -> TestClient:
    """Without a password; the service outlives it."""
    return TestClient(
        create_app(service, Access(max_bytes=50_000)), base_url="http://127.0.0.1:9090"
    )


@pytest.fixture
def http(service: Service) -> TestClient:
    """With a password and a token."""
    return TestClient(create_app(service, Access(f"label-studio:{PASSWORD}", SCRIPT_TOKEN)))
