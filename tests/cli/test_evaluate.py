"""`prelabel evaluate`: what it prints and leaves on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builders import box, prediction, region
from prelabel.cli.evaluate import Group
from prelabel.evaluation import GROUPS
from support.command_line import cli, refused
from support.evaluation_data import changed, dataset, run_folder
from support.messages import assert_says

LEFT, RIGHT = box(0, 0, 3, 3), box(5, 2, 3, 4)


def test_command__knows_every_group() -> None:
    assert tuple(Group) == GROUPS


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    truth = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 1)), prediction("b.jpg"))
    found = dataset(*changed(truth, lambda mask: mask), classes=["object 1", "object 2"])
    return run_folder(tmp_path / "run", found), run_folder(tmp_path / "truth", truth)


def test_command__leaves_page_and_json_in_the_run(sides: tuple[Path, Path]) -> None:
    run, truth = sides
    result = cli("evaluate", run, truth)
    assert result.exit_code == 0, result.output
    assert "foreground IoU" in result.stdout
    assert (run / "evaluation" / "index.html").is_file()
    facts = json.loads((run / "evaluation" / "evaluation.json").read_text())
    assert facts["mean_iou"] == 1.0
    assert facts["protocol"]["mean_iou"].startswith("one confusion matrix over all pixels")
    assert not list(truth.glob("evaluation*"))


def test_command__other_predictions_leave_it_here(
    sides: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli("evaluate", sides[0] / "predictions.jsonl", sides[1])
    assert "written to evaluation/index.html" in result.stdout
    assert {f.name for f in sides[0].iterdir()} == {"predictions.jsonl", "run.json"}


def test_command__begins_with_three_lines(sides: tuple[Path, Path]) -> None:
    lines = cli("evaluate", *sides).stdout.splitlines()
    assert lines[0].startswith("2 of 2 objects (100%) need not be drawn anew: 2 fit as they are")
    assert lines[1].startswith("0 minutes of work instead of 3 minutes: 91% saved")
    assert lines[2].startswith("Next: ")
    assert lines[3] == ""


def test_command__out_has_page_and_json(sides: tuple[Path, Path], tmp_path: Path) -> None:
    run, truth = sides
    for _ in range(2):  # again into the same folder
        result = cli("evaluate", run, truth, "--out", tmp_path / "out", "--set", "costs.draw=9")
        assert result.exit_code == 0, result.output
    assert {f.name for f in (tmp_path / "out").iterdir()} == {
        *("run.json", "evaluation.json", "index.html", "thumbs", ".prelabel.lock")
    }
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["costs"]["draw"] == 9
    assert not (run / "evaluation").exists()
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
    assert cli("evaluate", run, truth, "--out", tmp_path / "out").exit_code == 0
    assert {f.name for f in (tmp_path / "out").iterdir()} == {
        *("run.json", "evaluation.json", "index.html", "thumbs", ".prelabel.lock")
    }


@pytest.mark.parametrize("group", GROUPS)
def test_command__some_figures_have_a_page_too(sides: tuple[Path, Path], group: str) -> None:
    result = cli("evaluate", *sides, "--only", group, "--classes", "by-name")
    assert result.exit_code == 0, result.output
    html = (sides[0] / "evaluation" / "index.html").read_text()
    shown = {
        name for name in ("mean_iou", "segm_by_class_ap", "objects") if f"figure-{name}" in html
    }
    expected = {"pixels": "mean_iou", "coco": "segm_by_class_ap", "objects": "objects"}
    assert shown == {expected[group]}
    assert '"name":"a.jpg"' in html


def test_command__the_limit_of_regions_is_printed(sides: tuple[Path, Path]) -> None:
    assert "at most 100 regions of a photo" in " ".join(cli("evaluate", *sides).stdout.split())
    few = cli("evaluate", *sides, "--max-regions", "1")
    assert "at most 1 regions of a photo" in " ".join(few.stdout.split())
    assert "1 regions beyond a photo's 1, not in COCO's figures (a.jpg)" in few.stdout


@pytest.mark.parametrize("form", ["masks", "voc", "voc with lists"])
def test_command__masks_of_classes(sides: tuple[Path, Path], tmp_path: Path, form: str) -> None:
    """Two cats of one class mask are one region: no figures of objects are made of it."""
    found = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 0)), prediction("b.jpg"))
    run = run_folder(tmp_path / "found", found)
    truth = tmp_path / "class masks"
    names = truth / "classes.json", truth / "labels.txt"
    folder = truth / ("masks" if form == "masks" else "SegmentationClass")
    folder.mkdir(parents=True)
    (names[0] if form == "masks" else names[1]).write_text(
        '{"0": "background", "1": "cat"}' if form == "masks" else "0\tbackground\n1\tcat\n"
    )
    for name, mask in (("a", LEFT | RIGHT), ("b", LEFT & False)):
        Image.fromarray(mask.astype(np.uint8)).save(folder / f"{name}.png")
    if form == "voc with lists":
        (truth / "ImageSets" / "Segmentation").mkdir(parents=True)
        (truth / "ImageSets" / "Segmentation" / "val.txt").write_text("a\nb\n")
    result = cli("evaluate", run, truth)
    assert result.exit_code == 0, result.output
    facts = json.loads((run / "evaluation" / "evaluation.json").read_text())
    assert (facts["foreground_iou"], facts["mean_iou"], facts["photos"]) == (1.0, 1.0, 2)
    assert facts["class_cluster"] == {"cat": 0}
    assert not facts["has_objects"]
    assert not {"objects", "time_saved", "ap"} & facts.keys()
    assert "1 of 1 classes have a cluster" in result.stdout
    assert "do not tell objects apart" in result.stdout.splitlines()[2]
    html = (run / "evaluation" / "index.html").read_text()
    assert "figure-time_saved" not in html
    assert "Cost model" not in html
    assert_says(refused("evaluate", run, truth, "--only", "objects"), "ground truth", "only pixels")


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
