"""Who imports whom: the walls between the rooms of the house. Arrows point down, never back."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from support.places import ROOT

PACKAGES = {
    "prelabel": ROOT / "backend",
    "prelabel_plugins": ROOT / "plugins",
    "prelabel_exporters": ROOT / "exporters",
}
_TABLE = """
errors
recipes
extras                       errors
storage                      errors
data                         errors storage
weights                      errors extras storage
strategies                   errors extras storage data
overrides                    errors strategies
testing                      strategies
plugin_template              errors storage strategies
config                       errors storage strategies overrides
steps                        strategies+ config
recipe_choice                strategies+ config steps
model_code                   strategies+ config
model_facts                  strategies+ config model_code
model                        strategies+ config steps model_code model_facts
segment                      model+
interactive                  model+ segment extras weights
photo_segmenter              model+ segment
teacher                      model+ segment
labelled_photos              photo_segmenter+
finer                        model+ segment
label_classes                model+ segment
examples                     labelled_photos+
finding                      photo_segmenter+
instructive                  photo_segmenter+
pipeline                     photo_segmenter+ overrides teacher labelled_photos finer label_classes
runs.facts
report                       errors storage data runs.facts
samples                      errors extras storage data
evaluation                   errors extras storage data overrides report
tuning                       pipeline+ evaluation
review                       errors storage data report evaluation
runs                         pipeline+ examples finding report runs.facts
review.outputs               runs+ review
review.carried_names         model+ steps review
review.region_vectors        photo_segmenter+ labelled_photos
review.new_photos            runs+ review review.carried_names review.region_vectors
review.result_folder         review.new_photos+ runs+ review review.outputs review.carried_names
api                          errors storage data model runs
label_studio.format          errors storage data
label_studio.model_version   errors config model_code model_facts
label_studio.names           strategies+ steps label_studio.format
label_studio.api             errors storage data label_studio.format label_studio.model_version
label_studio.project_state   errors storage label_studio.names label_studio.model_version
label_studio.project_folder  errors storage config model steps label_studio.names label_studio.model_version label_studio.project_state
label_studio.project_home    errors storage label_studio.project_folder label_studio.project_state
label_studio.led_tasks       errors storage
label_studio.prediction_writer errors storage label_studio.format label_studio.api label_studio.led_tasks label_studio.model_version label_studio.project_folder
label_studio.learning_curve  errors storage steps
label_studio.teaching        model+ teacher label_studio.names label_studio.project_folder label_studio.learning_curve
label_studio.predict         pipeline+ interactive label_studio.format label_studio.names
label_studio.learn           label_studio.predict+ label_studio.api label_studio.project_folder label_studio.teaching
label_studio.shared_fit      errors storage model label_studio.project_folder
label_studio.fit             label_studio.learn+ label_studio.shared_fit
label_studio.unnamed         label_studio.names+ label_studio.api
label_studio.found_regions   label_studio.prediction_writer+
label_studio.find_examples   label_studio.names+
label_studio.find            label_studio.predict+ label_studio.api label_studio.project_folder label_studio.project_home label_studio.found_regions label_studio.find_examples finding
label_studio.bulk            label_studio.found_regions label_studio.fit+ label_studio.teaching label_studio.learning_curve label_studio.model_version label_studio.prediction_writer label_studio.unnamed
label_studio.leading         label_studio.fit+ label_studio.led_tasks label_studio.teaching label_studio.unnamed instructive
label_studio.review_source   label_studio.predict+ label_studio.api label_studio.project_folder review
label_studio.review_command  label_studio.bulk+ label_studio.bulk label_studio.review_source label_studio.project_home review
label_studio.server          label_studio.fit+ label_studio.review_source review label_studio.teaching label_studio.learning_curve label_studio.project_home label_studio.project_state label_studio.model_version label_studio.prediction_writer label_studio.unnamed
label_studio.upload          errors storage data label_studio.api
label_studio.create          errors storage data label_studio.format label_studio.api label_studio.upload
label_studio.demo            errors storage config data samples steps runs label_studio.api label_studio.create label_studio.project_folder label_studio.project_home label_studio.bulk label_studio.predict
prelabel_plugins             strategies+ weights
prelabel_exporters           strategies+ weights label_studio.format
"""


def _read_table(text: str) -> dict[str, set[str]]:
    """What each room may import; ``room+`` is a room and all that it may import itself."""
    walls: dict[str, set[str]] = {}
    for line in text.strip().splitlines():
        room, *names = line.split()
        walls[room] = set()
        for name in names:
            base = name.removesuffix("+")
            walls[room] |= {base} | (walls[base] if name.endswith("+") else set())
    return walls


WALLS = _read_table(_TABLE)
"""What each room may import beside itself. ``prelabel`` itself and ``cli`` may import all."""


def _modules(package: str) -> dict[str, Path]:
    """Every module of a package with its file."""
    root = PACKAGES[package]
    modules = {}
    for file in sorted((root / package).rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return modules


MODULES = {name: _modules(name) for name in PACKAGES}
KNOWN = {module for modules in MODULES.values() for module in modules}


def imported(source: str, *, module: str, top_level: bool = False) -> set[str]:
    """Modules of ours that a module imports; ``top_level``: only those imported on its import."""
    names: set[str] = set()
    for node in _nodes(ast.parse(source), top_level=top_level):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")[: -node.level]
                base = ".".join([*package, *([base] if base else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                names.add(full if full in KNOWN else base)
    return {name for name in names if name.split(".")[0] in PACKAGES}


def _nodes(tree: ast.AST, *, top_level: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if top_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if top_level and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        yield from _nodes(node, top_level=top_level)


@cache
def _imports(package: str, *, top_level: bool = False) -> Mapping[str, set[str]]:
    """The modules of ours that each module of a package imports."""
    return {
        module: imported(file.read_text(encoding="utf-8"), module=module, top_level=top_level)
        for module, file in MODULES[package].items()
    }


def test_imported__sees_every_way_of_importing() -> None:
    source = """
