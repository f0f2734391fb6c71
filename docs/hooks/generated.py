"""What the program says about itself, at its place in a page: ``<!-- generated: NAME -->``."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # tests call these functions without mkdocs
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("backend", "plugins", "exporters")
ERRORS = ("UserError", "PhotoError", "ContractError", "DecodingMemoryError")
PLUGINS = "backend/prelabel/strategies"
AREAS = {
    "backend/prelabel/label_studio/format": "Label configs, annotations and exports of Label Studio",
    "backend/prelabel/label_studio": "Label Studio and the backend",
    "backend/prelabel/review": "The review page",
    "backend/prelabel/weights": "Weights and devices",
    "plugins": "Weights and devices",
    "backend/prelabel/data": "Photos",
    "backend/prelabel/steps": "Photos",
    "backend/prelabel/samples": "Photos",
    "backend/prelabel/runs": "Folders of results",
    "exporters": "Files of labels",
    PLUGINS: "Plugins and settings",
    "": "Commands, settings and models",
}
"""Titles by the beginning of a file's path; the first that fits."""


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what is generated."""
    return re.sub(
        r"^<!-- generated: (\w+) -->$", lambda found: GENERATED[found[1]](), markdown, flags=re.M
    )


def commands() -> str:
    """The help of all commands, one section for each."""
    command = [sys.executable, "-m", "typer", "prelabel.cli.main", "utils", "docs"]
    done = subprocess.run(
        [*command, "--name", "prelabel"], capture_output=True, text=True, check=True
    )
    text = done.stdout.partition("\n")[2].replace("\b", "")  # the page has its own title
    text = re.sub(
        r"^\*\*Commands\*\*:\n\n(\* .*\n)+", "", text, flags=re.M
    )  # cut off at 45 letters
    return re.sub(r"^Example:\n((?:  .*\n)+)", _example, text, flags=re.M)


def _example(found: re.Match[str]) -> str:
    lines = "".join(line[2:] + "\n" for line in found[1].splitlines())
    return f"**Example**:\n\n```console\n{lines}```\n"


def extras() -> str:
    """Rows of a table: each extra for users, and what it is for."""
    from prelabel.extras import EXTRAS

    notes = {name: f" ({extra.note})" if extra.note else "" for name, extra in EXTRAS.items()}
    return "\n".join(f"| `{name}` | {EXTRAS[name].purpose}{note} |" for name, note in notes.items())


def settings() -> str:
    """The sections of a config that choose no strategy, each with its settings."""
    from prelabel.config import Config, StrategyChoice

    sections = {name: type(field.default) for name, field in Config.model_fields.items()}
    return "".join(
        _described(name, f"{section.__module__}.{section.__qualname__}")
        for name, section in sections.items()
        if section is not StrategyChoice
    )


def strategies() -> str:
    """The built-in strategies by kind, each with its settings."""
    from importlib.metadata import distribution

    from prelabel.strategies.registry import KINDS

    points = distribution("prelabel").entry_points
    text = ""
    for kind in KINDS.values():
        if kind.section == "exporter":  # they have pages of their own
            continue
        text += f"## {kind.section}\n"
        for point in sorted(points.select(group=kind.group)):
            text += _described(point.name, point.value.replace(":", "."))
    return text


def messages() -> str:
    """Every error that users can correct and every reason to leave a photo out, as the source has it,
    by area; "…" stands for what is known only then."""
    found: dict[str, set[str]] = {title: set() for title in dict.fromkeys(AREAS.values())}
    for file in sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        area = next(
            t for prefix, t in AREAS.items() if str(file.relative_to(ROOT)).startswith(prefix)
        )
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            error = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and error in ERRORS and node.args:
                title = AREAS[PLUGINS] if error == "ContractError" else area
                found[title] |= {text for text in _texts(node.args[0]) if len(text) > 20}
    return "".join(
        f"## {title}\n\n" + "".join(f"- `` {text} ``\n" for text in sorted(texts)) + "\n"
        for title, texts in found.items()
    )


def _texts(node: ast.expr) -> list[str]:
    """What an expression may be, with "…" for its parts that are not written there."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        parts = [str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values]
        return ["".join(parts)]
    if isinstance(node, ast.IfExp):
        return _texts(node.body) + _texts(node.orelse)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [a + b for a in _texts(node.left) for b in _texts(node.right)]
    return ["…"]


def _described(name: str, path: str) -> str:
    """A heading, and a class's docstring with its attributes, for mkdocstrings."""
    hidden = ("root_heading", "root_toc_entry", "bases", "signature")
    options = "".join(f"      show_{part}: false\n" for part in hidden)
    return f"### {name}\n::: {path}\n    options:\n{options}      members: false\n\n"


GENERATED = {
    "commands": commands,
    "extras": extras,
    "messages": messages,
    "settings": settings,
    "strategies": strategies,
}
