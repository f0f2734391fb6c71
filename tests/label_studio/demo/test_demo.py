"""The demo's login, its backend and its Label Studio, as far as they need no real one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from prelabel.errors import UserError
from prelabel.label_studio.demo import demo
from prelabel.label_studio.demo.local_server import LocalServer, Login, free_port
from support.fake_label_studio import TOKEN

LOGIN = Login("me@example.com", "password", TOKEN)


def test_backend__that_does_not_start(tmp_path: Path) -> None:
    server = LocalServer(Path("label-studio"), tmp_path, LOGIN)
    running = demo.backend(server, tmp_path, ["--no-such-option"])
    with pytest.raises(UserError, match=r"backend\.log"), running:
        pass
    assert "--no-such-option" in (tmp_path / "backend.log").read_text()


def _program(file: Path, code: str) -> Path:
    file.write_text(f"#!{sys.executable}\n{code}")
    file.chmod(0o755)
    return file


def test_label_studio__that_ends_at_once(tmp_path: Path) -> None:
    program = _program(tmp_path / "label-studio", "import sys; sys.exit('no database')")
    running = demo.label_studio(program, tmp_path / "data")
    with pytest.raises(UserError, match=r"status 1\).*server\.log:\nno database"), running:
        pass


def test_label_studio__that_is_not_there(tmp_path: Path) -> None:
    server = LocalServer(tmp_path / "gone", tmp_path, LOGIN)
    with pytest.raises(UserError, match="gone cannot be started"):
        server.start()


_SERVER = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

print(os.environ["LABEL_STUDIO_USERNAME"], os.environ["LABEL_STUDIO_HOST"], flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("-p") + 1])), Handler).serve_forever()
"""


def test_label_studio__is_stopped_at_the_end(tmp_path: Path) -> None:
    program = _program(tmp_path / "label-studio", _SERVER)
    with demo.label_studio(program, tmp_path / "data") as server:
        assert server.process is not None
        pid = server.process.pid
        printed = (tmp_path / "data" / "server.log").read_text().split()
        assert printed[:2] == [server.login.email, server.url]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_free_port__another_one_where_it_is_taken() -> None:
    first = free_port()
    assert free_port(first) == first
