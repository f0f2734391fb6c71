"""The commands run, fit, predict and samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prelabel.cli import console, options
from prelabel.cli.options import example
from prelabel.storage.text import one_line, table

if TYPE_CHECKING:
    from prelabel.runs.run import Summary
    from prelabel.storage.progress import Progress

app = typer.Typer()


@app.command(epilog=example("prelabel run photos --out out --format coco --set features.size=336"))
def run(
    photos: options.Photos,
    out: options.Out,
    *,
    recipe: options.RecipeOrAuto = "default",
    formats: options.Formats,
    settings: options.Set,
    backbone: options.Backbone = "",
    labels: options.Labels = "",
    labels_from: options.LabelsFrom = "",
    partial: options.Partial = False,
    seed: options.Seed = None,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="Put the report's pictures into its page.")
    ] = False,
    strict: options.Strict = False,
) -> None:
    """Make pseudo-masks with classes of photos: fit, predict, export, report.

    With labels of some of the photos, all photos profit from them.
    After an interruption, the same command continues where it stopped.
    """
    progress = console.progress()
    with console.stage(progress, "start"):
        from prelabel.cli.labels import read_labels_option
        from prelabel.runs.folder import check_output_folder
        from prelabel.runs.formats import make_exporters
        from prelabel.steps.photos import find_photos

        # Wrong options are found first, before libraries that take seconds to load.
        exporters, others = options.exporter_settings(formats, settings)
        make_exporters(formats, exporters)
        check_output_folder(out, command="run")
        taught = read_labels_option(labels, format=labels_from, partial=partial)
        before, given = options.before_photos(
            recipe, backbone=backbone, labels=taught.names, seed=seed, settings=others
        )
        photo_set = find_photos(photos)
        dataset = taught.open(photo_set.root)
        from prelabel.runs import run as running
    config, chosen = options.by_photos(recipe, before, photo_set, given, progress)
    summary = running.run(
        photo_set,
        out,
        config,
        recipe=chosen,
        labels=dataset,
        complete=taught.complete,
        formats=formats,
        exporter_settings=exporters,
        single_file=single_file,
        progress=progress,
    )
    _keep_names(out, progress)
    _end(summary, strict=strict)


@app.command(epilog=example("prelabel fit photos --out model --labels some.json"))
def fit(
    photos: options.Photos,
    out: options.Out,
    *,
    recipe: options.RecipeOrAuto = "default",
    settings: options.Set,
    backbone: options.Backbone = "",
    labels: options.Labels = "",
    labels_from: options.LabelsFrom = "",
    partial: options.Partial = False,
    seed: options.Seed = None,
    strict: options.Strict = False,
) -> None:
    """Fit a model (clusters and classes) to photos, without labels or with those of some photos.

    Writes a folder with the fitted model.
    """
    progress = console.progress()
    with console.stage(progress, "start"):
        from prelabel.cli.labels import read_labels_option
        from prelabel.runs.folder import check_output_folder
        from prelabel.steps.photos import find_photos

        check_output_folder(out, command="fit")
        taught = read_labels_option(labels, format=labels_from, partial=partial)
        before, given = options.before_photos(
            recipe, backbone=backbone, labels=taught.names, seed=seed, settings=settings
        )
        photo_set = find_photos(photos)
        dataset = taught.open(photo_set.root)
        from prelabel.runs import run as running
    config, chosen = options.by_photos(recipe, before, photo_set, given, progress)
    summary = running.run_fit(
        photo_set,
        out,
        config,
        recipe=chosen,
        labels=dataset,
        complete=taught.complete,
        progress=progress,
    )
    _end(summary, strict=strict)


@app.command(epilog=example("prelabel predict model new-photos --out new"))
def predict(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="The folder that fit or run wrote.", show_default=False
        ),
    ],
    photos: options.Photos,
    out: options.Out,
    *,
    shard: Annotated[
        str,
        typer.Option(
            metavar="K/N",
            help="Predict one of N shards of the photos, the K-th, into its own folder in --out: each "
            "can be predicted by another process or machine. prelabel merge puts them together.",
            show_default=False,
        ),
    ] = "",
    strict: options.Strict = False,
) -> None:
    """Find the regions of photos with a fitted model.

    Writes predictions.jsonl.
    """
    progress = console.progress()
    with console.stage(progress, "start"):
        from prelabel.api import load_model
        from prelabel.runs.folder import check_output_folder
        from prelabel.runs.shards import Shard, run_predict_shard
        from prelabel.steps.photos import find_photos

        part = Shard.parse(shard) if shard else None
        check_output_folder(out / part.folder if part else out, command="predict")
        fitted = load_model(model)
        photo_set = find_photos(photos)
        from prelabel.runs import run as running
    if part:
        _end(run_predict_shard(fitted, photo_set, out, part, progress), strict=strict)
        return
    summary = running.run_predict(fitted, photo_set, out, progress=progress)
    _name_new_photos(model, out)
    _end(summary, strict=strict)


@app.command(epilog=example("prelabel merge shards --model model --out new"))
def merge(
    shards: Annotated[
        Path,
        typer.Argument(
            metavar="SHARDS",
            help="The folder that prelabel predict --shard wrote to.",
            show_default=False,
        ),
    ],
    out: options.Out,
    *,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="The folder of the run that predicted, whose names of a review its regions get.",
            show_default=False,
        ),
    ] = None,
    strict: options.Strict = False,
) -> None:
    """Merge shards of predictions into what one prelabel predict would have written.

    All shards must be there, finished, and of the same model.
    """
    from prelabel.runs.shards import merge as merge_shards

    summary = merge_shards(shards, out, console.progress())
    if model:
        _name_new_photos(model, out)
    _end(summary, strict=strict)


@app.command(epilog=example("prelabel samples samples"))
def samples(
    out: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="A new or an empty folder, or an earlier one of this command.",
            show_default=False,
        ),
    ],
) -> None:
    """Write sample photos with ground truth, for trying prelabel."""
    with console.stage(console.progress(), "samples"):
        from prelabel.samples import write_samples

        written = write_samples(out)
    objects = ", ".join(f"{n} {name}" for name, n in written.n_objects.items())
    rows = [
        (f"{written.n_photos} photos", one_line(written.photos)),
        ("ground truth", one_line(written.ground_truth)),
        ("objects", f"{objects}; {written.n_empty} photos without any"),
    ]
    print(table(rows))


def _keep_names(out: Path, progress: Progress) -> None:
    """Names that were given on the review page outlive a run that is done again."""
    from prelabel.review.result_folder import keep_names
    from prelabel.storage.locks import InUseError

    try:
        if keep_names(out, progress=progress):
            console.say(f"the names of the review of {str(out)!r} count in its exports and report")
    except InUseError as error:
        console.say(f"names of the review are not in this result yet: {error}")


def _name_new_photos(model: Path, out: Path) -> None:
    """New photos get the names that were given on the review page of the model's run."""
    from prelabel.review.new_photos import name_new_photos

    if name_new_photos(model, out):
        console.say(f"regions have the names of the review of {str(model)!r}")


def _end(summary: Summary, *, strict: bool) -> None:
    console.summarise(summary)
    if strict and summary.facts.photos.skipped:
        raise typer.Exit(1)
