"""The commands export and convert, which write labels in other formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prelabel import extras
from prelabel.cli import console, options
from prelabel.cli import label_studio_options as ls_options
from prelabel.cli.options import example
from prelabel.errors import UserError
from prelabel.label_studio.format.annotations import LabelSource
from prelabel.label_studio.format.label_choice import RELATIONS, LabelChoice
from prelabel.storage.text import one_line, table

if TYPE_CHECKING:
    from prelabel.data.dataset import Dataset
    from prelabel.label_studio.api.photos import Sources
    from prelabel.runs.export import ExportSummary

app = typer.Typer()


@app.command(epilog=example("prelabel export out --format label-studio --out out"))
def export(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN|PREDICTIONS]",
            help="The folder that run or predict wrote, or a predictions.jsonl. For a Label Studio "
            "project, give --project instead.",
            show_default=False,
        ),
    ] = None,
    *,
    formats: options.NamedFormats,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Where to write a folder for each format: the run's own folder, a new or an empty "
            "one, or that of an earlier export.",
            show_default=False,
        ),
    ],
    settings: options.Set,
    photos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder that the photos' names are relative to; not needed for a run.",
            show_default=False,
        ),
    ] = None,
    project: Annotated[
        int | None,
        typer.Option(metavar="N", help="The number of a Label Studio project.", show_default=False),
    ] = None,
    what: Annotated[
        LabelSource,
        typer.Option(
            help="What to export of a project's tasks: the newest annotation, the newest prediction, "
            "or (both) the annotation if there is one, else the prediction."
        ),
    ] = "annotations",
    with_untouched: Annotated[
        bool,
        typer.Option(
            "--with-untouched",
            help="Of a project, also export photos that --what finds nothing for, without objects.",
        ),
    ] = False,
    merge_by: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Of a project, which regions of one label are one object: those that relations "
            "link, or those with one answer in the tag of this NAME; '' for none.",
        ),
    ] = RELATIONS,
    url: ls_options.Url = ls_options.LOCAL,
    token: ls_options.Token = "",
    allow_host: ls_options.AllowHost,
    local_files: ls_options.LocalFiles = None,
    max_photo_mb: ls_options.MaxPhotoMb = 100,
    photo_timeout: ls_options.PhotoTimeout = 120,
    photo_cache_gb: ls_options.PhotoCacheGb = 20.0,
    photos_into: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write the project's photos to this folder, under the names used in the formats.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Export the predictions of a run, or the labels of a Label Studio project."""
    from prelabel.runs.export import export_dataset, export_predictions

    own = _settings(formats, settings)
    if source is not None and project is None:
        found = export_predictions(
            source, out, formats, settings=own, photos=photos, progress=console.progress()
        )
    elif source is None and project is not None and photos is not None:
        raise UserError(
            f"--photos {str(photos)!r} is for a RUN; a project has its own photos, which "
            "--photos-into writes to a folder"
        )
    elif source is None and project is not None:
        choice = LabelChoice(what, with_untouched, merge_by)
        with extras.required("label-studio"):
            sources = ls_options.sources(
                allow_host,
                local_files,
                mb=max_photo_mb,
                seconds=photo_timeout,
                cache_gb=photo_cache_gb,
            )
        with _project(project, choice, url, token, sources, photos_into) as dataset:
            found = export_dataset(dataset, out, formats, settings=own, progress=console.progress())
    else:
        raise UserError(
            f"found {'both' if source else 'neither'} a RUN {'and' if source else 'nor'} a "
            "--project: expected either the folder of a run or predict, or the number of a Label "
            "Studio project"
        )
    _say(found)


@app.command(epilog=example("prelabel convert instances.json tasks --to label-studio"))
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="A",
            help="A file or folder in a format that can be read, or the folder of a run.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="B",
            help="The folder to write to: a new or an empty one, or that of an earlier convert.",
            show_default=False,
        ),
    ],
    *,
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", help="The format to write.", show_default=False)
    ],
    source_format: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help="The format of A. Default: it is recognized.",
            show_default=False,
        ),
    ] = "",
    photos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder that the photos' names are relative to. Sizes missing in A are read "
            "there, and labels of COCO whose size differs from their photo's are left out.",
            show_default=False,
        ),
    ] = None,
    settings: options.Set,
) -> None:
    """Convert labels from one format to another.

    What a format cannot represent and what is wrong in A is counted and printed.
    """
    from prelabel.runs import export
    from prelabel.runs.datasets import open_dataset
    from prelabel.strategies import registry

    own = _settings(registry.names("exporter"), settings)
    dataset = open_dataset(source, format=source_format, photos=photos, settings=own)
    _say(export.convert(dataset, out, to, settings=own, progress=console.progress()))


@contextmanager
def _project(
    project: int,
    choice: LabelChoice,
    url: str,
    token: str,
    sources: Sources,
    photos_into: Path | None,
) -> Iterator[Dataset]:
    """A project's labels; they can be read while the context is open."""
    with extras.required("label-studio"):
        from prelabel.label_studio.api.client import Client
        from prelabel.label_studio.api.dataset import project_dataset
        from prelabel.label_studio.api.photos import open_fetcher

    with Client(url, token) as client:
        fetcher = open_fetcher(client, sources)
        with project_dataset(
            client,
            fetcher,
            project,
            choice=choice,
            photos=photos_into,
            progress=console.progress(),
        ) as dataset:
            yield dataset


def _settings(formats: Sequence[str], settings: Sequence[str]) -> dict[str, dict[str, object]]:
    exporters, others = options.exporter_settings(formats, settings)
    if others:
        raise UserError(f"--set {others[0]!r}: expected a format's setting, as FORMAT.name=value")
    return exporters


def _say(found: ExportSummary) -> None:
    rows = [
        ("photos", str(found.photos)),
        ("regions", str(found.regions)),
        *((name, one_line(path)) for name, path in found.files.items()),
    ]
    print(table([*rows, *(("note", one_line(note)) for note in found.notes)]))
