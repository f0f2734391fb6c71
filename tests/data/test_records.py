"""Records: what they derive from what they hold."""

from __future__ import annotations

import pytest

from builders import box, prediction, region


def test_region__mask_has_the_box_and_area() -> None:
    found = region(box(3, 1, 2, 4))
    assert found.mask.shape == (8, 10)
    x, y, width, height = found.box
    assert found.mask[y : y + height, x : x + width].all()
    assert found.mask.sum() == found.area == 8


def test_prediction__score_is_the_mean_of_its_regions() -> None:
    mask = box(0, 0, 1, 1)
    scores = [region(mask, score=score) for score in (0.25, 0.5, 0.9)]
    assert prediction("a.jpg", *scores).score == pytest.approx(0.55)
    assert prediction("a.jpg").score == 0
