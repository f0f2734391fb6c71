"""The three lines before the figures: what they count, and which advice they give."""

from __future__ import annotations

import pytest

from builders import box, prediction, region
from prelabel.data.masks import Mask
from prelabel.evaluation import Costs, evaluate
from prelabel.evaluation.verdict import verdict
from support.evaluation_data import dataset

WHOLE, HALF, OTHER = box(0, 0, 4, 4), box(0, 0, 4, 2), box(6, 4, 3, 3)


def _lines(
    found: list[Mask], true: list[Mask], *, costs: dict[str, float] | None = None, cluster: int = 0
) -> list[str]:
    predicted = prediction("a.jpg", *(region(mask, cluster) for mask in found), size=(8, 10))
    truth = prediction("a.jpg", *(region(mask) for mask in true), size=(8, 10))
    one = dataset(predicted), dataset(truth)
    return verdict([evaluate(*one, classes="by-name", costs=Costs(**(costs or {}))).figures])


def test_verdict__counts_objects_and_hours() -> None:
    lines = _lines([WHOLE], [WHOLE, OTHER], costs={"draw": 3600, "keep": 0, "photo": 900})
    assert lines[0].startswith("1 of 2 objects (50%) need not be drawn anew: 1 fit as they are, 0")
    assert lines[1].startswith("1.2 hours of work instead of 2.0 hours: 38% saved, estimated")


@pytest.mark.parametrize(
    ("found", "true", "costs", "advice"),
    [
        ([WHOLE], [WHOLE, OTHER], {}, "drawing the 1 that were missed"),
        ([HALF, OTHER], [WHOLE, OTHER], {}, "touching up 1 masks"),
        ([WHOLE, OTHER], [WHOLE], {"delete": 60}, "deleting 1 regions that are no object"),
        ([WHOLE], [WHOLE], {}, "looking at photos and masks; correct them"),
    ],
)
def test_verdict__advice_is_about_what_takes_longest(
    found: list[Mask], true: list[Mask], costs: dict[str, float], advice: str
) -> None:
    assert advice in _lines(found, true, costs=costs)[2]


def test_verdict__of_wrong_classes() -> None:
    assert "correcting 1 classes" in _lines([WHOLE], [WHOLE], cluster=1, costs={"relabel": 60})[2]


def test_verdict__what_saves_nothing_is_not_recommended() -> None:
    lines = _lines([OTHER], [WHOLE])
    assert "9% more" in lines[1]  # 79.2 s of drawing, and 2 and 5 s beside it
    assert lines[2].startswith("Next: do not use these pre-labels as they are: 92% of the time")


def test_verdict__without_objects_in_the_truth() -> None:
    lines = _lines([OTHER], [])
    assert len(lines) == 3
    assert "no object" in lines[0]


def test_verdict__is_the_mean_over_sets() -> None:
    truth = dataset(prediction("a.jpg", region(WHOLE), region(OTHER)))
    found = [prediction("a.jpg", region(WHOLE)), prediction("a.jpg", region(WHOLE), region(OTHER))]
    sets = [evaluate(dataset(one), truth, classes="by-name").figures for one in found]
    first = verdict(sets)[0]
    assert first.startswith("On average over 2 sets: 2 of 2 objects (75%)")


def test_verdict__of_pixels_alone_says_why() -> None:
    one = dataset(prediction("a.jpg", region(WHOLE)))
    lines = verdict([evaluate(one, one, only=["pixels"]).figures])
    assert "IoU of 1.00" in lines[0]
    assert lines[1].startswith("1 of 1 classes have a cluster of their own; the mean IoU")
    assert "not measured (--only)" in lines[2]
    assert verdict([evaluate(one, one, only=["coco"]).figures]) == []
