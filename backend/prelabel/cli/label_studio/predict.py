"""prelabel label-studio predict: predictions for the tasks of a project."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from prelabel import extras
from prelabel.cli import console, options
from prelabel.cli import label_studio_options as ls_options
from prelabel.cli.options import example
from prelabel.storage.text import one_line, table

if TYPE_CHECKING:
    from prelabel.label_studio.api.client import Client
    from prelabel.label_studio.api.photos import Fetcher
    from prelabel.label_studio.bulk import Totals
    from prelabel.storage.progress import Progress

app = typer.Typer()

_EXAMPLE = example("prelabel label-studio predict --project 1 --dry-run")
_SHOWN = 5
"""Failed tasks that the summary names."""


@app.command("prelabel", hidden=True, epilog=_EXAMPLE)  # its former name
@app.command("predict", epilog=_EXAMPLE)
def predict(
    project: ls_options.Project,
    *,
    url: ls_options.Url = ls_options.LOCAL,
    token: ls_options.Token,
    recipe: options.Recipe = "default",
    settings: options.Set,
    backbone: options.Backbone = "",
    all_tasks: Annotated[
        bool,
        typer.Option(
            "--all/--only-unlabelled",
            help="Predict tasks that have annotations too; annotations are never changed.",
        ),
    ] = False,
    replace_own: Annotated[
        bool,
        typer.Option("--replace-own", help="Replace earlier predictions made by prelabel."),
    ] = False,
    refit: Annotated[
        bool,
        typer.Option("--refit", help="Fit a new model on the photos that the project has now."),
    ] = False,
    keep_project_settings: Annotated[
        bool,
        typer.Option(
            "--keep-project-settings",
            help="Do not choose the predictions that annotators see with Label All Tasks.",
        ),
    ] = False,
    unnamed: Annotated[
        ls_options.Unnamed | None,
        typer.Option(
            help=f"{ls_options.UNNAMED} Default: asked in a terminal, else first.",
            show_default=False,
        ),
    ] = None,
    order: Annotated[
        bool | None,
        typer.Option(
            "--order/--no-order",
            help="Have Label Studio give the tasks first that would teach most; --no-order puts its "
            "settings back. Default: leave them as they are.",
            show_default=False,
        ),
    ] = None,
    partial: ls_options.Partial = None,
    dry_run: ls_options.DryRun = False,
    min_score: ls_options.MinScore = 0.0,
    max_regions: ls_options.MaxRegions = 50,
    gap: ls_options.Gap = 0,
    tolerance: ls_options.Tolerance = 1.0,
    max_points: ls_options.MaxPoints = 60,
    allow_host: ls_options.AllowHost,
    local_files: ls_options.LocalFiles = None,
    max_photo_mb: ls_options.MaxPhotoMb = 100,
    photo_timeout: ls_options.PhotoTimeout = 120,
    photo_cache_gb: ls_options.PhotoCacheGb = 20.0,
    strict: options.Strict = False,
) -> None:
    """Predict every task of a project: fit if needed, predict, import the predictions.

    After an interruption, the same command continues where it stopped.
    """
    progress = console.progress()
    with console.stage(progress, "start"), extras.required("label-studio"):
        config = options.chosen_config(recipe, backbone=backbone, settings=settings)
        from prelabel.label_studio import bulk
        from prelabel.label_studio.api.client import Client
        from prelabel.label_studio.api.photos import open_fetcher
        from prelabel.label_studio.predict.task_prediction import ResultOptions
        from prelabel.label_studio.project_home import open_folder

        sources = ls_options.sources(
            allow_host, local_files, mb=max_photo_mb, seconds=photo_timeout, cache_gb=photo_cache_gb
        )
    with Client(url, token) as client:
        chosen = unnamed or _unnamed(client.project(project).label_config, ask=not dry_run)
        totals = bulk.predict_project(
            client,
            open_fetcher(client, sources),
            project,
            open_folder(client.url, client.project(project).name),
            config,
            bulk.Options(
                labelled=all_tasks,
                replace_own=replace_own,
                refit=refit,
                keep_project_settings=keep_project_settings,
                dry_run=dry_run,
                partial=partial,
                result_options=ResultOptions(
                    min_score, max_regions, gap, tolerance, max_points, unnamed=chosen
                ),
            ),
            progress=progress,
        )
        rows = totals_rows(totals, dry_run=dry_run)
        if order is not None and not dry_run:
            rows.append(
                _ordered(
                    client,
                    open_fetcher(client, sources),
                    project,
                    order=order,
                    keep_project_settings=keep_project_settings,
                    progress=progress,
                )
            )
    if totals.losses.unnamed and not dry_run:
        rows.append(("names", f"prelabel label-studio review --project {project} --url {url}"))
        rows.append(("", f"or the backend's page, /projects/{project}/review/"))
    print(table(rows))
    if strict and totals.failed:
        raise typer.Exit(1)


def _unnamed(label_xml: str, *, ask: bool) -> ls_options.Unnamed:
    """What regions of classes without a name get where no option says it: labels of their own if the
    label config has such already, or if somebody at a terminal agrees."""
    from prelabel.label_studio.format.label_config import parse_label_config
    from prelabel.label_studio.format.unnamed_labels import has_labels

    if has_labels(label_xml):
        return "add"
    if not ask or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return "first"
    if len(parse_label_config(label_xml).label_names) < 2:
        return "first"
    console.say(
        "regions of classes without a name need a label to be seen; labels 'object 1', 'object 2', … "
        "can be added to the project's label config, and are taken out when all classes have names"
    )
    return "add" if typer.confirm("add them?", default=True, err=True) else "first"


def _ordered(
    client: Client,
    fetcher: Fetcher,
    project: int,
    *,
    order: bool,
    keep_project_settings: bool,
    progress: Progress | None,
) -> tuple[str, str]:
    """Lead annotators, or put back what that changed; the row of the summary."""
    from prelabel.label_studio.api.leading import TAB
    from prelabel.label_studio.leading import lead, put_back
    from prelabel.label_studio.led_tasks import read_leading
    from prelabel.label_studio.project_home import open_folder

    folder = open_folder(client.url, client.project(project).name)
    if not order:
        changed = put_back(client, project, folder)
        return "order", "put back as it was" if changed else "was not changed"
    led = lead(
        client,
        fetcher,
        project,
        folder,
        keep_project_settings=keep_project_settings,
        progress=progress,
    )
    where = f"in the tab {TAB!r}"
    if read_leading(folder.path).sampling is not None:
        where += ", and with Label All Tasks"
    return "order", f"the {len(led)} tasks that teach most come first {where}"


def totals_rows(totals: Totals, *, dry_run: bool) -> list[tuple[str, str]]:
    """The summary of a project's predictions."""
    would = "would get" if dry_run else "got"
    lost = totals.losses
    rows = [
        ("tasks", str(totals.tasks)),
        ("predicted", f"{totals.imported} {would} a prediction, {totals.empty} without a region"),
        ("regions", f"{totals.regions}, {lost.unnamed} of them without a name yet"),
        ("left alone", f"{totals.labelled} labelled, {totals.current} predicted by this model"),
    ]
    if totals.earlier:
        rows.append(("", f"{totals.earlier} predicted by an earlier one (--replace-own)"))
    if totals.removed:
        rows.append(("replaced", f"{totals.removed} earlier predictions"))
    counts = {
        "regions below --min-score": lost.below_threshold,
        "regions over --max-regions": lost.over_limit,
        "holes filled, since polygons have none": lost.holes,
    }
    rows += [("left out", f"{n} {what}") for what, n in counts.items() if n]
    rows += _near_identical(totals.near_identical)
    if totals.labels_kept:
        rows.append(("label config", f"annotations still have the labels {totals.labels_kept}"))
    if lost.simplified:
        iou = 1 - lost.iou_lost / lost.simplified
        rows.append(("simplified", f"{lost.simplified} outlines, at a mean IoU of {iou:.3f}"))
    if totals.learned_from:
        rows.append(("learned", f"anew from {totals.learned_from} annotated photos"))
    if totals.failed:
        rows.append(("failed", f"{len(totals.failed)} tasks"))
    shown = list(totals.failed.items())[:_SHOWN]
    rows += [("", one_line(f"task {task}: {reason}")) for task, reason in shown]
    if len(totals.failed) > _SHOWN:
        rows.append(("", f"… and {len(totals.failed) - _SHOWN} more"))
    if totals.shown:
        rows.append(("annotators", f"see {totals.shown}"))
    if totals.learning:
        rows.append(("taught by", totals.learning))
    rows.append(("model", totals.model_version))
    return rows


def _near_identical(groups: Sequence[Sequence[int]]) -> list[tuple[str, str]]:
    """Groups of tasks with near-identical photos."""
    if not groups:
        return []
    n, k = sum(map(len, groups)), len(groups)
    what = f"{n} tasks have photos near-identical to others', in {k} group{'s' * (k != 1)}"
    rows = [("alike", what)]
    for tasks in groups[:_SHOWN]:
        more = f" and {len(tasks) - _SHOWN} more" if len(tasks) > _SHOWN else ""
        rows.append(("", f"tasks {', '.join(map(str, tasks[:_SHOWN]))}{more}"))
    if k > _SHOWN:
        rows.append(("", f"… and {k - _SHOWN} more"))
    return rows
