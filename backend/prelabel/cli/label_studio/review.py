"""prelabel label-studio review: a page on which the classes of a project get their names."""

from __future__ import annotations

from typing import Annotated

import typer

from prelabel import extras
from prelabel.cli import console
from prelabel.cli import label_studio_options as ls_options
from prelabel.cli.options import example
from prelabel.cli.review import Port, listen, show
from prelabel.storage.locks import exclusive

app = typer.Typer()


@app.command(epilog=example("prelabel label-studio review --project 1"))
def review(
    project: ls_options.Project,
    *,
    url: ls_options.Url = ls_options.LOCAL,
    token: ls_options.Token,
    port: Port = 8075,
    push: Annotated[
        bool,
        typer.Option("--push", help="Bring the project's predictions up to date at the end."),
    ] = False,
    allow_host: ls_options.AllowHost,
    local_files: ls_options.LocalFiles = None,
    max_photo_mb: ls_options.MaxPhotoMb = 100,
    photo_timeout: ls_options.PhotoTimeout = 120,
    photo_cache_gb: ls_options.PhotoCacheGb = 20.0,
) -> None:
    """Name, merge and split the classes of a project, on a page that this machine alone can open.

    Names count as those of annotators do. prelabel serve has the same page, and brings predictions up
    to date by itself; without it, the page's button does, or --push when the page is ended by Ctrl-C.
    """
    with console.stage(console.progress(), "start"), extras.required("serve"):
        from prelabel.label_studio.api.client import Client
        from prelabel.label_studio.review_command import project_source
        from prelabel.review.review import Review

        sources = ls_options.sources(
            allow_host, local_files, mb=max_photo_mb, seconds=photo_timeout, cache_gb=photo_cache_gb
        )
    with Client(url, token) as client:
        source = project_source(
            client, project, sources, progress=console.progress(), report=console.say
        )
        place = listen(port)
        with place, exclusive(source.place / "review.lock", f"the review of project {project}"):
            show(Review(source, source.place), place)
        if push:
            console.say(source.push(lambda done, total: None))
