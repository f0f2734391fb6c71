"""The commands run, fit and samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prelabel.cli import console, options
from prelabel.cli.options import example
from prelabel.storage.text import one_line, table

if TYPE_CHECKING:
    from prelabel.storage.progress import Progress

app = typer.Typer()


@app.command(epilog=example("prelabel run photos --out out --format coco --set features.size=336"))
def run(
    photos: options.PhotosAnywhere,
    out: options.OutAnywhere,
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
        from prelabel.storage.remote import place, results

        # Wrong options are found first, before libraries that take seconds to load.
        exporters, others = options.exporter_settings(formats, settings)
        make_exporters(formats, exporters)
        to = place(out)
        if isinstance(to, Path):
            check_output_folder(to, command="run")
        taught = read_labels_option(labels, format=labels_from, partial=partial)
        before, given = options.before_photos(
            recipe, backbone=backbone, labels=taught.names, seed=seed, settings=others
        )
        photo_set = find_photos(photos)
        dataset = taught.open(photo_set.root)
        from prelabel.model import TENSORS
        from prelabel.report import PICTURES
        from prelabel.runs import run as running
    config, chosen = options.by_photos(recipe, before, photo_set, given, progress)
    with results(to, outdated=(f"model/{TENSORS}", f"report/{PICTURES}")) as folder:
        summary = running.run(
            photo_set,
            folder,
            config,
            recipe=chosen,
            labels=dataset,
            complete=taught.complete,
            formats=formats,
            exporter_settings=exporters,
            single_file=single_file,
            progress=progress,
        )
        _keep_names(folder, progress)
    console.end(summary, strict=strict, shown={folder: to})


@app.command(epilog=example("prelabel fit photos --out model --labels some.json"))
def fit(
    photos: options.PhotosAnywhere,
    out: options.OutAnywhere,
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
        from prelabel.storage.remote import place, results

        to = place(out)
        if isinstance(to, Path):
            check_output_folder(to, command="fit")
        taught = read_labels_option(labels, format=labels_from, partial=partial)
        before, given = options.before_photos(
            recipe, backbone=backbone, labels=taught.names, seed=seed, settings=settings
        )
        photo_set = find_photos(photos)
        dataset = taught.open(photo_set.root)
        from prelabel.model import TENSORS
        from prelabel.runs import run as running
    config, chosen = options.by_photos(recipe, before, photo_set, given, progress)
    with results(to, outdated=(TENSORS,)) as folder:
        summary = running.run_fit(
            photo_set,
            folder,
            config,
            recipe=chosen,
            labels=dataset,
            complete=taught.complete,
            progress=progress,
        )
    console.end(summary, strict=strict, shown={folder: to})


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
