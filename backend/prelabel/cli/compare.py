"""compare: several settings on the same photos, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from prelabel.cli import console, options
from prelabel.cli.options import example
from prelabel.errors import UserError
from prelabel.storage.text import one_line

if TYPE_CHECKING:
    from prelabel.config import Config
    from prelabel.runs.compare import Compared

app = typer.Typer()
_RECIPE = "recipe="


@app.command(epilog=example("prelabel compare photos --vs recipe=fast --out compared"))
def compare(
    photos: options.Photos,
    out: options.Out,
    *,
    others: Annotated[
        list[str],
        typer.Option(
            "--vs",
            metavar="'SECTION.NAME=VALUE …'",
            help="Settings to compare with: changes to those that --recipe and --set give, separated by "
            "spaces, as --set takes them; recipe=NAME takes another recipe. May be repeated.",
            show_default=False,
        ),
    ],
    recipe: options.Recipe = "default",
    settings: options.Set,
    backbone: options.Backbone = "",
    seed: options.Seed = None,
) -> None:
    """Compare settings on the same photos: a page shows them side by side, differences first.

    Beside the page lies the folder of a prelabel run for each settings, from 1, which prelabel evaluate
    and export take. What settings share, as features, is computed once.
    """
    progress = console.progress()
    with console.stage(progress, "start"):
        from prelabel.runs.folder import check_output_folder
        from prelabel.steps.photos import find_photos

        check_output_folder(out, command="compare")
        configs = _different(
            (name, options.chosen_config(chosen, backbone=backbone, seed=seed, settings=own))
            for name, chosen, own in _columns(recipe, settings, others)
        )
        photo_set = find_photos(photos)
        from prelabel.runs import compare as comparing
    found = comparing.compare(photo_set, out, configs, progress)
    print("\n".join(_lines(found)))


def _columns(
    recipe: str, settings: Sequence[str], others: Sequence[str]
) -> list[tuple[str, str, list[str]]]:
    """The name, recipe and settings of each column. Raises UserError."""
    columns = [(" ".join([f"{_RECIPE}{recipe}", *settings]), recipe, list(settings))]
    for other in others:
        parts = other.split()
        recipes = [part.removeprefix(_RECIPE) for part in parts if part.startswith(_RECIPE)]
        changes = [part for part in parts if not part.startswith(_RECIPE)]
        if not parts or len(recipes) > 1 or not all("=" in part for part in changes):
            raise UserError(
                f"--vs {other!r}: expected section.name=value, several of them separated by spaces, or "
                "recipe=NAME"
            )
        columns.append((other, recipes[0] if recipes else recipe, [*settings, *changes]))
    return columns


def _different(columns: Iterable[tuple[str, Config]]) -> dict[str, Config]:
    """The settings by name. Raises UserError where two of them are the same."""
    names: dict[str, str] = {}
    configs = {}
    for name, config in columns:
        if earlier := names.get(config.digest()):
            raise UserError(f"--vs {name!r} is the same as {earlier!r}: name other settings")
        names[config.digest()] = name
        configs[name] = config
    return configs


def _lines(found: Compared) -> list[str]:
    lines = []
    for number, (name, (facts, totals)) in enumerate(found.runs.items(), start=1):
        per_photo = totals.regions / max(totals.photos, 1)
        apart = f", {totals.difference:.1%} different" if number > 1 else ""
        lines.append(
            f"{number}  {one_line(name)}: {totals.regions} regions, {per_photo:.1f} a photo, "
            f"{totals.foreground:.1%} foreground{apart}, {facts.seconds['total']:.1f} s"
        )
    return [*lines, f"page       {one_line(found.page)}"]
