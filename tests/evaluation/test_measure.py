"""The whole evaluation: photos matched, classes, seeds, the command, and bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import jaccard_score
from typer.testing import CliRunner

from builders import HEIGHT, WIDTH, box, prediction, region
from prelabel.cli.evaluate import Group
from prelabel.cli.main import app
from prelabel.data.masks import Mask
from prelabel.errors import UserError
from prelabel.evaluation import GROUPS, evaluate, format_table, over_sets
from prelabel.evaluation.protocol import FIGURES
from support.evaluation_data import changed, dataset, run_folder

LEFT, RIGHT = box(0, 0, 3, 3), box(5, 2, 3, 4)


def cli(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


# Figures


def test_evaluate__the_truth_itself_scores_one() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 1)), prediction("b.jpg"))
    figures = evaluate(truth, truth).figures
    for figure in ("foreground_iou", "mean_iou", "boundary_iou", "pixel_accuracy", "ap", "ap50"):
        assert figures[figure] == 1.0, figure
    assert figures["false_foreground"] == 0.0
    assert figures["class_cluster"] == {"cat": 0, "dog": 1}
    assert figures["score_auroc"] is None
    assert figures["confusion"] == {
        "clusters": ["background", "cat", "dog"],
        "classes": ["background", "cat", "dog"],
        "pixels": [[2 * HEIGHT * WIDTH - 21, 0, 0], [0, 9, 0], [0, 0, 12]],
    }


def test_evaluate__a_photo_without_prediction_counts_zero() -> None:
    whole = box(0, 0, 3, 6)
    truth = dataset(prediction("a.jpg", region(whole, 0)), prediction("b.jpg", region(LEFT, 1)))
    found = dataset(prediction("a.jpg", region(LEFT, 0)), prediction("b.jpg"))
    figures = evaluate(found, truth).figures
    assert figures["foreground_iou"] == 0.25  # (0.5 + 0) / 2
    assert figures["foreground_iou_pooled"] == 9 / 27
    assert {row["class"]: row["iou"] for row in figures["per_class"]} == {"cat": 0.5, "dog": 0.0}


def test_evaluate__clusters_are_matched_or_named() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 1)))
    found = dataset(prediction("a.jpg", region(LEFT, 1), region(RIGHT, 0)))  # the names are swapped
    matched = evaluate(found, truth).figures
    named = evaluate(found, truth, classes="by-name").figures
    assert matched["mean_iou"] == matched["segm_by_class_ap"] == 1.0
    assert matched["wrong_class"] == 0
    assert named["mean_iou"] == pytest.approx(1 / 3)  # background alone is right
    assert named["segm_by_class_ap"] == 0.0
    assert named["wrong_class"] == 2
    assert named["ap"] == 1.0


def test_evaluate__overlaps_show_the_best_score() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 0)))
    both = [region(LEFT, 0, score=0.9), region(box(0, 0, 6, 6), 1, score=0.4)]
    for regions in (both, both[::-1]):
        figures = evaluate(dataset(prediction("a.jpg", *regions)), truth).figures
        assert figures["per_class"][0]["iou"] == 1.0


def test_evaluate__crowds_are_void() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 0, crowd=True)))
    found = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 0)))
    figures = evaluate(found, truth).figures
    assert figures["mean_iou"] == figures["foreground_iou"] == 1.0
    assert (figures["objects"], figures["false_regions"]) == (1, 0)


def test_evaluate__regions_without_a_class() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 1)))
    found = dataset(prediction("a.jpg", region(LEFT, -1), region(RIGHT, 0)))
    figures = evaluate(found, truth).figures
    assert figures["confusion"]["clusters"] == ["background", "cat", "no class"]
    # It is of no class, so that "cat" of the truth has none: background and "dog" alone are right.
    assert figures["mean_iou"] == pytest.approx(2 / 3)
    assert figures["clusters"] == 1
    assert [row["cluster"] for row in figures["per_class"]] == [None, 0]


def test_evaluate__clusters_are_those_in_use_under_their_own_ids() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 0)), prediction("b.jpg", region(RIGHT, 1)))
    found = dataset(prediction("a.jpg", region(LEFT, 7)), prediction("b.jpg", region(LEFT, 3)))
    figures = evaluate(found, truth).figures
    assert figures["clusters"] == 2
    # Cluster 3 shares no pixel with any dog: no pair.
    assert figures["class_cluster"] == {"cat": 7}
    assert [row["cluster"] for row in figures["per_class"]] == [7, None]


def test_evaluate__a_photo_of_void_alone_is_in_no_mean() -> None:
    half = box(0, 0, 1, 3)
    truth = dataset(
        prediction("a.jpg", region(LEFT, 0)), prediction("b.jpg", region(RIGHT, -1, crowd=True))
    )
    found = dataset(prediction("a.jpg", region(half, 0)), prediction("b.jpg", region(RIGHT, 0)))
    figures = evaluate(found, truth).figures
    assert figures["foreground_iou"] == pytest.approx(1 / 3)
    assert figures["false_foreground"] is None
    assert (figures["photos_with_object"], figures["photos_of_void_alone"]) == (1, 1)
    assert figures["score_auroc"] is None  # the one in void is neither right nor wrong


def test_evaluate__a_region_across_two_crowds_is_not_false() -> None:
    crowds = [region(box(c, 0, 2, 6), 0, crowd=True) for c in (0, 2)]
    found = dataset(prediction("a.jpg", region(box(0, 0, 5, 6), 0)))
    figures = evaluate(found, dataset(prediction("a.jpg", *crowds))).figures
    assert figures["false_regions"] == 0


def test_sides__what_is_left_is_matched_without_its_ending() -> None:
    truth = dataset(
        *(prediction(f"f/{n}.jpg", region(LEFT, 0)) for n in "abc"), prediction("g/d.jpg")
    )
    names = ("f/a.jpg", "f/b.png", "f/c.webp", "h/d.jpg")  # of another folder: not the same
    figures = evaluate(dataset(*(prediction(n, region(LEFT, 0)) for n in names)), truth).figures
    assert (figures["photos"], figures["photos_without_prediction"]) == (3, 1)
    assert figures["photos_matched_by"] == "the whole name, 2 of them without its ending"


@given(
    hnp.arrays(np.int64, (HEIGHT, WIDTH), elements=st.integers(0, 3)),
    hnp.arrays(np.int64, (HEIGHT, WIDTH), elements=st.integers(0, 3)),
)
def test_mean_iou__by_name_as_scikit_learn(found: Mask, truth: Mask) -> None:
    names = ["a", "b", "c"]
    sides = [
        dataset(
            prediction(
                "a.jpg", *(region(side == i + 1, i) for i in range(3) if (side == i + 1).any())
            ),
            classes=names,
        )
        for side in (found, truth)
    ]
    figures = evaluate(*sides, classes="by-name", only=["pixels"]).figures
    labels = sorted({0, *np.unique(truth).tolist()})
    wanted = jaccard_score(
        truth.ravel(), found.ravel(), labels=labels, average=None, zero_division=0
    )
    assert figures["mean_iou"] == pytest.approx(wanted.mean())
    assert figures["pixel_accuracy"] == pytest.approx((found == truth).mean())


def test_only__leaves_other_figures_out() -> None:
    one = dataset(prediction("a.jpg", region(LEFT, 0)))
    objects = evaluate(one, one, only=["objects"], classes="by-name").figures
    assert "found_50" in objects
    assert not {"ap", "mean_iou"} & objects.keys()
    assert "AP" not in format_table(objects).split("class ")[0]
    assert tuple(Group) == GROUPS


def test_table__has_a_protocol_beside_every_number() -> None:
    one = dataset(prediction("a.jpg", region(LEFT, 0)))
    figures = evaluate(one, one).figures
    assert figures.keys() >= FIGURES.keys()
    table = format_table(figures)
    for figure in FIGURES.values():
        assert figure.title in table
        assert figure.protocol.split()[0] in table
    assert all(figure.protocol for figure in FIGURES.values())
    assert "Hungarian" in table
    assert "draw 79.2 s" in table


def test_seeds__mean_and_standard_deviation() -> None:
    truth = dataset(prediction("a.jpg", region(box(0, 0, 4, 4), 0)))
    sets = [
        evaluate(dataset(prediction("a.jpg", region(box(0, 0, 4, n), 0))), truth).figures
        for n in (1, 2, 3)
    ]
    both = over_sets(sets)["foreground_iou"]  # 0.25, 0.5, 0.75
    assert both == {"mean": pytest.approx(0.5), "standard_deviation": pytest.approx(0.25)}
    assert over_sets(sets)["score_auroc"]["mean"] is None
    table = format_table(*sets)
    assert "0.500 ± 0.250" in table
    assert "over 3 sets of predictions" in table


# Two sides that do not fit


def test_sides__photos_on_one_side_are_counted_and_named() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 0)), prediction("lost.jpg"))
    found = dataset(
        prediction("a.jpg", region(LEFT, 0)), prediction("new 1.jpg"), prediction("new 2.jpg")
    )
    figures = evaluate(found, truth).figures
    assert (figures["photos"], figures["photos_without_prediction"]) == (1, 1)
    assert figures["photos_without_truth"] == 2
    table = format_table(figures)
    assert "1 photos only in the ground truth: lost.jpg" in table
    assert "2 photos only in the predictions: new 1.jpg, new 2.jpg" in table
    with pytest.raises(UserError, match=r"none of the 1 predicted photos: predicted is 'x.jpg'"):
        evaluate(dataset(prediction("x.jpg")), truth)


def test_sides__names_without_folder_or_ending() -> None:
    truth = dataset(prediction("JPEGImages/a.jpg", region(LEFT, 0)))
    for name, way in (("b/a.jpg", "folders"), ("a.png", "ending")):
        figures = evaluate(dataset(prediction(name, region(LEFT, 0))), truth).figures
        assert figures["photos_matched_by"].endswith(way)
        assert "photos matched by the name without" in format_table(figures)
    twice = dataset(prediction("b/a.jpg"), prediction("c/a.jpg"))  # either could be meant
    with pytest.raises(UserError, match="none of the 2 predicted photos"):
        evaluate(twice, truth)


def test_sides__other_sizes_are_left_out_and_named() -> None:
    truth = dataset(
        prediction("a.jpg", region(LEFT, 0)), prediction("b.jpg", size=(HEIGHT, WIDTH + 1))
    )
    figures = evaluate(dataset(prediction("a.jpg"), prediction("b.jpg")), truth).figures
    assert figures["photos"] == 1
    (problem,) = figures["problems"]
    assert problem.startswith("1 photos of another size")
    assert "b.jpg: 11 × 8 there, 10 × 8 here" in problem
    with pytest.raises(UserError, match=r"no photo can be compared: .*\(b.jpg: 11 × 8 there"):
        evaluate(dataset(prediction("b.jpg")), truth)


def test_sides__what_cannot_be_used_is_counted() -> None:
    small = region(np.ones((2, 2), dtype=bool))
    truth = dataset(prediction("a.jpg", region(LEFT, 0), region(np.zeros_like(LEFT), 1)))
    found = dataset(
        prediction("a.jpg", region(LEFT, 0), small, region(RIGHT, 1, crowd=True)),
        prediction("a.jpg", region(RIGHT, 0)),
    )
    figures = evaluate(found, truth).figures
    assert figures["foreground_iou"] == 1.0
    problems = "\n".join(figures["problems"])
    for said in (
        "1 photos twice in the predictions, the first one taken (a.jpg)",
        "1 masks of another size than their photo in the predictions, left out (a.jpg)",
        "1 photos with crowds among the predictions, which are left out (a.jpg)",
        "1 empty masks in the ground truth, left out (a.jpg)",
    ):
        assert said in problems


def test_sides__a_class_on_one_side_only_is_named() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 1)), classes=["cat", "dog"])
    found = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 1)), classes=["cat", "bird"])
    figures = evaluate(found, truth, classes="by-name").figures
    problems = "\n".join(figures["problems"])
    assert "1 classes of the predictions that the ground truth does not have (bird)" in problems
    assert "1 classes of the ground truth that the predictions do not have (dog)" in problems
    assert figures["mean_iou"] == pytest.approx(2 / 3)


def test_sides__what_the_readers_noted_is_said() -> None:
    one = dataset(prediction("a.jpg", region(LEFT, 0)))
    one.problems.note("polygons with two points, left out", "file.json, annotation 7")
    assert evaluate(one, dataset(prediction("a.jpg"))).figures["problems"] == [
        "predictions: 1 polygons with two points, left out (file.json, annotation 7)"
    ]


def test_sides__objects_without_a_class_or_a_name() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 2), region(RIGHT, -1)), classes=["cat"])
    figures = evaluate(
        dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 1))), truth
    ).figures
    assert figures["problems"] == [
        "1 objects without a class in the ground truth, taken as void (a.jpg)"
    ]
    assert [row["class"] for row in figures["per_class"]] == ["object 3"]
    assert (figures["objects"], figures["false_regions"], figures["ap"]) == (1, 0, 1.0)


def test_sides__too_many_classes() -> None:
    truth = dataset(prediction("a.jpg"), classes=[str(i) for i in range(255)])
    with pytest.raises(UserError, match="255 classes; at most 254"):
        evaluate(truth, truth)


# The command


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
        *("run.json", "evaluation.json", "index.html", "thumbs")
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
    assert {f.name for f in (tmp_path / "out").iterdir()} == {"run.json", "evaluation.json"}


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


def test_command__wrong_use_is_said(sides: tuple[Path, Path], tmp_path: Path) -> None:
    run, truth = sides
    assert "no such file or folder" in cli("evaluate", run, tmp_path / "none").output
    assert "did you mean 'draw'" in cli("evaluate", run, truth, "--set", "costs.drw=1").output
    assert cli("evaluate", run, truth, "--set", "costs.drw=1").exit_code == 2
    (tmp_path / "file").touch()
    assert "is a file" in cli("evaluate", run, truth, "--out", tmp_path / "file").output
    assert cli("evaluate", run).exit_code == 2
