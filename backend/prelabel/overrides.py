"""Settings as people type them: ``section.name=value``, and a backbone by one name."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from prelabel.errors import UserError
from prelabel.strategies import registry

STAND_IN = "stand-in"

Known = Callable[[], Mapping[str, Iterable[str]]]
"""Gives the names of settings by section, to say what may have been meant."""


def parse_override(override: str, known: Known) -> tuple[str, str, object]:
    """Section, name and value of ``section.name=value``. Raises UserError.

    A value that is not TOML is text.
    """
    path, equals, text = override.partition("=")
    section, dot, name = path.strip().partition(".")
    if not (equals and dot and section and name):
        meant = [f"{place}={text or 'VALUE'}" for place in settings_named(path.strip(), known())]
        remedy = f"did you mean {' or '.join(meant)}?" if meant else "as in features.size=336"
        raise UserError(f"--set {override!r}: expected section.name=value; {remedy}")
    try:
        return section, name, tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return section, name, text.strip()


def settings_named(name: str, known: Mapping[str, Iterable[str]]) -> list[str]:
    """The settings of that name, or of the most similar one, as ``section.name``."""
    places = [(section, own) for section, names in known.items() for own in names]
    close = difflib.get_close_matches(name, {own for _, own in places}, n=1, cutoff=0.75)
    return [f"{section}.{own}" for section, own in places if own in close]


def backbone_settings(name: str) -> list[str]:
    """A backbone's name as settings: an installed plugin, the stand-in, a file, or else a model of
    timm. Raises UserError, with the nearest name, for what is certainly none of them."""
    plugins = registry.names("backbone")
    if name in plugins:
        return [f"backbone.name={toml(name)}"]
    file = Path(name).expanduser()
    model = weights = ""
    if name == STAND_IN:
        weights = name
    elif file.is_file():
        weights = str(file.resolve())  # found from any folder later
    else:
        if close := difflib.get_close_matches(name, [STAND_IN, *plugins], n=1, cutoff=0.75):
            raise UserError(f"no backbone is named {name!r}; did you mean {close[0]!r}?")
        if file.is_dir() or file.suffix in (".safetensors", ".pth", ".pt", ".bin") or "/" in name:
            raise UserError(f"--backbone {name!r}: no such file")
        model = name
    return [
        'backbone.name="timm"',
        f"backbone.model={toml(model)}",
        f"backbone.weights={toml(weights)}",
    ]


def toml(value: object) -> str:
    """A string, number or list as TOML."""
    # JSON's are valid TOML, except for one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
