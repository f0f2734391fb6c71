"""What is compared: settings in groups, one group after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prelabel.config import Config, change, load, recipe_names
from prelabel.errors import UserError
from prelabel.overrides import toml
from prelabel.strategies import registry

RECIPE = "recipe"
_VALUES: dict[str, tuple[object, ...]] = {
    "features.size": (336, 448, 672, [448, 896]),
    "learner.name": (),  # all that are installed
    "separator.name": (),
    "separator.similar": (0.4, 0.55, 0.7),
    "separator.within": (0.3, 0.5, 0.7),
    "regions.threshold": (0.3, 0.4, 0.5, 0.6),
    "regions.min_area": (0.0005, 0.002, 0.01),
    "regions.min_score": (0.0, 0.15, 0.3),
}
"""The values that are compared of each setting, in this order; the recipe comes before them."""
_OF_PAPERS = {"deep-spectral", "lost", "maskcut", "promerge", "tokencut"}
"""Separators that decide foreground themselves, so that labels teach them nothing."""
_OF_RECIPES = {"clusters", "largest"}
"""Separators that make sense in a recipe alone."""
_LEFT_OUT = {"separator.name": _OF_PAPERS | _OF_RECIPES}

_NO_FOREGROUND = ("scene",)
"""Recipes whose regions cover the photo, so that the IoU of their foreground says nothing."""


@dataclass(frozen=True)
class Candidate:
    """Settings to measure. ``config``: None if they cannot be used, for the ``reason``."""

    name: str
    config: Config | None
    reason: str = ""


def group_names(settings: Sequence[str]) -> list[str]:
    """What is compared, in order. A setting that is given as ``section.name=value`` stays as it is."""
    given = {setting.partition("=")[0].strip() for setting in settings}
    return [RECIPE, *(name for name in _VALUES if name not in given)]


def candidates(group: str, best: Config, settings: Sequence[str]) -> Iterator[Candidate]:
    """The alternatives to ``best`` in a group; none for a setting that its strategy does not have.
    ``settings``: those that are given."""
    for value in _values(group) if _has(best, group) else ():
        name = f"{group} {value}" if group == RECIPE else f"{group} = {value}"
        try:
            config = _config(group, value, best, settings)
        except UserError as error:  # such as an extra that is not installed
            yield Candidate(name, None, str(error))
        else:
            if not _is_same(config, best, group):
                yield Candidate(name, config)


def most(settings: Sequence[str]) -> int:
    """The largest number of candidates, with the first."""
    return 1 + sum(max(0, len(_values(name)) - 1) for name in group_names(settings))


def _has(config: Config, group: str) -> bool:
    section, _, name = group.partition(".")
    if section not in config.strategy_names or name == "name":
        return True
    strategy = registry.load(section, config.strategy_names[section])
    return name in {field.name for field in dataclasses.fields(strategy)}


def _is_same(config: Config, best: Config, group: str) -> bool:
    section = group.partition(".")[0]
    if section not in config.strategy_names:
        return config == best
    return config.strategy(section) == best.strategy(
        section
    )  # a setting may be left to its default


def _values(group: str) -> Sequence[object]:
    if group == RECIPE:
        return [name for name in recipe_names() if name not in _NO_FOREGROUND]
    if _VALUES[group]:
        return _VALUES[group]
    installed = registry.names(group.partition(".")[0])
    return [name for name in installed if name not in _LEFT_OUT.get(group, ())]


def _config(group: str, value: object, best: Config, settings: Sequence[str]) -> Config:
    if group == RECIPE:
        return load(str(value), settings)
    return change(best, [f"{group}={toml(value)}"])
