"""HTML pages from the templates (Jinja) that lie in the package, and how values get into them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
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
    environment.globals["assets"] = _assets
    environment.globals["source_hash"] = source_hash
    environment.filters["count"] = _count
    environment.filters["script_json"] = script_json
    return environment


def _visible(value: object) -> object:
    return value if isinstance(value, Markup) else str(value).translate(_VISIBLE)


def source_hash(names: Sequence[str]) -> Markup:
    """What a Content-Security-Policy calls the style or script that is made of these files, so that
    nothing else on the page is taken for one."""
    digest = hashlib.sha256(_assets(names).encode()).digest()
    return Markup(f"'sha256-{base64.b64encode(digest).decode('ascii')}'")


def _assets(names: Sequence[str]) -> Markup:
    """Style sheets or scripts of the package, to stand in the page as they are."""
    read = (files("prelabel").joinpath(name).read_text(encoding="utf-8") for name in names)
    return Markup("".join(read))


def _count(n: int) -> str:
    """A whole number with narrow spaces between thousands."""
    return f"{n:,}".replace(",", "\u202f")
