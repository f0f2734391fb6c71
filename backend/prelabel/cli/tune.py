"""tune: settings chosen by how well they do on labelled photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prelabel.cli import console, options
from prelabel.cli.options import example
from prelabel.errors import UserError
from prelabel.storage.text import one_line

app = typer.Typer()


@app.command(epilog=example("prelabel tune photos --labels some.json --out recipe.toml"))
def tune(
    photos: options.Photos,
    *,
    labels: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Complete labels of some of the photos, at least 3, as a file or folder of a format "
            "that can be read.",
            show_default=False,
        ),
    ],
    labels_from: options.LabelsFrom = "",
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The recipe to write: a new .toml file, or that of an earlier tune.",
            show_default=False,
        ),
    ],
    settings: options.Set,
    backbone: options.Backbone = "",
    seed: options.Seed = None,
) -> None:
    """Choose a recipe, the input size, the learner and thresholds by labelled photos.

    Each labelled photo is left out while others teach, and compared with its labels. What --set
    gives stays as it is. After an interruption, the same command continues where it stopped.
    """
    progress = console.progress()
    with console.stage(progress, "start"):
        from prelabel.cli.labels import read_labels_option
        from prelabel.steps.photos import find_photos
        from prelabel.tuning.recipe_file import (
            check_recipe_file,
            table_lines,
            verdict,
            write_recipe,
        )

        check_recipe_file(out)
        options.chosen_config("default", backbone=backbone, seed=seed, settings=settings)
        given = options.given_settings(backbone=backbone, seed=seed, settings=settings)
        photo_set = find_photos(photos)
        dataset = read_labels_option(str(labels), format=labels_from).open(photo_set.root)
        if dataset is None:
            raise UserError(f"--labels {str(labels)!r}: no such file or folder")
        from prelabel.tuning.search import tune as search
    found = search(photo_set, dataset, given, progress)
    write_recipe(out, found)
    print("\n".join([*table_lines(found), *verdict(found)]))
    print(f"written to {one_line(out)}: prelabel run PHOTOS --recipe {one_line(out)}")
    for problem in dataset.problems.lines():
        console.say(f"warning: labels: {problem}")
