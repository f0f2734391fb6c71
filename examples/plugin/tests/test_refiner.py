"""The refiner keeps the contract of its kind, and is found by its name."""

from __future__ import annotations

from importlib.metadata import entry_points

import numpy as np
from prelabel.testing import check_strategy

from prelabel_soft_edges.refiner import SoftEdgesRefiner


def test_contract() -> None:
    check_strategy(SoftEdgesRefiner())


def test_it_is_found_by_its_name() -> None:
    (point,) = entry_points(group="prelabel.refiners", name="soft-edges")
    assert point.load() is SoftEdgesRefiner


def test_refine__a_single_pixel_is_smoothed_away_but_not_at_an_edge() -> None:
    foreground = np.zeros((9, 9), dtype=np.float32)
    foreground[4, 4] = 0.9
    flat = np.full((9, 9, 3), 128, dtype=np.uint8)
    refiner = SoftEdgesRefiner(radius=1)
    # The mean of 9 pixels, one of them 0.9.
    np.testing.assert_allclose(refiner.refine(foreground, flat)[4, 4], 0.1, atol=1e-6)
    edge = flat.copy()
    edge[4, 4] = 255
    assert refiner.refine(foreground, edge)[4, 4] > 0.5
