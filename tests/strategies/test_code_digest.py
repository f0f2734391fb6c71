"""Digests of code: what changes them, and what does not."""

from __future__ import annotations

import importlib
import os
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from prelabel.strategies import code_digest, module_source, registry
from prelabel.strategies.code_digest import closure, modules_code, strategy_code
from support.installed import edit, install

Digest = Callable[[], str]
REFINER = '''
    """A refiner."""

    from dataclasses import dataclass

    from some_plugin.helpers import halve


    @dataclass(frozen=True)
    class Half:
        """Half of P."""

        def refine(self, foreground, image):
            """Docstring."""
            return halve(foreground)  # comment
'''
FILES = {
    "some_plugin/__init__.py": "",
    "some_plugin/refiner.py": REFINER,
    "some_plugin/helpers.py": "def halve(x):\n    return x / 2\n",
    "some_plugin/other.py": "VALUE = 1\n",
}


def _forget() -> None:
    """As in a new process."""
    importlib.invalidate_caches()
    for cached in (
        registry._entry_points,
        code_digest.modules_code,
        code_digest.strategy_code,
        code_digest._packages,
        module_source.read_module,
        module_source.other_files,
        module_source._spec,
        module_source._siblings,
    ):
        cached.cache_clear()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with a plugin in it."""
    put(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    _forget()
    yield tmp_path
    monkeypatch.undo()
    _forget()


def put(site: Path, version: str = "0.0.1", files: Mapping[str, str] = FILES) -> None:
    points = {"prelabel.refiners/half": "some_plugin.refiner:Half"}
    install(site, "some-plugin", version, files=files, entry_points=points)


def digest() -> str:
    """Of the plugin as it is now."""
    _forget()
    return strategy_code("refiner", "half")


def test_prose_changes_nothing(site: Path) -> None:
    before = digest()
    file = site / "some_plugin" / "refiner.py"
    edit(file, '"""A refiner."""', '"""A refiner,\nwith more to say."""')
    edit(file, "  # comment", "")
    edit(file, '    """Docstring."""', "    # the docstring is gone")
    edit(
        file,
        "from some_plugin.helpers import halve\n",
        "from some_plugin.helpers import halve\n\n\n",
    )
    assert digest() == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("refiner.py", "halve(foreground)", "halve(foreground) + 0"),
        ("refiner.py", "frozen=True", "frozen=True, eq=False"),
        ("helpers.py", "x / 2", "x / 2.0"),  # in a module that it imports
        ("helpers.py", "x / 2", "x / True"),
    ],
)
def test_code_changes_the_digest(site: Path, name: str, old: str, new: str) -> None:
    before = digest()
    edit(site / "some_plugin" / name, old, new)
    assert digest() != before


def test_a_module_that_is_not_imported_changes_nothing(site: Path) -> None:
    before = digest()
    edit(site / "some_plugin" / "other.py", "1", "2")
    assert digest() == before


@pytest.mark.parametrize(
    "line",
    [
        "def later():\n    from . import other",
        "def later():\n    from .other import VALUE",
        "def later():\n    import some_plugin.other as o",
        "from some_plugin.other import *",
        "import importlib\nimportlib.import_module('some_plugin.other')",
        "from importlib import import_module\nimport_module('.other', __package__)",
        "import importlib\nname = 'other'\nimportlib.import_module(f'some_plugin.{name}')",
    ],
)
def test_every_way_of_importing_is_followed(site: Path, line: str) -> None:
    put(site, files={**FILES, "some_plugin/helpers.py": f"{FILES['some_plugin/helpers.py']}{line}"})
    before = digest()
    edit(site / "some_plugin" / "other.py", "1", "2")
    assert digest() != before


def test_what_only_type_checkers_import_is_not_followed(site: Path) -> None:
    lines = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import other\n"
    put(site, files={**FILES, "some_plugin/helpers.py": lines + FILES["some_plugin/helpers.py"]})
    before = digest()
    edit(site / "some_plugin" / "other.py", "1", "2")
    assert digest() == before


def test_a_packages_init_counts_if_it_holds_code(site: Path) -> None:
    before = digest()
    init = site / "some_plugin" / "__init__.py"
    init.write_text('"""A plugin."""\n')
    assert digest() == before
    init.write_text("from some_plugin import other\nother.VALUE = 3\n")
    with_code = digest()
    assert with_code != before
    edit(site / "some_plugin" / "other.py", "1", "2")
    assert digest() != with_code


def test_a_new_version_of_a_plugin_changes_the_digest(site: Path) -> None:
    before = digest()
    put(site, "0.0.2")
    assert digest() != before


def test_compiled_libraries_of_a_plugin_count_by_their_bytes(site: Path) -> None:
    before = digest()
    library = site / "some_plugin" / "native" / f"fast{EXTENSION_SUFFIXES[0]}"
    library.parent.mkdir()
    library.write_bytes(b"one")
    one = digest()
    assert one != before
    library.write_bytes(b"two")
    assert digest() not in (one, before)


def test_data_files_of_a_plugin_count(site: Path) -> None:
    before = digest()
    data = site / "some_plugin" / "data" / "palette.json"
    data.parent.mkdir()
    data.write_text("[1]")
    one = digest()
    assert one != before
    data.write_text("[2]")
    assert digest() not in (one, before)
    data.unlink()
    (data.parent / ".palette.json.swp").write_text("[1]")
    assert digest() == before
    with data.open("wb") as large:
        large.truncate(5_000_000)
    os.utime(data, (1, 1))
    older = digest()
    os.utime(data, (2, 2))
    assert digest() not in (older, before)


def test_a_namespace_that_others_share_is_not_searched(site: Path) -> None:
    files = {"shared_name/mine/__init__.py": "", "shared_name/mine/refiner.py": "X = 1\n"}
    points = {"prelabel.refiners/shared": "shared_name.mine.refiner:X"}
    install(site, "shared", "1", files=files, entry_points=points)

    def shared() -> str:
        _forget()
        return strategy_code("refiner", "shared")

    before = shared()
    (site / "shared_name" / "theirs").mkdir()
    (site / "shared_name" / "theirs" / "data.json").write_text("[]")
    assert shared() == before
    (site / "shared_name" / "mine" / "data.json").write_text("[]")
    assert shared() != before


def test_a_compiled_module_may_import_all_of_its_package(site: Path) -> None:
    (site / "some_plugin" / "helpers.py").unlink()
    (site / "some_plugin" / f"helpers{EXTENSION_SUFFIXES[0]}").write_bytes(b"code")
    before = digest()
    edit(site / "some_plugin" / "other.py", "1", "2")
    assert digest() != before


def test_a_plugin_that_builds_upon_another(site: Path) -> None:
    files = {"second_plugin/refiner.py": "from some_plugin.refiner import Half as Same\n"}
    points = {"prelabel.refiners/same": "second_plugin.refiner:Same"}
    install(site, "second-plugin", "1", files=files, entry_points=points)

    def second() -> str:
        _forget()
        return strategy_code("refiner", "same")

    before = second()
    edit(site / "some_plugin" / "helpers.py", "x / 2", "x / 3")
    assert second() != before


def test_a_module_by_itself(site: Path) -> None:
    points = {"prelabel.refiners/alone": "alone_plugin:Alone"}
    install(site, "alone", "1", files={"alone_plugin.py": "X = 1\n"}, entry_points=points)
    _forget()
    before = strategy_code("refiner", "alone")
    edit(site / "alone_plugin.py", "1", "2")
    _forget()
    assert strategy_code("refiner", "alone") != before


def test_a_plugin_in_a_zip_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "plugin.zip"
    monkeypatch.syspath_prepend(str(archive))

    def zipped(value: int) -> list[str]:
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("zipped_plugin/__init__.py", "")
            file.writestr("zipped_plugin/a.py", "from zipped_plugin import b\n")
            file.writestr("zipped_plugin/b.py", f"VALUE = {value}\n")
        _forget()
        sys.path_importer_cache.pop(str(archive), None)
        names = closure(["zipped_plugin.a"], packages=["zipped_plugin"])
        assert names == ["zipped_plugin", "zipped_plugin.a", "zipped_plugin.b"]
        return code_digest._facts(names)

    assert zipped(1) == zipped(1)
    assert zipped(1) != zipped(2)
    _forget()


@pytest.mark.parametrize(
    "source", ["def broken(:", "x = 1" + " + 1" * 3000, "x = '\\ud800'", "\ufeffx = 1", "x = 1\0"]
)
def test_any_source_has_a_digest(site: Path, source: str) -> None:
    put(site, files={**FILES, "some_plugin/helpers.py": source})
    assert len(digest()) == 16


def test_a_strategy_that_is_not_there_has_a_digest() -> None:
    assert strategy_code("refiner", "nobody-has-it") == strategy_code("refiner", "nor-this")


def test_modules_code__an_unknown_module_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"prelabel\.gone"):
        modules_code("prelabel.gone")


def test_closure__of_our_own_steps() -> None:
    features = closure(["prelabel.steps.features"], packages=["prelabel"])
    assert "prelabel.data.images" in features
    assert not any(name.startswith("prelabel.steps.regions") for name in features)
    everything = closure(["prelabel.pipeline"], packages=["prelabel"])
    assert {"prelabel.steps.regions", "prelabel.segment", *features} <= set(everything)
    # Nothing imports by a name that it computes, which would bring all of prelabel along.
    assert not [n for n in everything if n.startswith(("prelabel.cli", "prelabel.label_studio"))]


def test_left_out__each_is_there() -> None:
    for name in code_digest.LEFT_OUT:
        assert importlib.util.find_spec(name) is not None, name
