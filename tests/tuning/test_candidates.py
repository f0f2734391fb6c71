"""Which settings are compared."""

from __future__ import annotations

import pytest

from prelabel.config import Config, load, recipe_names
from prelabel.errors import UserError
from prelabel.strategies import registry
from prelabel.tuning import candidates as module
from prelabel.tuning.candidates import candidates, group_names, most


def test_candidates__of_recipes_are_all_others() -> None:
    found = list(candidates("recipe", load("default"), []))
    assert [c.name for c in found if c.config] <= [
        f"recipe {n}" for n in recipe_names() if n != "default"
    ]
    fast = next(c for c in found if c.name == "recipe fast")
    assert fast.config == load("fast")


def test_candidates__change_one_setting_of_the_best() -> None:
    best = load("fast", ["features.size=336"])
    found = {c.name: c.config for c in candidates("regions.threshold", best, [])}
    assert set(found) == {f"regions.threshold = {t}" for t in (0.3, 0.4, 0.6)}
    changed = found["regions.threshold = 0.3"]
    assert changed == load("fast", ["features.size=336", "regions.threshold=0.3"])


def test_candidates__learners_are_those_that_are_installed() -> None:
    found = {c.name for c in candidates("learner.name", Config(), [])}
    assert found == {f"learner.name = {n}" for n in registry.names("learner") if n != "ridge"}


def test_candidates__separators_without_those_that_labels_do_not_teach() -> None:
    found = {c.name for c in candidates("separator.name", load("default"), [])}
    assert found == {
        *("separator.name = connected", "separator.name = watershed"),
        *("separator.name = hierarchy", "separator.name = merge"),
        "separator.name = hierarchy-zoom",
    }
    assert "tokencut" in registry.names("separator")


def test_candidates__settings_that_only_some_strategies_have() -> None:
    found = {c.name for c in candidates("separator.similar", load("default"), [])}
    assert found == {"separator.similar = 0.4", "separator.similar = 0.7"}  # 0.55 is the default
    assert not list(candidates("separator.similar", load("fast"), []))  # connected has none
    assert list(candidates("separator.within", load("default"), []))
    assert not list(candidates("separator.within", load("default", ["separator.name=merge"]), []))


def test_candidates__given_settings_hold_for_every_recipe() -> None:
    settings = ["features.size=112", "regions.threshold=0.7"]
    for candidate in candidates("recipe", load("default", settings), settings):
        if candidate.config:
            assert candidate.config.features.size == 112
            assert candidate.config.regions.threshold == 0.7


def test_group_names__what_is_given_is_not_compared() -> None:
    assert group_names([])[0] == "recipe"
    assert {"features.size", "learner.name"} <= set(group_names([]))
    left = group_names(["features.size=112", " learner.name = none"])
    assert {"features.size", "learner.name"}.isdisjoint(left)


def test_candidates__what_is_not_installed_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> Config:
        raise UserError("dense-crf needs pydensecrf: pip install it")

    monkeypatch.setattr(module, "load", missing)
    found = list(candidates("recipe", Config(), []))
    assert all(c.config is None and "pydensecrf" in c.reason for c in found)


def test_most__bounds_the_candidates() -> None:
    settings = ["learner.name=none"]
    groups = group_names(settings)
    best = load("default", settings)
    made = 1 + sum(len(list(candidates(group, best, settings))) for group in groups)
    assert made <= most(settings) <= 25
