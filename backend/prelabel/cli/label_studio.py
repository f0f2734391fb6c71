"""prelabel label-studio …: the commands that work on a Label Studio project."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prelabel import extras
from prelabel.cli import console, options
from prelabel.cli import label_studio_options as ls_options
from prelabel.cli.options import example
from prelabel.errors import UserError
from prelabel.storage.text import one_line, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prelabel.label_studio.api.client import Client
    from prelabel.label_studio.bulk import Totals
    from prelabel.storage.progress import Progress

app = typer.Typer()
label_studio = typer.Typer(epilog=example("prelabel label-studio predict --project 1"))
app.add_typer(label_studio, name="label-studio", help="Label Studio projects.")

_PREDICT = example("prelabel label-studio predict --project 1 --dry-run")
_SHOWN = 5
_LOCAL = "http://127.0.0.1:8080"


@label_studio.command("prelabel", hidden=True, epilog=_PREDICT)  # its former name
@label_studio.command("predict", epilog=_PREDICT)
def predict(
    project: ls_options.Project,
    *,
    url: ls_options.Url = _LOCAL,
    token: ls_options.Token,
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
    min_score: ls_options.MinScore = 0.0,
    max_regions: ls_options.MaxRegions = 50,
    gap: ls_options.Gap = 0,
    tolerance: ls_options.Tolerance = 1.0,
    allow_host: ls_options.AllowHost,
    local_files: ls_options.LocalFiles = None,
    strict: options.Strict = False,
) -> None:
    """Give every task of a project a prediction: fit if needed, predict, import.

    Run again after an interruption, it goes on from where it was.
    """
    progress = console.progress()
    with console.stage(progress, "start"), extras.required("label-studio"):
        from prelabel.label_studio import bulk
        from prelabel.label_studio.api.client import Client
        from prelabel.label_studio.api.photos import Sources, open_fetcher
        from prelabel.label_studio.predict.task_prediction import ResultOptions
        from prelabel.label_studio.project_folder import ProjectFolder

        config = options.chosen_config(
            recipe, backbone=backbone, labels="", seed=None, settings=settings
        )
    with Client(url, token) as client:
        totals = bulk.predict_project(
            client,
            open_fetcher(client, Sources(tuple(allow_host), local_files)),
            project,
            ProjectFolder.of(url, project),
            config,
            bulk.Options(
                labelled=all_tasks,
                replace_own=replace_own,
                refit=refit,
                dry_run=dry_run,
                result_options=ResultOptions(min_score, max_regions, gap, tolerance),
            ),
            progress=progress,
        )
    print(table(_rows(totals, dry_run=dry_run)))
    if strict and totals.failed:
        raise typer.Exit(1)


@label_studio.command(
    "demo",
    epilog=example("prelabel label-studio demo --command label-studio-venv/bin/label-studio"),
)
def demo(
    *,
    command: Annotated[
        Path,
        typer.Option(
            metavar="PROGRAM",
            help="The label-studio program, installed in an environment of its own.",
            show_default=False,
        ),
    ],
    folder: Annotated[
        Path, typer.Option(metavar="DIR", help="Where everything is kept from start to start.")
    ] = Path("demo"),
    backbone: options.Backbone = "",
    once: Annotated[
        bool, typer.Option("--once", help="Stop when everything is predicted; for tests.")
    ] = False,
) -> None:
    """Start Label Studio and the backend with sample photos that have masks already.

    Everything is on this machine; Ctrl-C stops both.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have had it ignored
        signal.signal(number, signal.default_int_handler)
    progress = console.progress()
    with console.stage(progress, "start"), extras.required("serve"):
        from prelabel.label_studio.api.client import Client
        from prelabel.label_studio.api.photos import Sources, open_fetcher
        from prelabel.label_studio.bulk import Options, predict_project
        from prelabel.label_studio.demo import demo as parts
        from prelabel.label_studio.project_folder import ProjectFolder
        from prelabel.samples import write_samples
        from prelabel.storage.progress import RunLog

        os.environ.setdefault("PRELABEL_HOME", str((folder / "models").resolve()))
        samples = write_samples(folder / "samples")
        config = options.chosen_config(
            "default", backbone=backbone, labels="", seed=None, settings=[]
        )
    data = (folder / "label-studio").resolve()
    with contextlib.ExitStack() as running:
        with console.stage(progress, "Label Studio"):
            server = running.enter_context(parts.label_studio(command.resolve(), data))
        with console.stage(progress, "backend"):
            more = ["--backbone", backbone] if backbone else []
            backend = running.enter_context(parts.backend(server, data, more))
        client = running.enter_context(Client(server.url, server.login.token))
        photos = sorted(file for file in samples.photos.rglob("*") if file.is_file())
        project = parts.project(client, photos, list(samples.n_objects), backend, RunLog(progress))
        totals = predict_project(
            client,
            open_fetcher(client, Sources()),
            project,
            ProjectFolder.of(server.url, project),
            config,
            Options(),
            progress=progress,
        )
        found = _exported(client, project, folder / "export", progress)
        rows = [
            *_rows(totals, dry_run=False),
            *((f"as {name}", one_line(path)) for name, path in found.items()),
            ("open", f"{server.url}/projects/{project}/data"),
            ("log in as", f"{server.login.email}, password {server.login.password}"),
            ("backend", f"{backend.url} (user {backend.user}, password {backend.password})"),
        ]
        print(table(rows), flush=True)
        if not once:
            console.say("Ctrl-C stops Label Studio and the backend; what you label is kept")
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()


