"""`prelabel evaluate`: what it prints and leaves on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builders import box, prediction, region
from prelabel.cli.evaluate import Group
from prelabel.evaluation import GROUPS
from support.command_line import cli
from support.evaluation_data import changed, dataset, run_folder

LEFT, RIGHT = box(0, 0, 3, 3), box(5, 2, 3, 4)


def test_command__knows_every_group() -> None:
    assert tuple(Group) == GROUPS


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    truth = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 1)), prediction("b.jpg"))
    found = dataset(*changed(truth, lambda mask: mask), classes=["object 1", "object 2"])
    return run_folder(tmp_path / "run", found), run_folder(tmp_path / "truth", truth)


def test_command__leaves_json_in_the_run(sides: tuple[Path, Path]) -> None:
    run, truth = sides
    result = cli("evaluate", run, truth)
    assert result.exit_code == 0, result.output
    assert "foreground IoU" in result.stdout
    facts = json.loads((run / "evaluation.json").read_text())
    assert facts["mean_iou"] == 1.0
    assert facts["protocol"]["mean_iou"].startswith("one confusion matrix over all pixels")
    assert not list(truth.glob("evaluation*"))


def test_command__out_has_page_and_json(sides: tuple[Path, Path], tmp_path: Path) -> None:
    run, truth = sides
    for _ in range(2):  # again into the same folder
        result = cli("evaluate", run, truth, "--out", tmp_path / "out", "--set", "costs.draw=9")
        assert result.exit_code == 0, result.output
    assert {f.name for f in (tmp_path / "out").iterdir()} == {
        *("run.json", "evaluation.json", "index.html", "thumbs", ".prelabel.lock")
    }
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["costs"]["draw"] == 9
    assert not (run / "evaluation.json").exists()
    assert "holds what `prelabel predict` wrote" in cli("evaluate", run, truth, "--out", run).output


def test_command__several_seeds(sides: tuple[Path, Path], tmp_path: Path) -> None:
    run, truth = sides
    result = cli("evaluate", run, truth, truth, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "1.000 ± 0.000" in result.stdout
    facts = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert facts["over_sets"]["mean_iou"] == {"mean": 1.0, "standard_deviation": 0.0}
    assert [one["predictions"] for one in facts["sets"]] == [str(run), str(truth)]
    assert (tmp_path / "out" / "set-2" / "index.html").is_file()
    assert "size (set 1 of 2)" in result.stdout
    # Pages do not stay beside figures that are others.
    assert cli("evaluate", run, truth, "--out", tmp_path / "out", "--only", "coco").exit_code == 0
    assert {f.name for f in (tmp_path / "out").iterdir()} == {
        "run.json",
        "evaluation.json",
        ".prelabel.lock",
    }


@pytest.mark.parametrize("side", [0, 1])
def test_command__a_cut_off_file_leaves_nothing(
    sides: tuple[Path, Path], tmp_path: Path, side: int
) -> None:
    file = sides[side] / "predictions.jsonl"
    file.write_bytes(file.read_bytes()[:-40])
    before = set(tmp_path.rglob("*"))
    result = cli("evaluate", *sides, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert f"{file}, line 2: not a prediction" in result.output
    assert set(tmp_path.rglob("*")) == before


def test_command__wrong_use_is_reported(sides: tuple[Path, Path], tmp_path: Path) -> None:
    run, truth = sides
    assert "no such file or folder" in cli("evaluate", run, tmp_path / "none").output
    assert "did you mean 'draw'" in cli("evaluate", run, truth, "--set", "costs.drw=1").output
    assert cli("evaluate", run, truth, "--set", "costs.drw=1").exit_code == 2
    (tmp_path / "file").touch()
    assert "is a file" in cli("evaluate", run, truth, "--out", tmp_path / "file").output
    assert cli("evaluate", run).exit_code == 2
