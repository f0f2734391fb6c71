"""New plugins keep the contract of their kind; nothing that exists is overwritten."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from prelabel.plugin_template import plugin_files, plugin_kinds
from prelabel.strategies import protocols, registry
from prelabel.testing import check_strategy
from support.command_line import cli, refused
from support.places import ROOT

EXAMPLE = ROOT / "examples" / "plugin"
SOFT_EDGES = plugin_files("soft-edges", "refiner")


def test_example__is_what_the_command_writes() -> None:
    """Renew it by: prelabel plugins new soft-edges --kind refiner --out examples/plugin."""
    for path, text in SOFT_EDGES.items():
        assert (EXAMPLE / path).read_text("utf-8") == text, path


def test_guide__shows_the_refiner_as_the_command_writes_it() -> None:
    guide = (ROOT / "docs" / "plugins.md").read_text("utf-8")
    assert SOFT_EDGES["src/prelabel_soft_edges/refiner.py"] in guide


def test_guide__has_every_kind_with_its_group_and_methods() -> None:
    guide = (ROOT / "docs" / "plugins.md").read_text("utf-8")
    for section, kind in registry.KINDS.items():
        (row,) = [line for line in guide.splitlines() if line.startswith(f"| `{section}` |")]
        assert f"`{kind.group}`" in row
        for method in (m for m, v in vars(kind.protocol).items() if callable(v) and m[0] != "_"):
            assert f"`{method}" in row, method


def test_plugin_kinds__all_are_kinds() -> None:
    assert "refiner" in plugin_kinds()
    assert set(plugin_kinds()) <= set(registry.KINDS)


@pytest.mark.parametrize("kind", plugin_kinds())
def test_plugin_files__the_strategy_keeps_its_contract(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType(f"prelabel_new_{kind}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses and pickle look there
    exec(plugin_files("new", kind)[f"src/prelabel_new/{kind}.py"], vars(module))
    made = getattr(module, f"New{kind.capitalize()}")()
    assert isinstance(made, registry.KINDS[kind].protocol)
    check_strategy(made)


def test_new__nothing_is_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    done = cli("plugins", "new", "very-soft", "--kind", "refiner", "--out", folder)
    assert done.exit_code == 0
    assert (folder / "src" / "prelabel_very_soft" / "refiner.py").is_file()
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    again = refused("plugins", "new", "very-soft", "--kind", "clusterer", "--out", folder)
    assert "exists already: nothing is overwritten" in again
    assert before == {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    ("name", "kind", "problem"),
    [
        ("guided-filter", "refiner", "a built-in refiner is named 'guided-filter'"),
        ("../evil", "refiner", "cannot be a plugin's name"),
        ("Soft", "refiner", "cannot be a plugin's name"),
        ("x" * 61, "refiner", "60 characters at most"),
        ("plugins", "refiner", "installed already"),  # would be imported in place of ours
        ("soft", "refinr", "did you mean 'refiner'?"),
    ],
)
def test_new__refuses(name: str, kind: str, problem: str, tmp_path: Path) -> None:
    assert problem in refused("plugins", "new", name, "--kind", kind, "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()


class HalfARefiner:
    """A refiner that is no dataclass, and returns what it may not."""

    def refine(self, foreground: protocols.Float, image: object) -> object:
        return foreground * 2


def test_check_strategy__says_what_is_broken() -> None:
    with pytest.raises(
        AssertionError, match=r"HalfARefiner breaks the contract.*\n.*is not a dataclass"
    ):
        check_strategy(HalfARefiner())
    with pytest.raises(AssertionError, match=r"returned values from .* to .*, expected 0 to 1"):
        check_strategy(HalfARefiner())
    with pytest.raises(AssertionError, match="is a class, expected an instance"):
        check_strategy(HalfARefiner)
    with pytest.raises(AssertionError, match=r"object is of no kind: .*refiner"):
        check_strategy(object())
