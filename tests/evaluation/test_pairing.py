"""Predictions and ground truth that do not fit each other."""

from __future__ import annotations

import numpy as np
import pytest

from builders import HEIGHT, WIDTH, box, prediction, region
from prelabel.errors import UserError
from prelabel.evaluation import evaluate, format_table
from support.evaluation_data import dataset, figures_of

LEFT, RIGHT = box(0, 0, 3, 3), box(5, 2, 3, 4)


def test_sides__what_is_left_is_matched_without_its_ending() -> None:
    truth = dataset(
        *(prediction(f"f/{n}.jpg", region(LEFT, 0)) for n in "abc"), prediction("g/d.jpg")
    )
    names = ("f/a.jpg", "f/b.png", "f/c.webp", "h/d.jpg")  # of another folder: not the same
    figures = figures_of(dataset(*(prediction(n, region(LEFT, 0)) for n in names)), truth)
    assert (figures["photos"], figures["photos_without_prediction"]) == (3, 1)
    assert figures["photos_matched_by"] == "the whole name, 2 of them without its ending"


def test_sides__photos_on_one_side_are_counted_and_named() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 0)), prediction("lost.jpg"))
    found = dataset(
        prediction("a.jpg", region(LEFT, 0)), prediction("new 1.jpg"), prediction("new 2.jpg")
    )
    figures = evaluate(found, truth).figures
    assert (figures.photos, figures.sources.photos_without_prediction) == (1, 1)
    assert figures.sources.photos_without_truth == 2
    table = format_table(figures)
    assert "1 photos only in the ground truth: lost.jpg" in table
    assert "2 photos only in the predictions: new 1.jpg, new 2.jpg" in table
    with pytest.raises(UserError, match=r"none of the 1 predicted photos: predicted is 'x.jpg'"):
        evaluate(dataset(prediction("x.jpg")), truth)


def test_sides__names_without_folder_or_ending() -> None:
    truth = dataset(prediction("JPEGImages/a.jpg", region(LEFT, 0)))
    for name, way in (("b/a.jpg", "folders"), ("a.png", "ending")):
        figures = evaluate(dataset(prediction(name, region(LEFT, 0))), truth).figures
        assert figures.sources.photos_matched_by.endswith(way)
        assert "photos matched by the name without" in format_table(figures)
    twice = dataset(prediction("b/a.jpg"), prediction("c/a.jpg"))  # either could be meant
    with pytest.raises(UserError, match="none of the 2 predicted photos"):
        evaluate(twice, truth)


def test_sides__other_sizes_are_left_out_and_named() -> None:
    truth = dataset(
        prediction("a.jpg", region(LEFT, 0)), prediction("b.jpg", size=(HEIGHT, WIDTH + 1))
    )
    figures = figures_of(dataset(prediction("a.jpg"), prediction("b.jpg")), truth)
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
    figures = figures_of(found, truth)
    assert figures["foreground_iou"] == 1.0
    problems = "\n".join(figures["problems"])
    for part in (
        "1 photos twice in the predictions, the first one taken (a.jpg)",
        "1 masks of another size than their photo in the predictions, left out (a.jpg)",
        "1 photos with crowds among the predictions, which are left out (a.jpg)",
        "1 empty masks in the ground truth, left out (a.jpg)",
    ):
        assert part in problems


def test_sides__a_class_on_one_side_only_is_named() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 1)), classes=["cat", "dog"])
    found = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 1)), classes=["cat", "bird"])
    figures = figures_of(found, truth, classes="by-name")
    problems = "\n".join(figures["problems"])
    assert "1 classes of the predictions that the ground truth does not have (bird)" in problems
    assert "1 classes of the ground truth that the predictions do not have (dog)" in problems
    assert figures["mean_iou"] == pytest.approx(2 / 3)


def test_sides__problems_of_the_readers_are_reported() -> None:
    one = dataset(prediction("a.jpg", region(LEFT, 0)))
    one.problems.note("polygons with two points, left out", "file.json, annotation 7")
    assert figures_of(one, dataset(prediction("a.jpg")))["problems"] == [
        "predictions: 1 polygons with two points, left out (file.json, annotation 7)"
    ]


def test_sides__objects_without_a_class_or_a_name() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 2), region(RIGHT, -1)), classes=["cat"])
    figures = figures_of(dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 1))), truth)
    assert figures["problems"] == [
        "1 objects without a class in the ground truth, taken as void (a.jpg)"
    ]
    assert [row["class"] for row in figures["per_class"]] == ["object 3"]
    assert (figures["objects"], figures["false_regions"], figures["ap"]) == (1, 0, 1.0)


def test_sides__too_many_classes() -> None:
    truth = dataset(prediction("a.jpg"), classes=[str(i) for i in range(255)])
    with pytest.raises(UserError, match="255 classes; at most 254"):
        evaluate(truth, truth)
