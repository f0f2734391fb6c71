"""The command line as a whole: its commands, their help, wrong use, bugs, and starting up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from prelabel.cli.main import app
from support.command_line import LIGHT, cli, cli_apart, refused
from support.messages import assert_says


def test_every_command__help_ends_with_an_example() -> None:
    for words in commands(typer.main.get_command(app)):
        result = cli(*words, "--help")
        assert result.exit_code == 0
        lines = result.stdout.rstrip().splitlines()
        assert lines[-2].strip() == "Example:", words
        assert lines[-1].strip().startswith(" ".join(["prelabel", *words])), words


def commands(group: Any, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The words of each command and group that help shows, but for prelabel itself."""
    found = []
    for name, command in group.commands.items():
        if command.hidden:
            continue
        found.append((*words, name))
        if hasattr(command, "commands"):
            found += commands(command, (*words, name))
    return found


def test_commands__are_all_there() -> None:
    found = {" ".join(words) for words in commands(typer.main.get_command(app))}
    assert found >= {
        *("run", "fit", "predict", "export", "samples", "evaluate", "doctor"),
        *("plugins list", "plugins check", "plugins show", "weights pull", "weights list"),
        *("recipes list", "recipes show"),
    }


def test_label_studio_predict__has_its_old_name_still() -> None:
    usage = cli("label-studio", "prelabel", "--help").stdout
    assert usage.replace("label-studio prelabel", "label-studio predict") == (
        cli("label-studio", "predict", "--help").stdout
    )
    assert "label-studio prelabel" not in cli("label-studio", "--help").stdout


def test_version_and_no_arguments() -> None:
    assert cli("--version").stdout.startswith("prelabel 0.")
    result = cli()
    assert result.exit_code == 0
    assert "Usage: prelabel" in result.stdout


def test_usage_errors__one_line_and_2(photos: Path) -> None:
    assert_says(refused("run", photos), "'--out'", "prelabel run --help")
    assert "'runn'" in refused("runn")
    assert "--fromat" in refused("run", photos, "--fromat", "coco")


def test_bug__keeps_its_traceback(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("prelabel.runs.run.fit", broken)
    with pytest.raises(ZeroDivisionError):
        cli("run", photos, "--out", tmp_path / "out", *LIGHT)


@pytest.mark.parametrize("words", [["--help"], ["recipes", "list"], ["run", "--help"]])
def test_start_up__without_torch(words: list[str]) -> None:
    code = (
        "import sys; from prelabel.cli.main import app\n"
        f"try: app({words!r})\n"
        "except SystemExit as end: assert not end.code\n"
        "print([m for m in ('torch', 'timm', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_label_studio__without_httpx() -> None:
    code = "import sys; sys.modules['httpx'] = None; from prelabel.cli.main import main; main()"
    command = [sys.executable, "-c", code, "label-studio", "predict", "--project", "1"]
    done = subprocess.run([*command, "--token", "x"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'prelabel[label-studio]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("stand_in")
def test_no_backbone_and_no_hub__the_stand_in_with_one_line(photos: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    result = cli_apart(
        environment,
        *("run", str(photos), "--out", str(tmp_path / "out")),
        *("--recipe", "fast", "--set", "features.size=56"),
    )
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if "no backbone was named" in line]
    assert "stand-in" in line
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "Stand-in weights" in page
