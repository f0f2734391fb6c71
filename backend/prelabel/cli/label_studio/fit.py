"""prelabel label-studio fit: a project's model, fitted anew."""

from __future__ import annotations

import typer

from prelabel import extras
from prelabel.cli import console, options
from prelabel.cli import label_studio_options as ls_options
from prelabel.cli.options import example
from prelabel.storage.text import table

app = typer.Typer()


@app.command(epilog=example("prelabel label-studio fit --project 1"))
def fit(
    project: ls_options.Project,
    *,
    url: ls_options.Url = ls_options.LOCAL,
    token: ls_options.Token,
    recipe: options.Recipe = "default",
    settings: options.Set,
    backbone: options.Backbone = "",
    partial: ls_options.Partial = None,
    allow_host: ls_options.AllowHost,
    local_files: ls_options.LocalFiles = None,
    max_photo_mb: ls_options.MaxPhotoMb = 100,
    photo_timeout: ls_options.PhotoTimeout = 120,
    photo_cache_gb: ls_options.PhotoCacheGb = 20.0,
) -> None:
    """Fit a new model on the photos that a project has now.

    A backend on this machine uses it from Label Studio's next request on.
    """
    progress = console.progress()
    with console.stage(progress, "start"), extras.required("label-studio"):
        config = options.chosen_config(recipe, backbone=backbone, settings=settings)
        from prelabel.label_studio.api.client import Client
        from prelabel.label_studio.fit import FitRequest, fit_project
        from prelabel.label_studio.format.label_config import parse_label_config
        from prelabel.label_studio.predict.task_prediction import ResultOptions
        from prelabel.label_studio.project_home import open_folder
        from prelabel.storage.progress import RunLog
    with Client(url, token) as client:
        facts = client.project(project)
    label_config = parse_label_config(facts.label_config)
    folder = open_folder(client.url, facts.name)
    if partial is not None:
        folder.update(partial=partial)
    request = FitRequest(
        folder=folder.path,
        server=url,
        token=token,
        project_id=project,
        label_config=label_config,
        config=config,
        sources=ls_options.sources(
            allow_host, local_files, mb=max_photo_mb, seconds=photo_timeout, cache_gb=photo_cache_gb
        ),
        result_options=ResultOptions(),
        fits=folder.state.fits,
    )
    fit_project(request, RunLog(progress))
    state = folder.state
    print(table([("fitted on", f"{state.n_tasks} tasks"), ("model", state.newest)]))
