"""HTML pages from the templates (Jinja) that lie in the package, and how values get into them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from prelabel.storage.files import replacing

_VISIBLE = {code: json.dumps(chr(code))[1:-1] for code in range(0x20)}
"""Control characters as JSON writes them: a line feed as \\n."""


@cache
def template(name: str) -> Template:
    """A template by its path in the package.

    Every value that it shows becomes text and never markup, with control characters made visible;
    one that is missing is an error.
    """
    return _environment().get_template(name)


def write_page(file: Path, name: str, values: Mapping[str, object]) -> None:
    """Replace a file by a template with its values; it is written as it is made, so that long lists
    may come from generators. Raises OSError; the file that was there before then stays."""
    with (
        replacing(file) as beside,
        # A file name that is not valid Unicode holds lone surrogates: references, not an error.
        beside.open("w", encoding="utf-8", errors="xmlcharrefreplace", newline="\n") as out,
    ):
        out.writelines(template(name).generate(values))


def script_json(value: object) -> Markup:
    """JSON in ASCII that is safe inside a script element: no ``</script`` and no ``<!--``."""
    return Markup(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("prelabel", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["asset"] = _asset
    environment.filters["count"] = _count
    environment.filters["script_json"] = script_json
    return environment


def _visible(value: object) -> object:
    return value if isinstance(value, Markup) else str(value).translate(_VISIBLE)


def _asset(name: str) -> Markup:
    """A style sheet or script of the package, to stand in the page as it is."""
    return Markup(files("prelabel").joinpath(name).read_text(encoding="utf-8"))


def _count(n: int) -> str:
    """A whole number with narrow spaces between thousands."""
    return f"{n:,}".replace(",", "\u202f")
