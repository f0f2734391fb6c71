"""The documents name commands, options, files, extras and make targets that exist."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from prelabel.cli.main import app
from prelabel.extras import EXTRAS, FOR_DEVELOPERS
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.format.shapes import SHAPE_OF, SHAPES
from support.places import ROOT

DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "docker/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)
CLI_MAIN = "backend/prelabel/cli/main.py"
_FOLDERS = ("plugins/", "exporters/", "tests/", "benchmarks/", "docs/")


@pytest.fixture(params=DOCUMENTS, ids=str)
def text(request: pytest.FixtureRequest) -> str:
    """One document after the other."""
    return (ROOT / str(request.param)).read_text("utf-8")


def test_extras__exist(text: str) -> None:
    named = {
        name for names in re.findall(r"prelabel\[([\w,-]+)\]", text) for name in names.split(",")
    }
    assert named <= {*EXTRAS, *FOR_DEVELOPERS}


def test_make_targets__exist(text: str) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)\b(?= *[`#\n])", text)) <= targets


def test_commands__exist(text: str) -> None:
    commands = dict(_commands(typer.main.get_command(app)))
    for line in re.findall(
        r"^prelabel .*|`prelabel [^`]*`", text.replace("\\\n", ""), re.MULTILINE
    ):
        words = line.strip("`").split("#")[0].split()[1:]
        names = [n for n in (" ".join(words[:2]), *words[:1]) if n in commands]
        assert names or words[0].startswith("-"), line
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= commands[names[0]] if names else True, line


def _commands(group: object, words: tuple[str, ...] = ()) -> Iterator[tuple[str, set[str]]]:
    """Each command with its options."""
    for name, command in getattr(group, "commands", {}).items():
        options = {
            option for param in command.params for option in (*param.opts, *param.secondary_opts)
        }
        yield " ".join((*words, name)), {*options, "--help"}
        yield from _commands(command, (*words, name))


def test_links__lead_to_files(text: str, request: pytest.FixtureRequest) -> None:
    folder = (ROOT / request.node.callspec.params["text"]).parent
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("http") or (folder / target).exists(), target


def test_lists__follow_an_empty_line(text: str) -> None:
    """Else the documentation's site shows them as text."""
    text = re.sub(r"^```.*?^```", "```", text, flags=re.M | re.S)
    assert re.findall(r"^(?![-*#| ]|\d+\.).+\n(?:[-*]|1\.) .*", text, re.M) == []


def test_site__shows_every_document() -> None:
    """`make docs` builds it; that each page is found there, and each link leads somewhere, it checks."""
    pages = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    shown = re.findall(r"[\w/.-]+\.md", str(pages))
    assert len(shown) == len(set(shown))
    expected = {
        "index.md" if str(p) == "README.md" else str(p).removeprefix("docs/") for p in DOCUMENTS
    }
    assert set(shown) == expected


def test_label_configs__every_snippet_can_be_used() -> None:
    page = (ROOT / "docs/label-configs.md").read_text("utf-8")
    configs = [
        parse_label_config(xml) for xml in re.findall(r"^```xml\n(.*?)^```", page, re.M | re.S)
    ]
    assert {control.kind for config in configs for control in config.controls} == set(SHAPE_OF)
    assert configs[0].label_names == ("cat", "dog")
    for shape in SHAPES:
        assert f"<{shape.bare_tag} " in page
        assert f"<{shape.tag} " in page or not shape.tag
    assert [prompt.kind for config in configs for prompt in config.interactive] == [
        "keypoint",
        "rectangle",
    ]


def test_troubleshooting__quotes_messages_that_exist() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
    quoted = re.findall(r"^\| `([^|]+)` \|", page, re.M)
    assert len(quoted) > 30
    known = re.sub(r"\s+", " ", _generated("messages") + (ROOT / CLI_MAIN).read_text("utf-8"))
    for part in (part.strip(" :;,()") for message in quoted for part in message.split("…")):
        assert part in known, part


def _generated(name: str) -> str:
    made: str = runpy.run_path(str(ROOT / "docs/hooks/generated.py"))[name]()
    return made


def test_generated__names_extras_settings_and_strategies() -> None:
    assert all(f"| `{extra}` | " in _generated("extras") for extra in EXTRAS)
    assert "### regions\n::: prelabel.config.Regions\n" in _generated("settings")
    assert "### dense-crf\n::: prelabel_plugins.refiners.dense_crf." in _generated("strategies")


def test_generated__commands() -> None:
    """The page has the help of each command, with its example."""
    text = _generated("commands")
    for name, _ in _commands(typer.main.get_command(app)):
        assert f"`prelabel {name}`\n" in text
    assert "**Example**:\n\n```console\nprelabel fit photos --out model" in text


def test_glossary__names_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| `([^`]+)` \|$", text.partition("## Glossary")[2], re.M
    )
    assert len(rows) >= 40
    terms = [term.casefold() for term, _, _ in rows]
    assert terms == sorted(terms)
    for term, meaning, place in rows:
        root = ROOT if place.startswith(_FOLDERS) else ROOT / "backend" / "prelabel"
        assert (root / place).is_file(), (term, place)
        assert meaning.endswith("."), term


def test_tree__has_every_package() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    tree = text.partition("backend/prelabel/\n")[2].partition("```")[0]
    backend = ROOT / "backend" / "prelabel"
    for package in (file.parent for file in backend.glob("*/__init__.py")):
        assert f"{package.name}/" in tree
    for name in re.findall(r"\b[a-z_]+\.py\b", tree):
        places = [backend, backend / "label_studio", ROOT / "exporters" / "prelabel_exporters"]
        assert any((place / name).is_file() for place in places), name


def test_documents__are_found() -> None:
    assert Path("README.md") in DOCUMENTS
    assert Path("docs/formats/coco.md") in DOCUMENTS
