"""The label-studio commands, and export of a project, against a small server on loopback."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import Result

from prelabel.cli.label_studio import demo, predict
from prelabel.config import Config
from prelabel.label_studio.bulk import Totals
from prelabel.label_studio.create import Backend
from prelabel.label_studio.demo import session
from prelabel.label_studio.demo.local_server import Login
from prelabel.label_studio.demo.session import Demo
from prelabel.label_studio.format.unnamed_labels import add_labels
from prelabel.label_studio.led_tasks import Leading
from prelabel.label_studio.project_home import open_folder
from prelabel.storage.progress import Progress
from support.command_line import LIGHT, cli, refused
from support.fake_label_studio import BRUSH, TOKEN, FakeLabelStudio, running


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLabelStudio]:
    """A server with project 1 of 4 photos; models are kept in a folder of this test."""
    monkeypatch.setenv("PRELABEL_HOME", str(tmp_path / "home"))
    with running() as started:
        started.project(4)
        yield started


def _command(server: FakeLabelStudio, *words: str) -> Result:
    return cli(*words, *_where(server))


def _where(server: FakeLabelStudio) -> tuple[str, ...]:
    return "--project", "1", "--url", server.url


def _access(server: FakeLabelStudio) -> Mapping[str, str]:
    return {"LABEL_STUDIO_API_KEY": TOKEN}


def _rows(result: Result) -> dict[str, str]:
    """The rows of the table that a command prints."""
    assert result.exit_code == 0, result.output
    pairs = (line.split(maxsplit=1) for line in result.stdout.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def test_predict__imports_a_prediction_for_every_task(server: FakeLabelStudio) -> None:
    words = ("label-studio", "predict", *_where(server), *LIGHT)
    rows = _rows(cli(*words, "--dry-run", env=_access(server)))
    assert rows["predicted"].startswith("4 would get")
    assert not any(task["predictions"] for task in server.tasks.values())

    rows = _rows(cli(*words, env=_access(server)))
    assert rows["predicted"].startswith("4 got")
    predictions = [task["predictions"] for task in server.tasks.values()]
    assert [len(own) for own in predictions] == [1] * 4
    assert {own[0]["model_version"] for own in predictions} == {rows["model"]}

    assert _rows(cli(*words, env=_access(server)))["predicted"].startswith("0 got")


@pytest.mark.parametrize(("strict", "code"), [(False, 0), (True, 1)])
def test_predict__lists_failed_tasks(server: FakeLabelStudio, strict: bool, code: int) -> None:
    for _ in range(6):
        server.task(1, image="/data/upload/gone.png")
    words = ["label-studio", "predict", *_where(server), *LIGHT, *(["--strict"] * strict)]
    result = cli(*words, env=_access(server))
    assert result.exit_code == code
    assert "6 tasks" in result.stdout
    assert "task 5: " in result.stdout
    assert "task 10: " not in result.stdout
    assert "1 more" in result.stdout


def test_fit_and_names(server: FakeLabelStudio) -> None:
    message = refused("label-studio", "names", *_where(server))
    assert "label-studio fit --project 1" in message

    fitted = cli("label-studio", "fit", *_where(server), *LIGHT, env=_access(server))
    assert "4 tasks" in _rows(fitted)["fitted"]

    shown = _command(server, "label-studio", "names").stdout
    assert shown.splitlines()[0].split(maxsplit=2) == ["object", "1", "not named yet"]
    named = _command(server, "label-studio", "names", "--set", "1=cat").stdout
    assert "cat (1)" in named
    assert "next predictions" in named
    assert "dog (1)" in _command(server, "label-studio", "names", "--rename", "cat=dog").stdout
    for words, part in (
        (("--set", "cat"), "NUMBER=NAME"),
        (("--set", "999=cat"), "from 1 to "),
        (("--rename", "nobody=cat"), "'nobody'"),
    ):
        assert part in refused("label-studio", "names", *_where(server), *words)


def test_export__of_a_project(
    server: FakeLabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("label-studio", "predict", *_where(server), *LIGHT, env=_access(server))
    result = cli(
        *("export", *_where(server), "--what", "predictions", "--format", "coco"),
        *("--out", tmp_path / "out", "--photos-into", tmp_path / "photos"),
        env=_access(server),
    )
    assert _rows(result)["photos"] == "4"
    coco = json.loads((tmp_path / "out" / "coco" / "instances.json").read_text("utf-8"))
    assert len(coco["images"]) == 4
    assert len(list((tmp_path / "photos").rglob("*.png"))) == 4

    server.photos["/data/upload/1.png"] += bytes(1_000_000)
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "empty"))
    result = cli(
        *("export", *_where(server), "--what", "predictions", "--format", "coco"),
        *("--out", tmp_path / "other", "--photos-into", tmp_path / "others", "--max-photo-mb", "1"),
        env=_access(server),
    )
    assert "has more than 1 MB" in result.stdout
    assert len(list((tmp_path / "others").rglob("*.png"))) == 3


@pytest.mark.parametrize("once", [True, False])
def test_demo__prints_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, once: bool
) -> None:
    given: list[object] = []

    @contextmanager
    def running_demo(
        command: Path, folder: Path, config: Config, *, backbone: str, progress: Progress
    ) -> Iterator[Demo]:
        given.extend([command, folder, backbone])
        backend = Backend("http://backend", "user", "secret")
        login = Login("me@example.com", "password", "token")
        yield Demo(
            "http://page", "http://review", login, backend, Totals(), {"coco": folder / "coco"}
        )

    def interrupted() -> None:
        given.append("waited")
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "running_demo", running_demo)
    monkeypatch.setattr(demo, "wait_for_ever", interrupted)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        words = ["--folder", str(tmp_path), "--backbone", "color-texture", *(["--once"] * once)]
        result = cli("label-studio", "demo", "--command", "label-studio", *words)
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), handlers, strict=True):
            signal.signal(number, handler)
    waited = [] if once else ["waited"]
    assert given == [Path("label-studio"), tmp_path, "color-texture", *waited]
    rows = _rows(result)
    assert rows["open"] == "http://page"
    assert "http://review" in rows["begin"]
    assert "me@example.com" in rows["log"]
    assert "secret" in rows["backend"]
    assert str(tmp_path / "coco") in result.stdout
    assert ("Ctrl-C" in result.stderr) == (not once)


@pytest.mark.parametrize(
    ("terminal", "agrees", "chosen"),
    [(False, True, "first"), (True, True, "add"), (True, False, "first")],
)
def test_predict__asks_for_consent_in_a_terminal(
    terminal: bool, agrees: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: agrees)
    assert predict._unnamed(BRUSH, ask=True) == chosen
    assert predict._unnamed(BRUSH, ask=False) == "first"
    # Who has agreed once is not asked again.
    assert predict._unnamed(add_labels(BRUSH, ["object 1"]), ask=False) == "add"


def test_predict__says_what_annotations_have_taught_and_partial_is_kept(
    server: FakeLabelStudio,
) -> None:
    """An annotation without a region says that all of its photo is background."""
    server.annotate(1, [])
    words = (*_where(server), *LIGHT)
    first = cli("label-studio", "predict", *words, "--partial", env=_access(server))
    assert "taught by   1 photo (background alone)" in first.stdout
    folder = open_folder(server.url, "1.1767323045")
    assert folder.state.partial is True
    assert cli("label-studio", "fit", *words, env=_access(server)).exit_code == 0
    assert folder.state.partial is True
    complete = cli("label-studio", "fit", *words, "--complete", env=_access(server))
    assert complete.exit_code == 0
    assert folder.state.partial is False


def test_predict__order_leads_annotators_and_no_order_puts_it_back(
    server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What leads them is tested with a real server; here, that the options reach it."""
    asked: list[tuple[int, bool]] = []

    def lead(*place: object, keep_project_settings: bool, **_: object) -> list[int]:
        asked.append((int(str(place[2])), keep_project_settings))
        return [3, 1]

    monkeypatch.setattr("prelabel.label_studio.leading.lead", lead)
    words = (*_where(server), *LIGHT)
    kept = cli(
        "label-studio", "predict", *words, "--order", "--keep-project-settings", env=_access(server)
    )
    assert kept.exit_code == 0, kept.output
    assert "the 2 tasks that teach most come first in the tab 'Teaches most first'" in kept.stdout
    assert asked == [(1, True)]
    monkeypatch.setattr(
        "prelabel.label_studio.led_tasks.read_leading", lambda _: Leading(sampling="Sequential")
    )
    both = cli("label-studio", "predict", *words, "--order", env=_access(server))
    assert both.exit_code == 0, both.output
    assert "first', and with Label All Tasks" in both.stdout
    assert asked[1:] == [(1, False)]
    for changed, said in ((True, "put back as it was"), (False, "was not changed")):
        monkeypatch.setattr("prelabel.label_studio.leading.put_back", lambda *_, done=changed: done)
        back = cli("label-studio", "predict", *words, "--no-order", env=_access(server))
        assert back.exit_code == 0, back.output
        assert said in back.stdout
    assert len(asked) == 2
