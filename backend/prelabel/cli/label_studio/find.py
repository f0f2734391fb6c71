"""prelabel label-studio find: the like of an annotated object, in the other tasks of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from prelabel import extras
from prelabel.cli import console
from prelabel.cli import label_studio_options as ls_options
from prelabel.cli.options import example
from prelabel.storage.text import one_line, table

if TYPE_CHECKING:
    from prelabel.label_studio.find import FoundTotals

app = typer.Typer()
_SHOWN = 10
"""Regions, and failed tasks, that the summary lists."""


@app.command(epilog=example("prelabel label-studio find --project 1 --like 17 --dry-run"))
def find(
    project: ls_options.Project,
    *,
    like: Annotated[
        int,
        typer.Option(
            metavar="TASK",
            help="The number of the task whose submitted annotation holds the example.",
        ),
    ],
    region: Annotated[
        str,
        typer.Option(
            metavar="ID",
            help="Its only region that is an example. Default: all that have a label.",
            show_default=False,
        ),
    ] = "",
    most: Annotated[
        int, typer.Option(min=1, help="Regions that are added at most, the best ones.")
    ] = 200,
    dry_run: ls_options.DryRun = False,
    url: ls_options.Url = ls_options.LOCAL,
    token: ls_options.Token,
    tolerance: ls_options.Tolerance = 1.0,
    max_points: ls_options.MaxPoints = 60,
    allow_host: ls_options.AllowHost,
    local_files: ls_options.LocalFiles = None,
    max_photo_mb: ls_options.MaxPhotoMb = 100,
    photo_timeout: ls_options.PhotoTimeout = 120,
    photo_cache_gb: ls_options.PhotoCacheGb = 20.0,
) -> None:
    """Add objects like an annotated one to the predictions that lack them.

    Tasks that people have begun with are left alone. prelabel label-studio predict --replace-own takes
    the regions out again.
    """
    progress = console.progress()
    with console.stage(progress, "start"), extras.required("label-studio"):
        from prelabel.label_studio.api.client import Client
        from prelabel.label_studio.api.photos import open_fetcher
        from prelabel.label_studio.find import find_in_project
        from prelabel.label_studio.predict.task_prediction import ResultOptions
        from prelabel.label_studio.project_home import open_folder

        sources = ls_options.sources(
            allow_host, local_files, mb=max_photo_mb, seconds=photo_timeout, cache_gb=photo_cache_gb
        )
    with Client(url, token) as client:
        totals = find_in_project(
            client,
            open_fetcher(client, sources),
            project,
            open_folder(client.url, client.project(project).name),
            like=like,
            region=region,
            most=most,
            dry_run=dry_run,
            options=ResultOptions(tolerance=tolerance, max_points=max_points),
            progress=progress,
        )
    print(table(_rows(totals, dry_run=dry_run)))


def _rows(totals: FoundTotals, *, dry_run: bool) -> list[tuple[str, str]]:
    """The summary."""
    would = "would be added" if dry_run else "added"
    rows = [
        ("searched", f"{totals.searched} tasks"),
        ("left alone", f"{totals.begun} begun, {totals.unpredicted} without a live prediction"),
        ("known", f"{totals.known} like it that the predictions have"),
        ("found", f"{len(totals.best)} regions {would} to {totals.changed} predictions"),
    ]
    rows += [
        (f"  {score:.2f}", f"task {task}: {label}") for score, task, label in totals.best[:_SHOWN]
    ]
    if len(totals.best) > _SHOWN:
        rows.append(("", f"… and {len(totals.best) - _SHOWN} more"))
    if totals.failed:
        rows.append(("failed", f"{len(totals.failed)} tasks"))
    shown = list(totals.failed.items())[:_SHOWN]
    return rows + [("", one_line(f"task {task}: {reason}")) for task, reason in shown]
