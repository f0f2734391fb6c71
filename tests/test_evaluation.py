"""Metrics against values worked by hand, scipy, scikit-learn and pycocotools."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import confusion_matrix, jaccard_score

from prelabel.errors import UserError
from prelabel.evaluation import evaluate, format_table, metrics
from prelabel.masks import encode_rle, rle_area, rle_box
from prelabel.records import Prediction, Region


def test_foreground_iou__void_is_left_out() -> None:
    truth = np.array([[1, 2, 0, 255]], dtype=np.uint8)
    assert metrics.foreground_iou(np.array([[True, False, True, True]]), truth) == 1 / 3
    assert metrics.foreground_iou(np.array([[True, True, False, False]]), truth) == 1.0
    assert metrics.foreground_iou(np.zeros((1, 4), bool), np.zeros((1, 4), np.uint8)) == 1.0


def test_best_part_iou__takes_the_part_that_fits_best() -> None:
    truth = np.array([[1, 1, 0, 0, 3, 255]], dtype=np.uint8)
    assert metrics.best_part_iou(np.array([[1, 0, 0, 0, 0, 0]], dtype=bool), truth) == 0.5
    assert metrics.best_part_iou(np.array([[0, 1, 1, 1, 1, 1]], dtype=bool), truth) == 0.25
    assert metrics.best_part_iou(np.ones((1, 6), bool), np.zeros((1, 6), np.uint8)) == 0.0


@given(
    hnp.arrays(np.int64, (4, 6), elements=st.integers(0, 3)),
    hnp.arrays(np.uint8, (4, 6), elements=st.sampled_from([0, 1, 2, 255])),
)
@pytest.mark.slow
def test_confusion__as_scikit_learn(clusters: np.ndarray, truth: np.ndarray) -> None:
    counts = metrics.confusion(clusters, truth, n_clusters=3)
    valid = truth != 255
    wanted = confusion_matrix(clusters[valid], truth[valid], labels=range(4)) if valid.any() else 0
    assert np.array_equal(counts[:, :4], np.zeros((4, 4)) + wanted)


@given(hnp.arrays(np.int64, (4, 4), elements=st.integers(0, 50)))
def test_match_classes__is_the_best_of_all_matchings(table: np.ndarray) -> None:
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
    wanted = jaccard_score(truth.ravel(), found.ravel(), average="macro")
    assert match.mean_iou == pytest.approx(wanted)


def test_auroc__by_hand() -> None:
    scores, good = np.array([0.9, 0.4, 0.6, 0.1]), np.array([True, True, False, False])
    assert metrics.auroc(scores, good) == 0.75  # 3 of the 4 pairs are in order
    assert np.isnan(metrics.auroc(scores, np.ones(4, bool)))


def _prediction(photo: str, *masks: np.ndarray) -> Prediction:
    regions = tuple(
        Region(encode_rle(m), rle_box(encode_rle(m)), rle_area(encode_rle(m)), 0.9 - 0.1 * i, i)
        for i, m in enumerate(masks)
    )
    return Prediction(photo, "0" * 32, 8, 6, regions, 0.0, 0, "v-0")


def _box(top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros((6, 8), dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


def _truth(folder: Path, objects: dict[str, list[tuple[int, np.ndarray]]]) -> Path:
    data: dict[str, list] = {  # type: ignore[type-arg]
        "images": [],
        "annotations": [],
        "categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
    }
    for i, (name, own) in enumerate(objects.items(), start=1):
        data["images"].append({"id": i, "file_name": name, "width": 8, "height": 6})
        for category, mask in own:
            rle = encode_rle(mask)
            data["annotations"].append(
                {
                    "id": len(data["annotations"]) + 1,
                    "image_id": i,
                    "category_id": category,
                    "segmentation": rle,
                    "area": rle_area(rle),
                    "bbox": rle_box(rle),
                    "iscrowd": 0,
                }
            )
    file = folder / "truth.json"
    file.write_text(json.dumps(data))
    return file


def test_evaluate__the_truth_itself_scores_one(tmp_path: Path) -> None:
    left, right = _box(0, 0, 3, 3), _box(2, 5, 4, 3)
    truth = _truth(tmp_path, {"a.jpg": [(7, left), (9, right)], "b.jpg": []})
    result = evaluate([_prediction("a.jpg", left, right), _prediction("b.jpg")], truth)
    for figure in ("foreground_iou", "mean_iou", "ap", "ap50"):
        assert result[figure] == pytest.approx(1.0)
    assert result["false_foreground"] == 0.0
    assert result["class_cluster"] == {"background": -1, "cat": 0, "dog": 1}
    assert result["score_auroc"] is None
    assert "foreground IoU" in format_table(result)


def test_evaluate__a_photo_without_prediction_counts_zero(tmp_path: Path) -> None:
    half = _box(0, 0, 3, 3)
    truth = _truth(tmp_path, {"a.jpg": [(7, _box(0, 0, 6, 3))], "b.jpg": [(9, half)]})
    result = evaluate([_prediction("a.jpg", half), _prediction("b.jpg")], truth)
    assert result["foreground_iou"] == 0.25  # (0.5 + 0) / 2
    assert result["class_iou"]["dog"] == 0.0


def test_evaluate__wrong_use_is_said(tmp_path: Path) -> None:
    truth = _truth(tmp_path, {"a.jpg": [(7, _box(0, 0, 3, 3))]})
    with pytest.raises(UserError, match="none of the 1 predicted photos"):
        evaluate([_prediction("other.jpg")], truth)
    with pytest.raises(UserError, match="cannot be read"):
        evaluate([], tmp_path / "missing.json")
    (tmp_path / "cut.json").write_text('{"images": [')
    with pytest.raises(UserError, match="no COCO instances file"):
        evaluate([], tmp_path / "cut.json")
    other = Prediction("a.jpg", "0" * 32, 80, 60, (), 0.0, 0, "v-0")
    with pytest.raises(UserError, match="not the same photo"):
        evaluate([other], truth)