@label_studio.command("fit", epilog=example("prelabel label-studio fit --project 1"))
def fit(
    project: ls_options.Project,
    *,
    url: ls_options.Url = _LOCAL,
    token: ls_options.Token,
    recipe: options.Recipe = "default",
    settings: options.Set,
    backbone: options.Backbone = "",
    allow_host: ls_options.AllowHost,
    local_files: ls_options.LocalFiles = None,
) -> None:
    """Fit a project's model anew on the photos that are there now.

    A backend on this machine takes it when Label Studio asks next.
    """
    progress = console.progress()
    with console.stage(progress, "start"), extras.required("label-studio"):
        from prelabel.label_studio.api.client import Client
        from prelabel.label_studio.api.photos import Sources
        from prelabel.label_studio.fit import FitRequest, fit_project
        from prelabel.label_studio.format.label_config import parse_label_config
        from prelabel.label_studio.predict.task_prediction import ResultOptions
        from prelabel.label_studio.project_folder import ProjectFolder
        from prelabel.storage.progress import RunLog

        config = options.chosen_config(
            recipe, backbone=backbone, labels="", seed=None, settings=settings
        )
    with Client(url, token) as client:
        label_config = parse_label_config(client.project(project).label_config)
    folder = ProjectFolder.of(url, project)
    request = FitRequest(
        folder=folder.path,
        server=url,
        token=token,
        project_id=project,
        label_config=label_config,
        config=config,
        sources=Sources(tuple(allow_host), local_files),
        result_options=ResultOptions(),
        newest=folder.state.newest,
    )
    fit_project(
        request,
        RunLog(progress),
        on_wait=lambda: console.say("another process is fitting this project; waiting for it"),
    )
    state = folder.state
    print(table([("fitted on", f"{state.n_tasks} tasks"), ("model", state.newest)]))


@label_studio.command(
    "names", epilog=example("prelabel label-studio names --project 1 --set 3=cat")
)
def names(
    project: ls_options.Project,
    *,
    url: ls_options.Url = _LOCAL,
    changes: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="NUMBER=NAME",
            default_factory=list,
            help="Name a class outright; without a name, it has none. May be repeated.",
            show_default=False,
        ),
    ],
    renames: Annotated[
        list[str],
        typer.Option(
            "--rename",
            metavar="OLD=NEW",
            default_factory=list,
            help="Give everything that has one name another; may be repeated.",
            show_default=False,
        ),
    ],
) -> None:
    """Show and edit what a project's classes are called.

    Names come from what annotators did; see prelabel label-studio predict and prelabel serve.
    """
    with extras.required("label-studio"):
        from prelabel.label_studio.names.exemplars import ExemplarFile
        from prelabel.label_studio.names.table import Names
        from prelabel.label_studio.project_folder import ProjectFolder

    home = ProjectFolder.of(url, project)
    model = home.newest_model()
    if model is None:
        raise UserError(
            f"project {project} of {url} has no fitted model on this machine: prelabel label-studio "
            f"fit --project {project}"
        )
    clusterer = model.config.strategy("clusterer")
    known = ExemplarFile(home.names)
    for change in changes:
        number, equals, name = change.partition("=")
        if not (equals and number.strip().isdecimal()):
            raise UserError(f"--set {change!r}: NUMBER=NAME wanted, as in --set 3=cat")
        if not 1 <= int(number) <= len(model.classes):
            raise UserError(f"--set {change!r}: a number from 1 to {len(model.classes)} wanted")
        known.name_class(
            int(number) - 1, name.strip(), centroids=model.classes, clusterer=clusterer
        )
    for rename in renames:
        old, _, new = rename.partition("=")
        if not known.rename(old.strip(), new.strip()):
            raise UserError(f"--rename {rename!r}: nothing is named {old.strip()!r}")
    counts = Names(known.exemplars, model.classes, clusterer=clusterer).table(len(model.classes))
    rows = [
        (name, ", ".join(f"{label or 'none'} ({n})" for label, n in own.items()) or "not named yet")
        for name, own in zip(model.class_names, counts, strict=True)
    ]
    if changes or renames:
        rows.append(("", "new names go live with the next predictions"))
    print(table(rows))


def _exported(client: Client, project: int, folder: Path, progress: Progress) -> Mapping[str, Path]:
    """The demo's project in other formats, annotations before predictions."""
    from prelabel.label_studio.api.dataset import project_dataset
    from prelabel.label_studio.api.photos import Sources, open_fetcher
    from prelabel.runs.export import export_dataset

    fetcher = open_fetcher(client, Sources())
    with project_dataset(client, fetcher, project, what="both", progress=progress) as dataset:
        return export_dataset(dataset, folder, ["coco", "voc"], progress=progress).files


def _rows(totals: Totals, *, dry_run: bool) -> list[tuple[str, str]]:
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
    counts: dict[str, Any] = {
        "regions below --min-score": lost.below_threshold,
        "regions over --max-regions": lost.over_limit,
        "holes filled, since polygons have none": lost.holes,
    }
    rows += [("left out", f"{n} {what}") for what, n in counts.items() if n]
    if totals.learned_from:
        rows.append(("names", f"learned from {totals.learned_from} annotated photos"))
    if totals.failed:
        rows.append(("failed", f"{len(totals.failed)} tasks"))
    shown = list(totals.failed.items())[:_SHOWN]
    rows += [("", one_line(f"task {task}: {reason}")) for task, reason in shown]
    if len(totals.failed) > _SHOWN:
        rows.append(("", f"… and {len(totals.failed) - _SHOWN} more"))
    rows.append(("model", totals.model_version))
    return rows
