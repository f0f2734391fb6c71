"""What annotators care about: matching, sizes, work and its cost, worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import box, prediction, region
from prelabel.data.records import Region
from prelabel.errors import UserError
from prelabel.evaluation import Costs, load_costs
from prelabel.evaluation.objects import size_of
from support.evaluation_data import dataset, figures_of


def _row(start: int, stop: int, cluster: int = 0, **options: Any) -> Region:
    """Pixels start to stop of one row of 40 pixels."""
    return region(box(start, 0, stop - start, 1, photo=(1, 40)), cluster, **options)


def _objects(found: list[Region], true: list[Region], **options: Any) -> dict[str, Any]:
    sides = [dataset(prediction("a.jpg", *own, size=(1, 40))) for own in (found, true)]
    return figures_of(*sides, classes="by-name", only=["objects"], costs=Costs(**options))


@pytest.mark.parametrize(
    ("pixels", "kept", "touched_up", "redrawn"),
    [(20, 1, 0, 0), (18, 1, 0, 0), (17, 0, 1, 0), (10, 0, 1, 0), (9, 0, 0, 1), (0, 0, 0, 1)],
)
def test_objects__thresholds(pixels: int, kept: int, touched_up: int, redrawn: int) -> None:
    found = [_row(0, pixels)] if pixels else []  # IoU is pixels / 20
    figures = _objects(found, [_row(0, 20)])
    assert (figures["kept_as_is"], figures["touched_up"]) == (kept, touched_up)
    assert figures["redrawn"] == redrawn
    assert figures["found_50"] == (pixels >= 10)
    assert figures["found_75"] == (pixels >= 15)
    assert figures["found_90"] == (pixels >= 18)
    assert figures["false_regions"] == (1 if pixels == 9 else 0)


def test_objects__one_region_is_one_object() -> None:
    # Two objects under one region that has IoU 0.5 with each: it stands for one of them only.
    figures = _objects([_row(0, 20)], [_row(0, 10), _row(10, 20)])
    assert figures["found_50"] == 0.5
    assert figures["objects"] == 2
    # Two regions on one object: the better one is on it, the other is false.
    figures = _objects([_row(0, 12), _row(0, 19)], [_row(0, 20)])
    assert (figures["kept_as_is"], figures["false_regions"]) == (1, 1)


def test_objects__the_matching_is_the_best_together() -> None:
    true = [_row(2, 22), _row(2, 13)]  # overlapping, as COCO's objects are
    found = [_row(2, 20), _row(6, 22)]
    # IoU: 18/20 and 11/18 for the first region, 16/20 and 7/20 for the second. The first taken for
    # the object that it fits best would leave nothing for the other object.
    figures = _objects(found, true)
    assert figures["found_50"] == 1.0
    assert figures["found_75"] == 0.5
    assert figures["false_regions"] == 0


def test_objects__regions_in_void_are_not_false() -> None:
    true = [_row(0, 10), _row(20, 30, -1, crowd=True)]
    figures = _objects([_row(0, 10), _row(25, 35), _row(26, 40)], true)
    assert figures["objects"] == 1
    assert figures["false_regions"] == 1  # half of the first lies in the void; 4 of 14 do not do


def test_objects__by_class_and_size() -> None:
    figures = _objects([_row(0, 10, 0), _row(20, 30, 0)], [_row(0, 10, 0), _row(20, 30, 1)])
    cat, dog = figures["per_class"]
    assert (cat["class"], cat["kept_as_is"], cat["wrong_class"]) == ("cat", 1.0, 0)
    assert (dog["class"], dog["kept_as_is"], dog["wrong_class"]) == ("dog", 1.0, 1)
    assert figures["objects_by_size"]["small"]["objects"] == 2
    assert figures["objects_by_size"]["large"]["found_50"] is None
    assert [size_of(area) for area in (1, 1023, 1024, 9215, 9216)] == [
        *("small", "small", "medium", "medium", "large")
    ]


def test_costs__by_hand() -> None:
    # Kept with the wrong class, touched up, redrawn, and one false region, in one photo.
    found = [_row(0, 10, 1), _row(10, 16), _row(35, 40)]
    true = [_row(0, 10), _row(10, 20), _row(20, 30)]
    seconds = {"draw": 100, "touch_up": 30, "keep": 3, "delete": 4, "relabel": 5, "photo": 6}
    figures = _objects(found, true, **seconds)
    assert figures["hours_without"] == pytest.approx(300 / 3600)
    assert figures["hours_with"] == pytest.approx((3 + 5 + 30 + 100 + 4 + 6) / 3600)
    assert figures["time_saved"] == pytest.approx(1 - 148 / 300)
    assert figures["costs"]["relabel"] == 5


def test_costs__no_predictions_save_nothing() -> None:
    figures = _objects([], [_row(0, 10)])
    assert figures["time_saved"] == pytest.approx(-5.0 / 79.2)  # the photo is looked at for nothing
    assert figures["score_auroc"] is None


def test_costs__defaults_are_the_literatures() -> None:
    assert Costs().draw == 22 * 3600 / 1000  # Lin et al. 2014
    assert Costs().touch_up == pytest.approx(Costs().draw / 3)
    assert "Lin et al. 2014" in (Costs.__doc__ or "")


@given(st.lists(st.integers(0, 50), min_size=6, max_size=6))
def test_costs__add_up(counts: list[int]) -> None:
    names = ("kept", "touched_up", "redrawn", "false_regions", "wrong_class", "photos")
    given_counts = dict(zip(names, counts, strict=True))
    ones = [Costs().seconds(**{n: int(n == name) for n in names}) for name in names]
    for side in (0, 1):
        expected = sum(n * one[side] for n, one in zip(counts, ones, strict=True))
        assert Costs().seconds(**given_counts)[side] == pytest.approx(expected)


def test_load_costs__file_then_settings(tmp_path: Path) -> None:
    file = tmp_path / "costs.toml"
    file.write_text("[costs]\ndraw = 60\nkeep = 1\n", encoding="utf-8-sig")  # as Windows does
    costs = load_costs(file, ["costs.keep=4"])
    assert (costs.draw, costs.keep, costs.photo) == (60, 4, 5)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("[costs]\ndraws = 1", [], "no setting 'draws'; did you mean 'draw'"),
        ("[cost]\ndraw = 1", [], "no section 'cost'"),
        ("costs = 3", [], "costs is not a section"),
        ("[costs", [], "cannot be read"),
        ("[costs]\ndraw = -1", [], "costs.draw = -1"),
        ("", ["costs.draw=fast"], "costs.draw = 'fast'"),
        ("", ["levels.k=3"], "expected costs.name=value"),
    ],
)
def test_load_costs__wrong_use_is_reported(
    tmp_path: Path, text: str, settings: list[str], message: str
) -> None:
    file = tmp_path / "costs.toml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        load_costs(file, settings)
    assert message in str(error.value)
