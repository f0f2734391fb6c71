"""Figures for a terminal, of one set of predictions and of several."""

from __future__ import annotations

import pytest

from builders import box, prediction, region
from prelabel.evaluation import evaluate, format_table, over_sets
from prelabel.evaluation.protocol import FIGURES
from support.evaluation_data import dataset

LEFT = box(0, 0, 3, 3)


def test_table__has_a_protocol_beside_every_number() -> None:
    one = dataset(prediction("a.jpg", region(LEFT, 0)))
    figures = evaluate(one, one).figures
    assert list(figures.values()) == list(FIGURES)
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
    spread = over_sets(sets)["foreground_iou"]  # 0.25, 0.5, 0.75
    assert (spread.mean, spread.standard_deviation) == pytest.approx((0.5, 0.25))
    assert over_sets(sets)["score_auroc"].mean is None
    table = format_table(*sets)
    assert "0.500 ± 0.250" in table
    assert "over 3 sets of predictions" in table


def test_table__groups_that_were_not_measured_are_left_out() -> None:
    one = dataset(prediction("a.jpg", region(LEFT, 0)))
    table = format_table(evaluate(one, one, only=["objects"], classes="by-name").figures)
    assert "kept as is" in table
    assert "AP (" not in table


def test_table__of_many_classes_shows_the_first() -> None:
    one = dataset(
        prediction("a.jpg", *(region(LEFT, i) for i in range(30))),
        classes=[f"class {i}" for i in range(30)],
    )
    table = format_table(evaluate(one, one, only=["coco"], classes="by-name").figures)
    assert "class 24" in table
    assert "class 25" not in table
    assert "and 5 more classes" in table