import numpy, prelabel.config
from prelabel import config, fit
from prelabel.steps import levels
from prelabel.data.masks import encode_rle
if TYPE_CHECKING:
    from prelabel.model import FittedModel
def later():
    import prelabel_exporters.coco.writer
"""
    always = {"prelabel.config", "prelabel.steps.levels", "prelabel", "prelabel.data.masks"}
    assert imported(source, module="prelabel.x", top_level=True) == always
    assert imported(source, module="prelabel.x") == always | {
        "prelabel.model",
        "prelabel_exporters.coco.writer",
    }
    relative = "from . import writer\nfrom ..common import stable_id"
    assert imported(relative, module="prelabel_exporters.coco.reader") == {
        "prelabel_exporters.coco.writer",
        "prelabel_exporters.common",
    }


def _room(module: str) -> str:
    """The room that a module is in: a package, or a module that stands by itself."""
    parts = module.split(".")
    if parts[0] != "prelabel" or len(parts) == 1:
        return parts[0]
    inner = ".".join(parts[1:3])
    return inner if inner in WALLS or parts[1] == "label_studio" else parts[1]


def test_room() -> None:
    assert _room("prelabel.label_studio.server.app") == "label_studio.server"
    assert _room("prelabel.label_studio.fit") == "label_studio.fit"
    assert _room("prelabel.steps.levels") == "steps"
    assert _room("prelabel_exporters.coco.reader") == "prelabel_exporters"


def test_walls__every_room_has_some() -> None:
    rooms = {_room(module) for module in KNOWN}
    without_code = {"prelabel.label_studio", "label_studio"}
    assert rooms - {"prelabel", "__main__", "cli"} - without_code == WALLS.keys()


def test_walls__point_down() -> None:
    list(TopologicalSorter(WALLS).static_order())  # raises CycleError


@pytest.mark.parametrize("room", sorted(WALLS))
def test_walls__are_kept(room: str) -> None:
    crossings = [
        f"{module} imports {name}, but {room} may only import {sorted(WALLS[room])}"
        for module, name in _arrows()
        if _room(module) == room and _room(name) not in WALLS[room] | {room}
    ]
    assert not crossings, "\n".join(crossings)


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("label_studio.format", {"label_studio.api", "label_studio.names"}),
        ("label_studio.names", {"label_studio.api", "label_studio.predict"}),
        ("prelabel_plugins", {"prelabel_exporters", "label_studio.format", "pipeline", "runs"}),
        ("prelabel_exporters", {"prelabel_plugins", "label_studio.api", "pipeline", "runs"}),
    ],
)
def test_walls__that_no_change_of_the_table_may_open(room: str, forbidden: set[str]) -> None:
    crossings = [
        f"{module} imports {name}, but {room} never imports {_room(name)}"
        for module, name in _arrows()
        if _room(module) == room and _room(name) in forbidden
    ]
    assert not crossings, "\n".join(crossings)


@pytest.mark.parametrize("room", ["label_studio.server", "label_studio.demo", "cli"])
def test_walls__only_the_command_line_imports(room: str) -> None:
    crossings = [
        f"{module} imports {name}, but only cli imports {room}"
        for module, name in _arrows()
        if _room(name) == room and _room(module) not in {room, "cli", "__main__"}
    ]
    assert not crossings, "\n".join(crossings)


def _arrows() -> Iterator[tuple[str, str]]:
    """Each import of one module of ours by another: the importing one, the imported one."""
    for package in PACKAGES:
        for module, names in _imports(package).items():
            yield from ((module, name) for name in sorted(names))


def test_the_backend_names_no_plugin_and_no_exporter() -> None:
    crossings = [
        f"{module} imports {name}: strategies are found through their entry points"
        for module, name in _arrows()
        if module.split(".")[0] == "prelabel" and name.split(".")[0] != "prelabel"
    ]
    assert not crossings, "\n".join(crossings)


def _strings(source: str) -> set[str]:
    """Texts in a module, which an importer could be given; docstrings are left out."""
    tree = ast.parse(source)
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    }


def test_strings__sees_names_that_are_put_together_later() -> None:
    source = '"""prelabel_exporters"""\nimport_module(f"prelabel_plugins.{name}")\n"""More."""'
    assert _strings(source) == {"prelabel_plugins."}


def test_the_backend_has_no_plugins_or_exporters_name_in_a_string() -> None:
    crossings = [
        f"{module} holds the text {text!r}: strategies are found through their entry points"
        for module, file in MODULES["prelabel"].items()
        for text in _strings(file.read_text("utf-8"))
        if "prelabel_plugins" in text or "prelabel_exporters" in text
    ]
    assert not crossings, "\n".join(crossings)


@pytest.mark.parametrize("package", ["prelabel_plugins", "prelabel_exporters"])
def test_strategies_import_nothing_by_a_string(package: str) -> None:
    # That would be a way round the ground.
    ways = ("importlib", "__import__", "runpy")
    files = MODULES[package].items()
    assert not [m for m, file in files if any(w in file.read_text("utf-8") for w in ways)]


@pytest.mark.parametrize("package", list(PACKAGES))
def test_no_import_goes_round_in_a_circle(package: str) -> None:
    # ``from prelabel import x`` inside the package is an import of prelabel.x, not of the package.
    graph = {
        module: {name for name in names if name in MODULES[package] and name != package}
        for module, names in _imports(package, top_level=True).items()
        if module != package
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))
