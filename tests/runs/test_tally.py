"""Warnings about results that look wrong."""

from __future__ import annotations

import pytest

from prelabel.config import Config
from prelabel.runs.tally import Tally
from support.messages import assert_says


@pytest.mark.parametrize(
    ("shares", "share"),
    [
        ([0.1, 0.61, 0.9], "61.0%"),
        ([0.0, 0.009, 0.3], "0.9%"),
    ],
)
def test_warning__names_the_settings_to_turn(shares: list[float], share: str) -> None:
    tally = Tally()
    tally.foreground.extend(shares)
    (warning,) = tally.warnings(Config())
    assert_says(warning, share, "regions.threshold", "foreground.name=border")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6])
def test_warning__none_for_what_looks_right(share: float) -> None:
    tally = Tally()
    tally.foreground.extend([share + 1e-6 if share < 0.5 else share - 1e-6])
    assert tally.warnings(Config()) == []
