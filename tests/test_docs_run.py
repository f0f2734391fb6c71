"""What the documents tell to type works as it stands there, on small photos and in this process."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prelabel.weights.models import STAND_IN_ARCHITECTURE
from support.command_line import cli, write_discs, write_labels
from support.places import ROOT
from support.random_vit import write_weights

pytestmark = pytest.mark.slow

_NEED_MORE = (
    "pip ",
    "make ",
    "yolo ",
    "export ",
    "prelabel label-studio",
    "prelabel serve",
    "prelabel export --project",
)
"""Commands that need a network, a server or another program; ``make`` has tests of its own."""
_SERVED = ("prelabel review ",)
"""Commands that end when they are interrupted; they have tests of their own."""
_LIGHT = ("--backbone", "color-texture", "--set", "features.size=112")
"""Options under which a photo takes milliseconds; of options that are given twice, the last counts."""
_OWN = {"--photo cat.jpg": "--photo 'photo 0.png'", "--class cat": "--class red"}
"""What stands in the documents, and what the small photos have instead."""


def _commands(document: Path) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", document.read_text("utf-8"), re.M | re.S)
    text = "\n".join(blocks).replace("\\\n", "")
    lines = [line.split(" #")[0].strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith(_NEED_MORE + _SERVED)]
    assert all(line.startswith("prelabel ") for line in lines), lines
    return lines


DOCUMENTS = [
    str(path.relative_to(ROOT))
    for path in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    # What docs/plugins.md says needs its plugin: tests/strategies/test_third_party.py follows it.
    if path.name != "plugins.md" and _commands(path)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are typed, with what they are about: photos, labels of some of them, a run of
    an earlier day, and weights."""
    folder = tmp_path_factory.mktemp("typed")
    photos = write_discs(folder / "photos", 4)
    write_labels(photos, folder / "made", 3).rename(folder / "labels.json")
    write_weights(folder, STAND_IN_ARCHITECTURE).rename(folder / "weights.safetensors")
    assert cli("run", photos, "--out", folder / "result", *_LIGHT).exit_code == 0
    made = folder / "result" / "coco" / "instances.json"
    (folder / "ground_truth.json").write_bytes(made.read_bytes())
    return folder


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands(document: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of runs and of ground truth are the same in all documents."""
    monkeypatch.chdir(folder)
    for line in _commands(ROOT / document):
        for documented, own in _OWN.items():
            line = line.replace(documented, own)
        command = shlex.split(line)[1:]
        fits = command[0] in ("run", "fit", "tune", "compare") or command[:2] == ["find", "photos/"]
        done = cli(*command, *(_LIGHT[2:] if "weights.safetensors" in line else _LIGHT) * fits)
        assert done.exit_code == 0, f"{line}\n{done.output}"


def test_commands__are_found() -> None:
    assert {"README.md", "docs/start.md", "docs/formats/yolo.md", "docs/labels.md"} <= {*DOCUMENTS}


def test_step_pictures(folder: Path, tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "docs/step_pictures.py"))
    settings = ["features.size=112", "levels.photos_per_group=2", "levels.min_group=2"]
    script["main"](folder / "photos", "photo 0.png", tmp_path, "color-texture", settings)
    page = (ROOT / "docs/how-it-works.md").read_text("utf-8")
    shown = re.findall(r"images/steps/([a-z]+\.jpg)", page)
    assert {file.name for file in tmp_path.iterdir()} == {*shown}
    assert {Image.open(file).size for file in tmp_path.iterdir()} == {(360, 240)}
    refined = np.asarray(Image.open(tmp_path / "refined.jpg").convert("L"))
    assert refined[120, 0] < 100 < refined.max()  # the ground at the left edge; the disc


@pytest.mark.parametrize("script", sorted(path.name for path in ROOT.glob("docs/*.py")))
def test_scripts__without_arguments_say_how_they_are_used(script: str) -> None:
    command = [sys.executable, str(ROOT / "docs" / script)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
    assert "Traceback" not in done.stderr
