"""find: what is like drawn objects, in other photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prelabel.cli import console, options
from prelabel.cli.options import example
from prelabel.storage.text import one_line, table

if TYPE_CHECKING:
    from prelabel.config import Config
    from prelabel.model import FittedModel
    from prelabel.runs.find import FoundObject
    from prelabel.steps.photos import PhotoSet

app = typer.Typer()
_SHOWN = 10
"""Objects that the summary lists."""


@app.command(
    epilog=example("prelabel find result --like corrected.json --photo cat.jpg --out found")
)
def find(
    photos: Annotated[
        Path,
        typer.Argument(
            metavar="PHOTOS",
            help="The folder of a prelabel run, whose model and photos are used; or photos, as for "
            "prelabel run, to which a model is fitted first.",
            show_default=False,
        ),
    ],
    out: options.Out,
    *,
    like: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Labels with the examples: a file or folder of a format that can be read. Their photos "
            "are among PHOTOS, and are not searched.",
            show_default=False,
        ),
    ],
    like_from: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="The format of --like, where it cannot be seen.",
            show_default=False,
        ),
    ] = "",
    photo: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Take the examples of this photo alone. Default: of all photos with labels.",
            show_default=False,
        ),
    ] = "",
    class_name: Annotated[
        str,
        typer.Option(
            "--class",
            metavar="NAME",
            help="Look for objects of this class alone. Default: of all classes that are labelled.",
            show_default=False,
        ),
    ] = "",
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="What --like does not label on a photo is unknown, not background."
        ),
    ] = False,
    recipe: options.Recipe = "default",
    formats: options.Formats,
    settings: options.Set,
    backbone: options.Backbone = "",
    seed: options.Seed = None,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="Put the report's pictures into its page.")
    ] = False,
    strict: options.Strict = False,
) -> None:
    """Find objects like drawn ones in all other photos, the best first.

    Writes a folder like that of a run, and found.csv with what was found in order of its score.
    """
    progress = console.progress()
    with console.stage(progress, "start"):
        from prelabel.cli.labels import open_examples
        from prelabel.examples import ExampleChoice
        from prelabel.runs.folder import check_output_folder
        from prelabel.runs.formats import make_exporters

        exporters, others = options.exporter_settings(formats, settings)
        make_exporters(formats, exporters)
        check_output_folder(out, command="find")
        photo_set, source = _source(photos, recipe, backbone=backbone, seed=seed, settings=others)
        labels = open_examples(like, format=like_from, photos=photo_set.root)
        from prelabel.runs.find import run_find
    summary, found = run_find(
        photo_set,
        labels,
        out,
        source,
        choice=ExampleChoice(photo, class_name, complete=not partial),
        formats=formats,
        exporter_settings=exporters,
        single_file=single_file,
        progress=progress,
    )
    console.summarise(summary)
    print("\n".join(_ranking(found)))
    if strict and summary.facts.photos.skipped:
        raise typer.Exit(1)


def _source(
    photos: Path, recipe: str, *, backbone: str, seed: int | None, settings: Sequence[str]
) -> tuple[PhotoSet, FittedModel | Config]:
    """The photos, and the model of their run or the settings to fit one with. Raises UserError."""
    from prelabel.api import load_model
    from prelabel.errors import UserError
    from prelabel.runs.folder import photos_of_run
    from prelabel.steps.photos import find_photos

    of_run = photos_of_run(photos)
    if of_run is None:
        config = options.chosen_config(recipe, backbone=backbone, seed=seed, settings=settings)
        return find_photos(photos), config
    if backbone or seed is not None or settings or recipe != "default":
        raise UserError(
            f"{str(photos)!r} is a run, whose model has its settings: leave out --recipe, --set, "
            "--backbone and --seed, or name the photos"
        )
    return of_run, load_model(photos)


def _ranking(found: Sequence[FoundObject]) -> list[str]:
    """What was found, in words, and the best."""
    missed = sum(one.missed for one in found)
    photos = len({one.photo for one in found})
    lines = [
        f"found      {len(found)} objects in {photos} photos, {missed} of them missed by the model"
    ]
    rows = [
        (f"  {one.score:.2f}", one_line(one.photo), one.label + (", missed" if one.missed else ""))
        for one in found[:_SHOWN]
    ]
    if rows:
        lines.append(table([(score, f"{photo}  {what}") for score, photo, what in rows]))
    if len(found) > _SHOWN:
        lines.append(f"  and {len(found) - _SHOWN} more, in found.csv")
    return lines
