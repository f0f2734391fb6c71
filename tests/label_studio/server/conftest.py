"""A small Label Studio on loopback, and a backend for the tests that do no harm to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from prelabel.label_studio.server.service import Service
from support.backend import started
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
