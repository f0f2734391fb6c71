"""order: which photos are best labelled first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prelabel.cli import console, options
from prelabel.cli.options import example
from prelabel.storage.text import one_line

app = typer.Typer()


@app.command(epilog=example("prelabel order result photos --labels some.json"))
def order(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="The folder that fit or run wrote.", show_default=False
        ),
    ],
    photos: options.Photos,
    *,
    labels: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Labels of some of the photos, which are left out, as is what they explain.",
            show_default=False,
        ),
    ] = "",
    labels_from: options.LabelsFrom = "",
) -> None:
    """Print the photos in the order in which labelling them teaches most, a name on each line.

    One of each class comes first, then what most others are like and no labelled photo is, and what
    the model is least sure of.
    """
    progress = console.progress()
    with console.stage(progress, "start"):
        from prelabel.api import load_model
        from prelabel.cli.labels import read_labels_option
        from prelabel.errors import UserError
        from prelabel.instructive import order_photos
        from prelabel.labelled_photos import match
        from prelabel.steps.photos import find_photos
        from prelabel.storage.progress import RunLog

        fitted = load_model(model)
        photo_set = find_photos(photos)
        labelled: set[str] = set()
        if labels:
            dataset = read_labels_option(labels, format=labels_from).open(photo_set.root)
            if dataset is None:
                raise UserError(f"--labels {labels!r}: no such file or folder")
            labelled = {file.name for file, _ in match(dataset, photo_set.photos)}
    log = RunLog(progress)
    for name in order_photos(fitted, photo_set, labelled, log):
        print(one_line(name))
    for name, reason in sorted(log.skipped.items()):
        console.say(f"skipped: {one_line(name)} {reason}")
