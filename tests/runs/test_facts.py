"""run.json: what is said of labels that taught."""

from __future__ import annotations

import pytest

from prelabel.runs.facts import TaughtFacts

TRIED = {"0": 0.1534, "0.25": 0.2, "0.5": 0.3211, "1": 0.3}


@pytest.mark.parametrize(
    ("photos", "classes", "weight", "tried", "line"),
    [
        (10, 3, 0.5, TRIED, "10 photos, 3 classes; foreground IoU on photos left out 0.32 instead of 0.15"),
        (1, 1, 0.25, {}, "1 photo, 1 class; too few to tell by photos left out how much they help"),
        (4, 1, 0.0, {}, "4 photos, 1 class; they do not teach where objects are"),
        (
            4,
            2,
            0.0,
            TRIED,
            "4 photos, 2 classes; foreground IoU on photos left out is no better with them (0.15): "
            "regions stay as without labels",
        ),
    ],
)  # fmt: skip
def test_taught_facts__line(
    photos: int, classes: int, weight: float, tried: dict[str, float], line: str
) -> None:
    names = [f"class {i}" for i in range(classes)]
    assert TaughtFacts(photos, names, weight, 0.5, tried, {}).line == line
