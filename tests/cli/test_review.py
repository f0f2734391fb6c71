"""The command review, as a process of its own: an edit is kept whatever happens to it."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from prelabel.cli.review import listen, show
from prelabel.errors import UserError
from prelabel.review.edits import NameEdit
from support.command_line import COMMAND, Finished, refused
from support.review_source import review_of

pytestmark = pytest.mark.slow


@pytest.fixture
def run(done: Finished, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    return Path(shutil.copytree(done.out, tmp_path / "run"))


@contextmanager
def reviewing(run: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """The command, and a client that has loaded its page."""
    process = subprocess.Popen(
        [*COMMAND, "review", str(run), "--port", "0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        said = next(line for line in process.stderr if "http://" in line)
        address = next(word for word in said.split() if word.startswith("http://"))
        with httpx.Client(base_url=address, timeout=60) as client:
            page = client.get("/").text
            token = page.partition('"prelabel-token" content="')[2].partition('"')[0]
            client.headers["X-Prelabel-Token"] = token
            yield process, client
    finally:
        process.kill()
        process.wait(30)


def test_review__killed_between_edits_loses_none(run: Path) -> None:
    with reviewing(run) as (process, client):
        state = client.get("/api/state").json()
        first = state["classes"][0]["id"]
        edit = {"kind": "name", "classes": [first], "name": "disc"}
        assert client.post("/api/edits", json=edit).status_code == 200
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    with reviewing(run) as (process, client):
        state = client.get("/api/state").json()
        assert [c["name"] for c in state["classes"] if c["id"] == first] == ["disc"]
        assert state["undo"] == [f"name disc: class {first + 1}"]
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=60)
        assert process.returncode == 0
    assert "report: 4 of 4" in said
    assert str(run / "report" / "index.html") in printed
    coco = json.loads((run / "coco" / "instances.json").read_text())
    assert "disc" in [c["name"] for c in coco["categories"]]
    assert "disc" in (run / "report" / "index.html").read_text()


def test_review__a_port_that_is_taken_says_so(run: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        message = refused("review", run, "--port", taken.getsockname()[1])
    assert "choose another --port" in message


def test_review__without_the_extra_says_what_to_install(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in ("prelabel.label_studio.server.connections",):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert "pip install 'prelabel[serve]'" in refused("review", run)


def test_show__edits_that_do_not_count_at_the_end_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    review, source = review_of(tmp_path, failing=UserError("the folder is in use"))

    def interrupted(*_: object) -> None:
        review.edit(NameEdit([0], "cat"))
        raise KeyboardInterrupt

    monkeypatch.setattr(uvicorn.Server, "run", interrupted)
    with listen(0) as place:
        show(review, place)
    said = capsys.readouterr().err
    assert "the last edits are kept, but do not count yet: the folder is in use" in said
    assert not source.applied
