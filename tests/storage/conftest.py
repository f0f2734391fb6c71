"""Object storage for tests: fsspec's memory, and S3 as moto's server has it."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from typing import Any

import pytest


def _fsspec() -> Any:
    return pytest.importorskip(
        "fsspec", reason="fsspec is not installed: pip install 'prelabel[cloud]'"
    )


@pytest.fixture
def memory() -> Iterator[str]:
    """The address of an empty folder in memory."""
    fsspec = _fsspec()
    system = fsspec.filesystem("memory")
    name = f"/{uuid.uuid4().hex}"
    yield f"memory:/{name}"
    if system.exists(name):
        system.rm(name, recursive=True)


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """The file system of a server like S3 on this machine, with a bucket ``photos``."""
    fsspec = _fsspec()
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'prelabel[cloud]'")
    server = pytest.importorskip(
        "moto.server", reason="moto is not installed: pip install 'moto[server]'"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = server.ThreadedMotoServer("127.0.0.1", port, verbose=False)
    running.start()
    options = {"endpoint_url": f"http://127.0.0.1:{port}", "key": "any", "secret": "any"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fsspec.config.conf, "s3", options)
        system = fsspec.filesystem("s3", use_listings_cache=False)
        if not system.exists("photos"):  # moto keeps buckets as long as the process lives
            system.mkdir("photos")
        try:
            yield system
        finally:
            running.stop()
