"""A new plugin: a distribution with one strategy and its tests, made from the templates that lie here.

``kinds`` holds a strategy of each kind; what is there can be made, and nothing else lists it.
"""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from prelabel.errors import UserError
from prelabel.storage.text import nearest
from prelabel.strategies import registry

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)
_LONGEST = 60


def plugin_kinds() -> list[str]:
    """The kinds of which a plugin can be made, sorted."""
    found = files("prelabel.plugin_template").joinpath("kinds").iterdir()
    return sorted(f.name.removesuffix(".py.j2") for f in found if f.name.endswith(".py.j2"))


def plugin_files(name: str, kind: str) -> dict[str, str]:
    """The text of each file of a plugin with a strategy of that name, by its path. Raises UserError for
    a name or a kind that cannot be."""
    if kind not in plugin_kinds():
        raise UserError(f"no plugin can be made of kind {kind!r}{nearest(kind, plugin_kinds())}")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UserError(
            f"{name!r} cannot be a plugin's name: expected lower-case words of letters and digits with "
            f"hyphens between them, such as soft-edges, {_LONGEST} characters at most"
        )
    if registry.origin(kind, name).startswith(f"{registry.OWN} "):
        raise UserError(f"a built-in {kind} is named {name!r}: choose another name")
    values = {
        "name": name,
        "kind": kind,
        "group": registry.KINDS[kind].group,
        "distribution": f"prelabel-{name}",
        "package": f"prelabel_{name.replace('-', '_')}",
        "class_name": "".join(word.capitalize() for word in (*name.split("-"), kind)),
    }
    package = f"src/{values['package']}"
    templates = {
        "pyproject.toml": "pyproject.toml.j2",
        "README.md": "README.md.j2",
        f"{package}/__init__.py": "init.py.j2",
        f"{package}/{kind}.py": f"kinds/{kind}.py.j2",
        f"tests/test_{kind}.py": "test.py.j2",
    }
    return {
        path: _environment().get_template(template).render(values)
        for path, template in templates.items()
    }


def write_plugin(name: str, kind: str, folder: Path) -> list[Path]:
    """Write a plugin's files into a folder that is new or empty; the files. Raises UserError, and
    OSError."""
    found = plugin_files(name, kind)
    package = f"prelabel_{name.replace('-', '_')}"
    if importlib.util.find_spec(package):
        raise UserError(f"a package {package} is installed already: choose another name")
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise UserError(f"{folder} exists already: nothing is overwritten; name another with --out")
    for path, text in found.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8", newline="\n") as out:
            out.write(text)
    return [folder / path for path in found]


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("prelabel", "plugin_template"),
        autoescape=False,  # these are no pages
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
