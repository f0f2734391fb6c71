"""What several test files share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from prelabel.storage.files import cache_folder
from support.label_studio_server import COMMAND, Server
from support.places import require

_USERS_CACHE = cache_folder()

# How long an example takes depends on what else the machine does.
settings.register_profile("prelabel", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("prelabel")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills the user's own cache and models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRELABEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("PRELABEL_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("PRELABEL_FEATURES", raising=False)
        yield


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for this test alone."""
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def stand_in() -> Path:
    """The stand-in's weights, linked from the user's cache; skips if they were not pulled."""
    from prelabel.weights.load import stand_in_file

    file = stand_in_file()
    pulled = _USERS_CACHE / file.relative_to(cache_folder())
    if not pulled.exists():
        pytest.skip(f"no {pulled}: prelabel weights pull stand-in")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            file.symlink_to(pulled.resolve())
        except OSError:
            shutil.copyfile(pulled, file)
    return file


@pytest.fixture
def tiny_sam(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The name of a model of osam whose masks are known by hand; see ``support/tiny_sam.py``."""
    pytest.importorskip("osam", reason="osam is not installed: pip install 'prelabel[sam]'")
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'prelabel[stand-in]'")
    from support import tiny_sam as network

    network.register(monkeypatch, tmp_path)
    yield network.NAME
    network.forget()


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real Label Studio for all tests: each makes a project of its own."""
    require("label-studio", COMMAND.exists(), f"no {COMMAND}: make label-studio-server")
    started = Server(tmp_path_factory.mktemp("label-studio"))
    try:
        started.start()
        yield started
    finally:
        started.stop()
