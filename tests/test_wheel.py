"""The wheel, installed into a fresh environment: everything is in it, and it runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from support.places import ROOT
from support.small_photos import write_scenes

TREES = {
    "prelabel": ROOT / "backend",
    "prelabel_plugins": ROOT / "plugins",
    "prelabel_exporters": ROOT / "exporters",
}
"""Each package, and the folder that it is in."""

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, as building leaves files beside them."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for tree in TREES.values():
        left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(tree, copy / tree.name, ignore=left_out)
    _run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(copy)]
    )
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment with the wheel; what it requires is not installed
    anew, but found where the tests find it."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    python = folder / "bin" / "python"
    purelib = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    _run([*pip, "--no-deps", "--no-index", str(wheel)])
    # Python reads no .pth file in a folder that is named by one, such as an editable install's.
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(purelib) / "requirements.pth").write_text("\n".join(sorted(places)), encoding="utf-8")
    return folder / "bin"


def _run(command: list[str], folder: Path | None = None) -> str:
    """What a command prints, without this checkout among the places that Python imports from."""
    own = ("PYTHONPATH", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
    variables = {name: value for name, value in os.environ.items() if name not in own}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**variables, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _files(tree: Path) -> set[str]:
    """What of a folder of sources belongs into the wheel."""
    return {
        file.relative_to(tree).as_posix()
        for file in tree.rglob("*")
        if file.is_file()
        and file.suffix != ".pyc"
        and not any(part.endswith(".egg-info") for part in file.parts)
    }


def test_wheel__holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == set().union(*(_files(tree) for tree in TREES.values()))
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    for pattern in settings["package-data"]["*"]:
        assert any(Path(name).match(pattern) for name in packed), pattern


def test_wheel__is_what_the_fresh_environment_imports(environment: Path, tmp_path: Path) -> None:
    code = f"import {', '.join(TREES)}\nprint(*({', '.join(f'{n}.__path__[0]' for n in TREES)}))"
    places = _run([str(environment / "python"), "-c", code], tmp_path).split()
    assert len(places) == len(TREES)
    for place in places:
        assert Path(place).is_relative_to(environment.parent), place


def test_wheel__doctor_and_a_run(environment: Path, tmp_path: Path) -> None:
    prelabel = str(environment / "prelabel")
    output = _run([prelabel, "doctor"], tmp_path)
    assert "color-texture" in output
    assert "cannot be imported" not in output
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    write_scenes(photos, 4)
    options = ("--backbone", "color-texture", "--recipe", "fast", "--set", "features.size=112")
    _run([prelabel, "run", str(photos), "--out", str(out), *options, "--format", "coco"], tmp_path)
    coco = json.loads((out / "coco" / "instances.json").read_text("utf-8"))
    assert len(coco["images"]) == 4
    assert coco["annotations"]
    assert (out / "report" / "index.html").stat().st_size > 0
