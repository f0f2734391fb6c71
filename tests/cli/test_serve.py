"""The command serve: the options that it refuses, and the server that it starts."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from prelabel.label_studio.server import service
from prelabel.label_studio.server.jobs import WorkerSettings
from prelabel.label_studio.server.queue import Queue
from support.command_line import LIGHT, cli, refused
from support.messages import assert_says


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRELABEL_HOME", str(tmp_path))
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "PRELABEL_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("PRELABEL_BASIC_AUTH", "PRELABEL_SAM"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--host", "0.0.0.0"], "PRELABEL_BASIC_AUTH=USER:PASSWORD"),
        (["--basic-auth", "user"], "expected USER:PASSWORD"),
        (["--token", "secret"], "LABEL_STUDIO_URL is not"),
    ],
)
def test_serve__refuses_options_that_do_not_go_together(options: list[str], part: str) -> None:
    message = refused("serve", *LIGHT, *options)
    assert part in message
    assert "secret" not in message


def test_serve__refuses_a_model_that_osam_does_not_have() -> None:
    pytest.importorskip("osam", reason="osam is not installed: pip install 'prelabel[sam]'")
    assert_says(refused("serve", *LIGHT, "--sam", "sam3"), "'sam3'", "efficientsam:10m")


def test_serve__says_how_to_install_osam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "prelabel.weights.sam", raising=False)
    monkeypatch.setitem(sys.modules, "osam", None)
    message = refused("serve", *LIGHT, "--sam", "sam2:tiny")
    assert_says(message, "osam is missing", "pip install 'prelabel[sam]'")


def test_serve__names_the_licence_and_gives_the_model_to_the_worker(
    tiny_sam: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    given: list[str] = []

    def queue(settings: WorkerSettings, **options: Any) -> Queue:
        given.append(settings.sam)
        return Queue(settings, **options)

    monkeypatch.setattr(service, "Queue", queue)
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_: None)
    result = cli("serve", *LIGHT, "--port", "0", "--sam", tiny_sam)
    assert result.exit_code == 0
    assert given == [tiny_sam]
    assert "Apache-2.0" in caplog.text


def test_serve__starts_a_server_where_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, int]] = []

    def run(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        started.extend(place.getsockname() for place in sockets)

    monkeypatch.setattr(uvicorn.Server, "run", run)
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    options = ("--host", "0.0.0.0", "--port", str(port), "--basic-auth", "user:password")
    result = cli("serve", *LIGHT, *options)
    assert result.exit_code == 0
    assert started == [("0.0.0.0", port)]
    assert f"http://0.0.0.0:{port}" in result.stderr
