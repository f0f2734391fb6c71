"""Counts over predictions, and results that look wrong."""

from __future__ import annotations

import numpy as np
import pytest

from builders import PARTS, RING, prediction, region
from prelabel.config import Config, load
from prelabel.data.records import Region
from prelabel.runs.tally import Tally


def test_tally__counts() -> None:
    photos = [
        prediction("a.jpg", region(RING, 2), region(PARTS, 0), dropped=3),
        prediction("b.jpg", region(RING, -1), version="m-2"),
        prediction("c.jpg", dropped=1),
    ]
    tally = Tally()
    assert list(tally.watch(photos)) == photos
    assert (tally.photos, tally.regions, tally.empty, tally.dropped) == (3, 3, 1, 4)
    assert tally.used == {-1, 0, 2}
    assert tally.class_names == ("object 1", "object 2", "object 3")
    assert Tally.of(photos[:2]).model_version == "m-2"
    assert Tally.of([]).class_names == ()


@pytest.mark.parametrize(
    ("foreground", "words"),
    [
        ([0.7, 0.2, 0.8], ("70.0%", "raise regions.threshold (0.5 now)", "foreground.name=border")),
        ([0.0, 0.001, 0.9], ("0.1%", "lower regions.threshold (0.5 now)")),
        ([0.0, 0.5, 0.9], ()),
        ([], ()),
    ],
)
def test_warnings__of_the_median_photo(
    foreground: list[float], words: tuple[str, ...], config: Config
) -> None:
    photos = [prediction("x", *share_of(share)) for share in foreground]
    warnings = Tally.of(photos).warnings(config)
    assert len(warnings) == bool(words)
    for word in words:
        assert word in warnings[0]


def test_warnings__none_where_photos_are_meant_to_be_covered() -> None:
    tally = Tally.of([prediction("x", *share_of(1.0))])
    assert tally.warnings(load("scene")) == []
    assert tally.warnings(load("default"))


@pytest.mark.parametrize(
    ("recipe", "settings", "advice"),
    [
        ("default", ["separator.name=tokencut"], "separator.features=relative"),
        (
            "default",
            ["separator.name=tokencut", "separator.features=relative"],
            "regions.threshold",
        ),
        ("defects", [], "raise foreground.share"),
        ("default", [], "lower regions.threshold"),
    ],
)
def test_warnings__too_little_by_strategies_that_pass_over_the_threshold(
    recipe: str, settings: list[str], advice: str
) -> None:
    [warning] = Tally.of([prediction("x", *share_of(0.0))]).warnings(load(recipe, settings))
    assert advice in warning
    assert ("lower regions.threshold" in warning) == (advice.endswith("threshold"))


def share_of(share: float) -> list[Region]:
    """One region that has this share of a photo of 1 000 pixels, or none."""
    mask = np.arange(1000).reshape(20, 50) < round(share * 1000)
    return [region(mask)] if share else []


@pytest.fixture
def config() -> Config:
    return load()
