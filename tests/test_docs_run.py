"""What the documents tell to type works as it stands there, on small photos and random weights."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from prelabel.weights.models import STAND_IN_ARCHITECTURE
from support.command_line import COMMAND, write_discs, write_labels
from support.places import ROOT
from support.random_vit import write_weights

pytestmark = pytest.mark.slow

DOCUMENTS = ("README.md", "docs/python.md", "docs/formats.md", "docs/labels.md", "docs/photos.md")
_NEED_MORE = ("pip ", "make ", "yolo ", "export ", "prelabel label-studio", "prelabel serve")
"""Commands that need a network, a server or another program; ``make`` has tests of its own."""

_OWN = {"--photo cat.jpg": "--photo 'photo 0.png'", "--class cat": "--class red"}
"""What stands in the documents, and what the small photos have instead."""


def _blocks(document: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", (ROOT / document).read_text("utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Weights in the place of the stand-in's, which are taken where no hub answers."""
    cache = tmp_path_factory.mktemp("cache")
    (cache / "weights").mkdir()
    weights = write_weights(cache / "weights", STAND_IN_ARCHITECTURE)
    weights.rename(cache / "weights" / "stand-in-vits14.safetensors")
    return {**os.environ, "PRELABEL_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the documents' commands are typed."""
    photos = write_discs(tmp_path / "photos", 4)
    write_labels(photos, tmp_path / "made", 3).rename(tmp_path / "labels.json")
    return tmp_path


def _run(command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("document", ["README.md", "docs/python.md"])
def test_python_blocks(document: str, folder: Path, environment: Mapping[str, str]) -> None:
    code = "\n".join(_blocks(document, "python"))
    assert "fit(" in code
    _run([sys.executable, "-c", code], folder, environment)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands(document: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Names of runs and of ground truth are those that the documents use elsewhere."""
    light = ("--set", "features.size=112")
    lines = [line for block in _blocks(document, "sh") for line in block.splitlines()]
    lines = [line.split(" #")[0].strip() for line in lines]
    lines = [line for line in lines if line and not line.startswith(_NEED_MORE)]
    for name in ("result", "out"):
        if any(f" {name}" in line for line in lines) and f"--out {name}/ " not in " ".join(lines):
            _run([*COMMAND, "run", "photos", "--out", name, *light], folder, environment)
    for line in lines:
        assert line.startswith("prelabel "), line
        for documented, own in _OWN.items():
            line = line.replace(documented, own)
        command = shlex.split(line)[1:]
        if "ground_truth.json" in command:
            made = next(folder.glob("*/coco/instances.json"))
            (folder / "ground_truth.json").write_bytes(made.read_bytes())
        more = light if command[0] in ("run", "tune") else ()
        _run([*COMMAND, *command, *more], folder, environment)


def test_python_blocks__every_document_with_one_is_tested() -> None:
    documents = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md")}
    assert {name for name in documents if _blocks(name, "python")} <= {"docs/python.md"}
    commands = {n for n in documents if re.search(r"^prelabel ", "\n".join(_blocks(n, "sh")), re.M)}
    served = {"docs/label-studio.md", "docs/corrections.md", "docs/review.md"}  # tests of their own
    assert commands <= {*DOCUMENTS, *served}


@pytest.mark.parametrize("script", sorted(path.name for path in ROOT.glob("docs/*.py")))
def test_scripts__without_arguments_say_how_they_are_used(script: str) -> None:
    command = [sys.executable, str(ROOT / "docs" / script)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
    assert "Traceback" not in done.stderr
