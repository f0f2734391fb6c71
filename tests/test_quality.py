"""The committed figures are what the code gives: 20 photos are measured again."""

from __future__ import annotations

import csv
import importlib
from types import ModuleType

import numpy as np
import pytest

from prelabel import config
from support.places import DATA, ROOT, require


@pytest.fixture(scope="module")
def quality() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")  # as when it is run
        return importlib.import_module("quality")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("stand_in")
def test_quality__twenty_photos_again(quality: ModuleType) -> None:
    require("data", (DATA / quality.CHECK_SET).is_dir(), f"no photos with masks in {DATA}")
    with quality.RESULTS.open(encoding="utf-8") as file:
        committed = next(
            row
            for row in csv.DictReader(file)
            if row["weights"] == "stand-in" and row["photos"] == str(quality.CHECK_PHOTOS)
        )
    measured = quality.measure(
        DATA / quality.CHECK_SET,
        config.load(committed["recipe"], ["backbone.weights=stand-in", quality.CHECK_PRECISION]),
        seed=0,
        photos=quality.CHECK_PHOTOS,
        labels={"weights": "stand-in", "recipe": committed["recipe"]},
    )
    for figure in ("iou_dataset", "iou_category", "iou_image", "iou_whole", "miou"):
        # Another processor rounds differently, which moves a cluster's edge by a patch or so.
        assert float(measured.row[figure]) == pytest.approx(float(committed[figure]), abs=0.02)


def test_largest_rectangle__worked_by_hand(quality: ModuleType) -> None:
    free = np.array([[0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0]], dtype=bool)
    assert quality.largest_rectangle(free) in {(0, 1, 2, 3), (1, 0, 2, 3)}
    assert quality.largest_rectangle(np.zeros((3, 3), dtype=bool)) == (0, 0, 0, 0)
    assert quality.largest_rectangle(np.ones((2, 5), dtype=bool)) == (0, 0, 2, 5)


def test_best_part_iou__takes_the_part_that_fits_best(quality: ModuleType) -> None:
    truth = np.array([[1, 1, 0, 0, 3, 255]], dtype=np.uint8)
    assert quality.best_part_iou(np.array([[1, 0, 0, 0, 0, 0]], dtype=bool), truth) == 0.5
    assert quality.best_part_iou(np.array([[0, 1, 1, 1, 1, 1]], dtype=bool), truth) == 0.25
    assert quality.best_part_iou(np.ones((1, 6), bool), np.zeros((1, 6), np.uint8)) == 0.0
