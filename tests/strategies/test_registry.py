"""From a name to a strategy with its settings, and the errors for those that cannot be used."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from prelabel.errors import UserError
from prelabel.strategies import registry
from prelabel.strategies.registry import load, make


def test_make__settings_are_converted_and_checked() -> None:
    assert make("clusterer", "spherical-kmeans", {"restarts": "7"}).restarts == 7
    with pytest.raises(UserError, match=r"'restart'.*'restarts'"):
        make("clusterer", "spherical-kmeans", {"restart": 7})
    with pytest.raises(UserError, match=r"clusterer\.restarts = 'many'"):
        make("clusterer", "spherical-kmeans", {"restarts": "many"})
    with pytest.raises(UserError, match=r"'sperical-kmeans'.*'spherical-kmeans'"):
        make("clusterer", "sperical-kmeans", {})


def test_make__settings_of_formats_go_by_the_formats_name() -> None:
    with pytest.raises(UserError, match=r"^voc\.seed = 'x'"):
        make("exporter", "voc", {"seed": "x"})


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("collections:OrderedDict", "not a dataclass"),
        ("prelabel.errors:cannot_be_found", "cannot_be_found"),
        ("prelabel.runs.tally:Tally", "not frozen"),
        ("prelabel.data.records:ImageFile", "refine"),  # frozen, and refines nothing
        ("no_such_module:Refiner", "ModuleNotFoundError.*no_such_module"),
    ],
)
def test_load__what_is_not_a_strategy_is_named(
    place: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("mine", place, "prelabel.refiners")
    monkeypatch.setattr(registry, "_entry_points", lambda section: {"mine": point})
    with pytest.raises(UserError, match=f"refiner 'mine'.*{problem}"):
        load("refiner", "mine")
    assert registry.names("refiner") == ["mine"]
    assert registry.origin("refiner", "mine") == "unknown"  # of no distribution


def test_origin__names_distribution_and_version() -> None:
    assert registry.origin("refiner", "none").startswith("prelabel ")
    assert registry.origin("refiner", "nowhere") == "unknown"
