"""Finding a strategy by name through its entry point, and making it with its settings."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pydantic

from prelabel.errors import UserError
from prelabel.extras import extra_of, install_command
from prelabel.storage.text import nearest, what_was_expected
from prelabel.strategies.protocols import (
    Backbone,
    Clusterer,
    Consistency,
    Embedder,
    Engine,
    Exporter,
    Foreground,
    Learner,
    Refiner,
    Separator,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of strategy: its section in the config, entry point group and Protocol."""

    section: str
    group: str
    protocol: type


KINDS: dict[str, Kind] = {
    kind.section: kind
    for kind in (
        Kind("backbone", "prelabel.backbones", Backbone),
        Kind("clusterer", "prelabel.clusterers", Clusterer),
        Kind("foreground", "prelabel.foregrounds", Foreground),
        Kind("consistency", "prelabel.consistency", Consistency),
        Kind("learner", "prelabel.learners", Learner),
        Kind("refiner", "prelabel.refiners", Refiner),
        Kind("separator", "prelabel.separators", Separator),
        Kind("embedder", "prelabel.embedders", Embedder),
        Kind("exporter", "prelabel.exporters", Exporter),
        Kind("engine", "prelabel.engines", Engine),
    )
}


OWN = "prelabel"
"""Our distribution."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
"""Names of formats are names of folders too."""


def names(section: str) -> list[str]:
    """Names of the installed strategies of a kind, sorted, whether or not they import."""
    return sorted(_entry_points(section))


def load(section: str, name: str) -> type[Any]:
    """The strategy class of that name. UserError if unknown, not importable or not a strategy."""
    points = _entry_points(section)
    if name not in points:
        word = "format" if section == "exporter" else section
        raise UserError(f"no {word} is named {name!r}{nearest(name, points)}")
    point = points[name]
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{section} {name!r} ({point.value}) cannot be used: a name starts with a letter or digit "
            "and has no other characters than these, '-', '_' and '.'"
        )
    try:
        strategy = point.load()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        extra = extra_of(getattr(error, "name", None))
        remedy = f": {install_command(extra)}" if extra else ""
        raise UserError(f"{section} {name!r} cannot be imported ({reason}){remedy}") from error
    if not dataclasses.is_dataclass(strategy) or not isinstance(strategy, type):
        raise UserError(f"{section} {name!r} ({point.value}) is not a dataclass")
    if not strategy.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise UserError(f"{section} {name!r} ({point.value}) is a dataclass but not frozen")
    missing = [m for m in _members(KINDS[section].protocol) if not hasattr(strategy, m)]
    if missing:
        raise UserError(f"{section} {name!r} ({point.value}) has no {', '.join(missing)}")
    return strategy


def make(section: str, name: str, settings: Mapping[str, object]) -> Any:
    """The strategy with these settings; values are checked and converted to the fields' types."""
    strategy = load(section, name)
    known = [field.name for field in dataclasses.fields(strategy)]
    for setting in settings:
        if setting not in known:
            raise UserError(
                f"{section} {name!r} has no setting {setting!r}{nearest(setting, known)}"
            )
    try:
        return _adapter(strategy).validate_python(dict(settings))  # type: ignore[arg-type]
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        # As --set takes it: formats go by their names.
        own = name if section == "exporter" else section
        where = ".".join([own, *(str(part) for part in first["loc"])])
        reason = what_was_expected([str(first["msg"])])
        raise UserError(f"{where} = {first['input']!r}: {reason}") from error


def origin(section: str, name: str) -> str:
    """The distribution and version that a strategy comes from, for people to read."""
    point = entry_point(section, name)
    return f"{point.dist.name} {point.dist.version}" if point and point.dist else "unknown"


def title(section: str, strategy: object) -> str:
    """A strategy for messages: its kind and name, and the distribution and version of a plugin's."""
    return _title(section, type(strategy))  # type: ignore[arg-type]


@cache  # asked at every call of a strategy, and a distribution's metadata is parsed at each question
def _title(section: str, made: type) -> str:
    for name, point in _entry_points(section).items():
        if point.value == f"{made.__module__}:{made.__qualname__}":
            own = not point.dist or point.dist.name == OWN
            return f"{section} {name!r}" + ("" if own else f" of {origin(section, name)}")
    return f"{section} {made.__name__}"


def entry_point(section: str, name: str) -> EntryPoint | None:
    """Where a strategy is; None for one that is not installed."""
    return _entry_points(section).get(name)


@cache  # building one takes milliseconds
def _adapter(strategy: type) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(strategy)


@cache
def _entry_points(section: str) -> dict[str, EntryPoint]:
    found = entry_points(group=KINDS[section].group)
    # Our own last: another distribution cannot take the place of a built-in strategy.
    own = [point for point in found if point.dist and point.dist.name == OWN]
    return {point.name: point for point in (*found, *own)}


def _members(protocol: type) -> list[str]:
    return sorted(name for name in vars(protocol) if not name.startswith("_"))
