"""The whole evaluation: photos, classes, clusters and groups of figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import jaccard_score

from builders import HEIGHT, WIDTH, box, prediction, region
from prelabel.data.masks import Mask
from support.evaluation_data import dataset, figures_of

LEFT, RIGHT = box(0, 0, 3, 3), box(5, 2, 3, 4)


def test_evaluate__the_truth_itself_scores_one() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 1)), prediction("b.jpg"))
    figures = figures_of(truth, truth)
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
    figures = figures_of(found, truth)
    assert figures["foreground_iou"] == 0.25  # (0.5 + 0) / 2
    assert figures["foreground_iou_pooled"] == 9 / 27
    assert {row["class"]: row["iou"] for row in figures["per_class"]} == {"cat": 0.5, "dog": 0.0}


def test_evaluate__clusters_are_matched_or_named() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 1)))
    found = dataset(prediction("a.jpg", region(LEFT, 1), region(RIGHT, 0)))  # the names are swapped
    matched = figures_of(found, truth)
    named = figures_of(found, truth, classes="by-name")
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
        figures = figures_of(dataset(prediction("a.jpg", *regions)), truth)
        assert figures["per_class"][0]["iou"] == 1.0


def test_evaluate__crowds_are_void() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 0, crowd=True)))
    found = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 0)))
    figures = figures_of(found, truth)
    assert figures["mean_iou"] == figures["foreground_iou"] == 1.0
    assert (figures["objects"], figures["false_regions"]) == (1, 0)


def test_evaluate__regions_without_a_class() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 0), region(RIGHT, 1)))
    found = dataset(prediction("a.jpg", region(LEFT, -1), region(RIGHT, 0)))
    figures = figures_of(found, truth)
    assert figures["confusion"]["clusters"] == ["background", "cat", "no class"]
    # It is of no class, so that "cat" of the truth has none: background and "dog" alone are right.
    assert figures["mean_iou"] == pytest.approx(2 / 3)
    assert figures["clusters"] == 1
    assert [row["cluster"] for row in figures["per_class"]] == [None, 0]


def test_evaluate__clusters_are_those_in_use_under_their_own_ids() -> None:
    truth = dataset(prediction("a.jpg", region(LEFT, 0)), prediction("b.jpg", region(RIGHT, 1)))
    found = dataset(prediction("a.jpg", region(LEFT, 7)), prediction("b.jpg", region(LEFT, 3)))
    figures = figures_of(found, truth)
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
    figures = figures_of(found, truth)
    assert figures["foreground_iou"] == pytest.approx(1 / 3)
    assert figures["false_foreground"] is None
    assert (figures["photos_with_object"], figures["photos_of_void_alone"]) == (1, 1)
    assert figures["score_auroc"] is None  # the one in void is neither right nor wrong


def test_evaluate__a_region_across_two_crowds_is_not_false() -> None:
    crowds = [region(box(c, 0, 2, 6), 0, crowd=True) for c in (0, 2)]
    found = dataset(prediction("a.jpg", region(box(0, 0, 5, 6), 0)))
    figures = figures_of(found, dataset(prediction("a.jpg", *crowds)))
    assert figures["false_regions"] == 0


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
    figures = figures_of(*sides, classes="by-name", only=["pixels"])
    labels = sorted({0, *np.unique(truth).tolist()})
    expected = jaccard_score(
        truth.ravel(), found.ravel(), labels=labels, average=None, zero_division=0
    )
    assert figures["mean_iou"] == pytest.approx(expected.mean())
    assert figures["pixel_accuracy"] == pytest.approx((found == truth).mean())


def test_only__leaves_other_figures_out() -> None:
    one = dataset(prediction("a.jpg", region(LEFT, 0)))
    objects = figures_of(one, one, only=["objects"], classes="by-name")
    assert "found_50" in objects
    assert not {"ap", "mean_iou"} & objects.keys()
