"""Metrics against values worked out by hand, scipy, scikit-learn and torchmetrics."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, jaccard_score

from prelabel.evaluation import metrics

Ints = NDArray[np.int64]


def test_foreground_iou__void_is_left_out() -> None:
    truth = np.array([[1, 2, 0, 255]], dtype=np.uint8)
    assert metrics.foreground_iou(np.array([[True, False, True, True]]), truth) == 1 / 3
    assert metrics.foreground_iou(np.array([[True, True, False, False]]), truth) == 1.0
    assert metrics.foreground_iou(np.zeros((1, 4), bool), np.zeros((1, 4), np.uint8)) == 1.0


@given(
    hnp.arrays(np.int64, (4, 6), elements=st.integers(0, 3)),
    hnp.arrays(np.uint8, (4, 6), elements=st.sampled_from([0, 1, 2, 255])),
)
@pytest.mark.slow
def test_confusion__as_scikit_learn(clusters: Ints, truth: NDArray[np.uint8]) -> None:
    counts = metrics.confusion(clusters, truth, n_clusters=3)
    valid = truth != 255
    expected = (
        confusion_matrix(clusters[valid], truth[valid], labels=range(4)) if valid.any() else 0
    )
    assert np.array_equal(counts[:, :4], np.zeros((4, 4)) + expected)


@given(hnp.arrays(np.int64, (4, 4), elements=st.integers(0, 50)))
def test_match_classes__is_the_best_of_all_matchings(table: Ints) -> None:
    counts = np.zeros((4, 256), dtype=np.int64)
    counts[:, :4] = table
    match = metrics.match_classes(counts)
    present = [c for c in (1, 2, 3) if table[:, c].sum()]

    def iou(row: int, column: int) -> float:
        union = table[row].sum() + table[:, column].sum() - table[row, column]
        return float(table[row, column] / union) if union else 0.0

    best = max(
        sum(iou(row, column) for row, column in zip(rows, present, strict=False))
        for rows in itertools.permutations((1, 2, 3))
    )
    assert match.mean_iou * (len(present) + 1) == pytest.approx(iou(0, 0) + best)


def test_match_classes__equals_jaccard_when_clusters_are_classes() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, size=(20, 20)).astype(np.uint8)
    found = np.where(rng.random((20, 20)) < 0.8, truth, rng.integers(0, 4, size=(20, 20)))
    match = metrics.match_classes(metrics.confusion(found, truth, n_clusters=3))
    expected = jaccard_score(truth.ravel(), found.ravel(), average="macro")
    assert match.mean_iou == pytest.approx(expected)


def test_auroc__by_hand() -> None:
    scores, good = np.array([0.9, 0.4, 0.6, 0.1]), np.array([True, True, False, False])
    assert metrics.auroc(scores, good) == 0.75  # 3 of the 4 pairs are in order
    assert np.isnan(metrics.auroc(scores, np.ones(4, bool)))


def _counts(table: list[list[int]]) -> Ints:
    counts = np.zeros((len(table), 256), dtype=np.int64)
    counts[:, : len(table[0])] = table
    return counts


def _best_by_trying(counts: Ints) -> float:
    """The largest mean IoU of all ways to give each class a cluster of its own or none."""
    present = [c for c in range(1, metrics.VOID) if counts[:, c].sum()]
    rows = [*range(1, len(counts)), *([None] * len(present))]

    def iou(row: int | None, column: int) -> float:
        if row is None:
            return 0.0
        union = counts[row, :255].sum() + counts[:, column].sum() - counts[row, column]
        return float(counts[row, column] / union)

    sums = (
        sum(iou(row, column) for row, column in zip(chosen, present, strict=True))
        for chosen in set(itertools.permutations(rows, len(present)))
    )
    return (iou(0, 0) + max(sums)) / (len(present) + 1)


@pytest.mark.parametrize(
    "table",
    [
        [[9, 0, 0, 0], [0, 5, 5, 5], [0, 5, 5, 5], [0, 5, 5, 5]],  # all ties
        [[9, 1, 1, 0], [1, 9, 8, 0], [1, 9, 0, 0]],  # greedy would take (1, 1) and lose 8
        [[9, 1, 0, 0], [0, 5, 0, 0], [0, 4, 0, 0], [0, 3, 0, 0], [2, 2, 0, 0]],  # more clusters
        [[9, 1, 2, 3], [0, 5, 5, 5]],  # more classes than clusters
        [[9, 0, 4, 0], [3, 0, 6, 0], [1, 0, 6, 0]],  # classes 1 and 3 are absent
        [[9, 4, 4, 4]],  # no cluster at all
    ],
)
def test_match_classes__adversarial_tables(table: list[list[int]]) -> None:
    counts = _counts(table)
    counts[:, 255] = 1000  # void counts for nothing
    assert metrics.match_classes(counts).mean_iou == pytest.approx(_best_by_trying(counts))


def test_match_classes__accuracy_by_hand() -> None:
    match = metrics.match_classes(_counts([[8, 1, 0], [1, 4, 1], [0, 0, 5]]))
    assert match.class_of == {0: 1, 1: 2}
    assert match.accuracy == 17 / 20
    assert match.iou == {0: 0.8, 1: 4 / 7, 2: 5 / 6}


def test_vote_classes__several_clusters_take_one_class() -> None:
    # Clusters 0 and 1 are both mostly class 1; cluster 2 has background pixels only, so none.
    counts = _counts([[10, 0, 0], [0, 6, 1], [5, 3, 2], [2, 0, 0]])
    vote = metrics.vote_classes(counts)
    assert vote.class_of == {0: 1, 1: 1}
    assert vote.iou == {0: 10 / 17, 1: 9 / 17, 2: 0.0}
    assert vote.mean_iou == pytest.approx(19 / 17 / 3)
    assert metrics.match_classes(counts).class_of.keys() <= {0, 1, 2}


@pytest.mark.slow
def test_mean_iou__as_torchmetrics() -> None:
    pytest.importorskip(
        "prelabel.weights.timm_import"
    )  # mends a torchvision that does not fit torch
    pytest.importorskip("torchmetrics")
    import torch
    from torchmetrics.functional.classification import (
        multiclass_confusion_matrix,
        multiclass_jaccard_index,
    )

    rng = np.random.default_rng(0)
    truth = rng.choice([0, 1, 2, 3, 255], size=(30, 40)).astype(np.uint8)
    found = np.where(rng.random(truth.shape) < 0.7, truth % 4, rng.integers(0, 4, truth.shape))
    counts = metrics.confusion(found, truth, n_clusters=3)
    pair = (torch.from_numpy(found), torch.from_numpy(truth.astype(np.int64)))
    theirs = multiclass_confusion_matrix(*pair, num_classes=4, ignore_index=255).numpy()
    assert np.array_equal(counts[:, :4].T, theirs)
    expected = multiclass_jaccard_index(*pair, num_classes=4, ignore_index=255, average="macro")
    assert metrics.match_classes(counts).mean_iou == pytest.approx(float(expected))


def test_boundary__one_pixel_of_a_small_photo() -> None:
    # The diagonal of 20 × 20 is 28.3 pixels, 2 % of it rounds to 1.
    mask = np.zeros((20, 20), dtype=bool)
    mask[5:15, 0:10] = True
    expected = mask.copy()
    expected[6:14, 1:9] = False
    assert np.array_equal(metrics.boundary(mask), expected)


def test_boundary__as_distance_to_the_outside() -> None:
    """Against scipy's chessboard distance: pixels no further than d from the outside."""
    from scipy.ndimage import distance_transform_cdt

    rng = np.random.default_rng(0)
    mask = np.kron(rng.random((10, 14)) < 0.6, np.ones((25, 25))).astype(bool)
    distance = round(0.02 * np.linalg.norm(mask.shape))
    assert distance == 9
    outside = distance_transform_cdt(np.pad(mask, 1), metric="chessboard")[1:-1, 1:-1]
    assert np.array_equal(metrics.boundary(mask), mask & (outside <= distance))


def test_boundary_pixels__void_has_no_boundary() -> None:
    truth = np.zeros((20, 20), dtype=np.uint8)
    truth[5:15, 5:15] = 1
    truth[5:15, 10] = 255  # a void line through the object
    found = (truth == 1).astype(bool)
    assert metrics.boundary_pixels(found, truth) == (34, 34)  # 36 of the outline, 2 in the void
    assert metrics.boundary_pixels(np.zeros_like(found), truth) == (0, 34)
