"""run.json: what is said on one line, and that earlier ones can be read."""

from __future__ import annotations

import pytest

from prelabel.runs.facts import GroupFacts, RunFacts, TaughtFacts, facts_json
from prelabel.storage.json import decode
from support.report_data import run_facts

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
    cut = TaughtFacts(photos, names, weight, 0.5, tried, {}, neck=0.75)
    assert cut.line == f"{line}; regions that hold several objects are cut apart"


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        (
            GroupFacts(312, 50, 14, 0.1234, 0.309),
            "9 classes used (silhouette 0.12); regions look like about 14 groups (silhouette 0.31)",
        ),
        (
            GroupFacts(60, 50, 0, -0.014),
            "9 classes used (silhouette -0.01); regions look like no groups: none are much more like "
            "each other than like the rest",
        ),
        (
            GroupFacts(12, 50),
            "12 regions, too few to say how many groups they look like (50 are needed)",
        ),
    ],
)
def test_group_facts__line(facts: GroupFacts, line: str) -> None:
    assert facts.line(9) == line
    assert decode(facts_json(run_facts(region_groups=facts)).encode(), RunFacts) == run_facts(
        region_groups=facts
    )


def test_group_facts__line_of_one_class_and_group() -> None:
    assert GroupFacts(60, 50, 1).line(1) == "1 class used; regions look like about 1 group"


@pytest.mark.parametrize(
    ("groups", "line"),
    [
        ([], ""),
        ([["a", "b"]], "2 photos are near-identical to others, in 1 group"),
        ([["a", "b"], ["c", "d", "e"]], "5 photos are near-identical to others, in 2 groups"),
    ],
)
def test_near_identical_line(groups: list[list[str]], line: str) -> None:
    assert run_facts(near_identical=groups).near_identical_line == line


def test_facts__of_an_earlier_version_have_neither() -> None:
    text = facts_json(run_facts())
    assert "near_identical" not in text
    assert "region_groups" not in text
    assert decode(text.encode(), RunFacts) == run_facts()
