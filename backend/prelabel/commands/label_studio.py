"""prelabel label-studio …: the commands that work on a Label Studio project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prelabel import console
from prelabel.commands import options
from prelabel.commands.options import example
from prelabel.errors import UserError

app = typer.Typer()
label_studio = typer.Typer(epilog=example("prelabel label-studio prelabel --project 1"))
app.add_typer(label_studio, name="label-studio", help="Label Studio projects.")

_SHOWN = 5


@label_studio.command(
    "prelabel", epilog=example("prelabel label-studio prelabel --project 1 --dry-run")
)
def prelabel(
    project: Annotated[int, typer.Option(metavar="N", help="The project's number.")],
    *,
    url: Annotated[
        str, typer.Option(envvar="LABEL_STUDIO_URL", help="Where Label Studio is.")
    ] = "http://127.0.0.1:8080",
    token: Annotated[
        str,
        typer.Option(
            envvar="LABEL_STUDIO_API_KEY",
            help="An access token, personal or legacy, from Account & Settings. Better in the "
            "environment, where no list of processes shows it.",
            show_default=False,
            show_envvar=True,
        ),
    ],
    recipe: options.Recipe = "default",
    settings: options.Set,
    backbone: options.Backbone = "",
    all_tasks: Annotated[
        bool,
        typer.Option(
            "--all/--only-unlabelled", help="Tasks with annotations too; they are never touched."
        ),
    ] = False,
    replace_own: Annotated[
        bool,
        typer.Option("--replace-own", help="Earlier predictions of this tool make way for new."),
    ] = False,
    refit: Annotated[
        bool, typer.Option("--refit", help="Learn anew from the photos that are there now.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do everything but change something on the server.")
    ] = False,
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out regions with a lower score.")
    ] = 0.0,
    max_regions: Annotated[int, typer.Option(min=1, help="At most so many in a photo.")] = 50,
    gap: Annotated[
        int, typer.Option(min=0, help="Fragments of one class so many pixels apart are merged.")
    ] = 0,
    allow_host: Annotated[
        list[str],
        typer.Option(
            metavar="HOST",
            default_factory=list,
            help="Fetch photos from there as well; may be repeated.",
            show_default=False,
        ),
    ],
    local_files: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Label Studio's document root for local files, if it is on this machine.",
            show_default=False,
        ),
    ] = None,
    strict: options.Strict = False,
) -> None:
    """Give every task of a project a prediction: fit if needed, predict, import.

    Run again after an interruption, it goes on from where it was.
    """
    progress = console.progress()
    with console.stage(progress, "start"):
        from prelabel.storage import cache_folder

        try:
            from prelabel.label_studio import bulk
            from prelabel.label_studio.client import Client
            from prelabel.label_studio.fetch import Fetcher
        except ModuleNotFoundError as error:
            if error.name != "httpx":
                raise
            raise UserError("httpx is missing: pip install 'prelabel[label-studio]'") from error

        config = options.chosen_config(
            recipe, backbone=backbone, labels="", seed=None, settings=settings
        )
    with Client(url, token) as client:
        fetcher = Fetcher(
            client,
            cache_folder() / "photos",
            allowed_hosts=allow_host,
            local_root=local_files,
        )
        totals = bulk.prelabel_project(
            client,
            fetcher,
            project,
            bulk.model_home(url, project),
            config,
            bulk.Options(
                labelled=all_tasks,
                replace_own=replace_own,
                refit=refit,
                dry_run=dry_run,
                gap=gap,
                min_score=min_score,
                max_regions=max_regions,
            ),
            progress=progress,
        )
    would = "would get" if dry_run else "got"
    rows = [
        ("tasks", str(totals.tasks)),
        ("predicted", f"{totals.imported} {would} a prediction, {totals.empty} without a region"),
        ("regions", str(totals.regions)),
        ("left alone", f"{totals.labelled} labelled, {totals.current} predicted by this model"),
    ]
    if totals.earlier:
        rows.append(("", f"{totals.earlier} predicted by an earlier one (--replace-own)"))
    if totals.removed:
        rows.append(("replaced", f"{totals.removed} earlier predictions"))
    if totals.failed:
        rows.append(("failed", f"{len(totals.failed)} tasks"))
    shown = list(totals.failed.items())[:_SHOWN]
    rows += [("", console.one_line(f"task {task}: {reason}")) for task, reason in shown]
    if len(totals.failed) > _SHOWN:
        rows.append(("", f"… and {len(totals.failed) - _SHOWN} more"))
    rows.append(("model", totals.model_version))
    print(console.table(rows))
    if strict and totals.failed:
        raise typer.Exit(1)
