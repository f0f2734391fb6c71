"""The examples work as they stand, on the sample photos and with a backbone without weights."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from prelabel.samples import write_samples
from support.places import ROOT

EXAMPLES = ROOT / "examples"
README = (EXAMPLES / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are typed; the sample photos are there."""
    found = tmp_path_factory.mktemp("examples")
    write_samples(found / "samples")
    for photo in sorted((found / "samples" / "photos").iterdir())[4:]:
        photo.unlink()  # a few will do
    return found


@pytest.mark.slow
@pytest.mark.parametrize("line", re.findall(r"^python (.*)$", README, re.M))
def test_scripts(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRELABEL_CACHE", str(folder / "cache"))
    script, *arguments = shlex.split(line)
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    if "folder_to_coco" in script:
        coco = json.loads((folder / "coco" / "coco" / "instances.json").read_text("utf-8"))
        assert len(coco["images"]) == 4
        assert coco["annotations"]
    elif "cut_out" in script:
        pictures = [Image.open(file) for file in (folder / "objects").rglob("*.png")]
        assert f"{len(pictures)} objects" in done.stdout
        assert {picture.mode for picture in pictures} == {"RGBA"}
    else:
        assert re.search(r"4 labelled photos; the labels decide by \d+%", done.stdout)


@pytest.mark.slow
def test_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code, cell after cell, without Jupyter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    cells = json.loads((EXAMPLES / "first_steps.ipynb").read_text("utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells)  # nothing of anybody's run is kept
    names: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert isinstance(names["picture"], Image.Image)
    assert (tmp_path / "out" / "coco" / "instances.json").is_file()


def test_readme__names_every_example() -> None:
    files = {
        file.name
        for file in EXAMPLES.iterdir()
        if file.suffix in (".py", ".ipynb") or file.is_dir()
    }
    assert set(re.findall(r"^\| \[([\w.]+)/?\]", README, re.M)) == files - {"__pycache__"}
