"""Options that are wrong: found before libraries that take seconds to load, and what was meant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.command_line import cli_apart, refused

_TYPO = ("--set", "features.sise=3")
_COMMANDS = (
    ("run", "photos", "--out", "out", *_TYPO),
    ("run", "photos", "--out", "out", "--set", "refiner.radius=wide"),
    ("run", "photos", "--out", "out", "--set", "backbone.block=last"),
    ("run", "photos", "--out", "out", "--set", "threshold=0.4"),
    ("run", "photos", "--out", "out", "--format", "yolo"),
    ("run", "photos", "--out", "out", "--backbone", "standin"),
    ("run", "photos", "--out", "out", "--recipe", "fats"),
    ("run", "nowhere", "--out", "out"),
    ("run", "photos", "--out", "photos"),
    ("fit", "photos", "--out", "out", *_TYPO),
    ("predict", "nowhere", "photos", "--out", "out"),
    ("export", "nowhere", "--out", "out", "--format", "coco"),
    ("export", "nowhere", "--out", "out", "--format", "yolo"),
    ("convert", "nowhere", "out", "--to", "coco"),
    ("evaluate", "nowhere", "nowhere"),
    ("evaluate", "nowhere", "nowhere", "--set", "draw=60"),
    ("serve", *_TYPO),
    ("label-studio", "predict", "--project", "1", "--token", "x", *_TYPO),
    ("label-studio", "fit", "--project", "1", "--token", "x", *_TYPO),
    ("label-studio", "names", "--project", "1"),
)
_SCRIPT = """
import json, sys
from prelabel.cli.main import app
for command in json.loads(sys.argv[1]):
    try:
        app(command)
    except SystemExit as end:
        heavy = {"torch", "timm", "sklearn"} & sys.modules.keys()
        if end.code != 2 or heavy:
            sys.exit(f"{command}: exit {end.code}, loaded {heavy}")
"""


@pytest.mark.slow
def test_wrong_options__are_found_without_loading_torch(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    command = [sys.executable, "-c", _SCRIPT, json.dumps(_COMMANDS)]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("prelabel: ")]
    assert len(said) == len(_COMMANDS), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        (["--set", "threshold=0.4"], "did you mean regions.threshold=0.4?"),
        (["--set", "treshold=0.4"], "did you mean regions.threshold=0.4?"),
        (["--set", "features.threshold=0.4"], "'threshold'; did you mean regions.threshold?"),
        (["--set", "weights=a.pth"], "did you mean backbone.weights=a.pth?"),
        (["--set", "radius"], "did you mean refiner.radius=VALUE?"),
        (["--set", "nonsense=1"], "expected section.name=value; as in features.size=336"),
        (["--format", "yolo"], "no format is named 'yolo'; did you mean 'yolo-seg'?"),
        (["--format", "pascal-voc"], "no format is named 'pascal-voc'; did you mean 'voc'?"),
        (["--format", "labelstudio"], "did you mean 'label-studio'?"),
        (["--set", "voc.imges=copy", "--format", "voc"], "did you mean 'images'?"),
    ],
)
def test_run__says_what_was_meant(
    options: list[str], meant: str, photos: Path, tmp_path: Path
) -> None:
    assert meant in refused("run", photos, "--out", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_evaluate__says_which_cost_was_meant(tmp_path: Path) -> None:
    line = refused("evaluate", tmp_path, tmp_path, "--set", "draw=60")
    assert "did you mean costs.draw=60?" in line
    assert "expected costs.name=value" in refused(
        "evaluate", tmp_path, tmp_path, "--set", "regions.threshold=1"
    )


@pytest.mark.slow
@pytest.mark.parametrize("columns", [90, 200])
def test_help__is_as_wide_as_the_terminal(columns: int) -> None:
    for command in (["run"], ["label-studio", "predict"]):
        help = cli_apart({**os.environ, "COLUMNS": str(columns)}, *command, "--help").stdout
        assert columns * 0.8 < max(map(len, help.splitlines())) <= columns


def test_backbone__a_picture_is_no_weights(photos: Path, tmp_path: Path) -> None:
    picture = next(photos.iterdir())
    line = refused("run", photos, "--out", tmp_path / "out", "--backbone", picture)
    assert f"weights {picture}: is not a checkpoint of tensors" in line
    for advice in ("weights_only", "trust", "re-running"):
        assert advice not in line.lower()
    assert not (tmp_path / "out").exists()
