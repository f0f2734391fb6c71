"""The command serve: the options that it refuses, and the server that it starts."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import uvicorn

from support.command_line import LIGHT, cli, refused


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRELABEL_HOME", str(tmp_path))
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "PRELABEL_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PRELABEL_BASIC_AUTH", raising=False)


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
