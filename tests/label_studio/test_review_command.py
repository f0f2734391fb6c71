"""`prelabel label-studio review` against a small server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from socket import socket

import pytest

from prelabel.cli.label_studio import review as command
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.project_home import open_folder
from prelabel.review.edits import BackgroundEdit, NameEdit
from prelabel.review.review import Review
from support.command_line import LIGHT, cli, refused
from support.fake_label_studio import BRUSH, TOKEN, FakeLabelStudio, running
from support.messages import assert_says

pytestmark = pytest.mark.slow
ACCESS = {"LABEL_STUDIO_API_KEY": TOKEN}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLabelStudio]:
    """A server with project 1 of 4 photos; models are kept in a folder of this test."""
    monkeypatch.setenv("PRELABEL_HOME", str(tmp_path / "home"))
    with running() as started:
        started.project(4, BRUSH.replace(' predicted_values="object 1"', ""))
        yield started


def _labels(server: FakeLabelStudio) -> list[list[str]]:
    """The labels of each task's predictions."""
    return [
        [item["value"]["brushlabels"][0] for p in task["predictions"] for item in p["result"]]
        for task in server.tasks.values()
    ]


def test_review__names_count_and_are_pushed(
    server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ("--project", "1", "--url", server.url)
    early = refused("label-studio", "review", *where, env=ACCESS)
    assert_says(early, "no fitted model of project 1", "prelabel label-studio fit")
    predicted = cli("label-studio", "predict", *where, *LIGHT, env=ACCESS)
    assert "prelabel label-studio review --project 1" in predicted.stdout
    n = sum(len(own) for own in _labels(server))

    def name(review: Review, place: socket) -> None:
        state = review.state(None)
        assert state
        assert sum(c.count for c in state.classes) == n
        [largest, *others] = [c.id for c in state.classes]
        review.start()
        review.edit(NameEdit([largest], "dog"))
        if others:
            review.edit(BackgroundEdit(others))
        assert review.thumbnail(0).startswith(b"\xff\xd8")
        review.stop()
        left.append(state.classes[0].count)

    left: list[int] = []
    monkeypatch.setattr(command, "show", name)
    result = cli("label-studio", "review", *where, "--port", "0", "--push", env=ACCESS)
    assert result.exit_code == 0, result.output
    assert "4 tasks have new predictions" in result.stderr
    assert [label for own in _labels(server) for label in own] == ["dog"] * left[0]
    assert all(len(task["predictions"]) == 1 for task in server.tasks.values())
    assert ExemplarFile(open_folder(server.url, "1").names).revision >= 1
