"""The comparison with authors' code: its measure by hand, and the committed figures."""

from __future__ import annotations

import csv
import importlib
from types import ModuleType

import numpy as np
import pytest

from support.places import ROOT


@pytest.fixture(scope="module")
def fidelity() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")  # as when it is run
        return importlib.import_module("peers_fidelity")


def test_iou__the_best_pairing_over_the_larger_number(fidelity: ModuleType) -> None:
    a, b, c = (np.array([[bits]], dtype=bool) for bits in ([1, 1, 0], [0, 0, 1], [1, 0, 0]))
    none = np.zeros((0, 1, 3), dtype=bool)
    assert fidelity.iou(np.concatenate([a, b]), np.concatenate([b, a])) == 1
    assert fidelity.iou(np.concatenate([a, b]), c) == 0.25  # 1 / 2 of one mask, of two
    assert fidelity.iou(none, none) == 1
    assert fidelity.iou(a, none) == fidelity.iou(none, a) == 0


def test_results__each_method_was_compared_and_agrees(fidelity: ModuleType) -> None:
    with fidelity.RESULTS.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if "(" not in row["method"]]
    compared = [row for row in rows if int(row["cuttable"])]
    methods = {"tokencut", "maskcut", "lost", "deep-spectral", "promerge"}
    assert {row["method"] for row in compared} == methods
    for row in compared:
        assert int(row["photos"]) >= 20
        assert float(row["iou_min"]) >= 0.99, row
