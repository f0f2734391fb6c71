"""The command serve: the ML backend for Label Studio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from prelabel import extras
from prelabel.cli import console, options
from prelabel.cli import label_studio_options as ls_options
from prelabel.cli.options import example
from prelabel.errors import UserError
from prelabel.storage.relay import relayed_output

if TYPE_CHECKING:
    from prelabel.label_studio.server.guard import Access

app = typer.Typer()
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


@app.command(epilog=example("prelabel serve --port 9090 --backbone stand-in"))
@relayed_output()  # a log that nobody reads must not stop the backend
def serve(
    *,
    host: Annotated[
        str,
        typer.Option(
            help="The address to listen on; one that other machines can reach needs a password or token."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 9090,
    url: Annotated[
        str,
        typer.Option(
            envvar="LABEL_STUDIO_URL",
            help="The address of Label Studio, if not the one that it sends.",
            show_default=False,
        ),
    ] = "",
    token: Annotated[
        str,
        typer.Option(
            envvar="LABEL_STUDIO_API_KEY",
            help=f"{ls_options.TOKEN} Default: the one that Label Studio sends, which works if it allows "
            "legacy tokens.",
            show_default=False,
        ),
    ] = "",
    basic_auth: Annotated[
        str,
        typer.Option(
            envvar="PRELABEL_BASIC_AUTH",
            metavar="USER:PASSWORD",
            help="The user and password that Label Studio connects with. Safer in the environment.",
            show_default=False,
        ),
    ] = "",
    access_token: Annotated[
        str,
        typer.Option(
            envvar="PRELABEL_TOKEN",
            metavar="TOKEN",
            help="A token that is accepted too, for scripts: Authorization: Bearer TOKEN.",
            show_default=False,
        ),
    ] = "",
    recipe: options.Recipe = "default",
    settings: options.Set,
    backbone: Annotated[
        str,
        typer.Option(envvar="PRELABEL_BACKBONE", help="As in prelabel run.", show_default=False),
    ] = "",
    fit_after: Annotated[
        int,
        typer.Option(
            min=0,
            help="Fit a project again after this many new tasks, sooner if it is small; 0: never.",
        ),
    ] = 500,
    min_score: ls_options.MinScore = 0.0,
    max_regions: ls_options.MaxRegions = 50,
    gap: ls_options.Gap = 0,
    tolerance: ls_options.Tolerance = 1.0,
    unnamed: Annotated[ls_options.Unnamed, typer.Option(help=ls_options.UNNAMED)] = "first",
    max_points: ls_options.MaxPoints = 60,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial",
            help="Annotated photos may show more objects than were drawn, so that the rest of them is "
            "not learned as background; for projects that have no setting of their own (prelabel "
            "label-studio predict --partial or --complete).",
        ),
    ] = False,
    sam: Annotated[
        str,
        typer.Option(
            envvar="PRELABEL_SAM",
            metavar="MODEL",
            help="Clicks and boxes are answered by this model of osam, such as efficientsam:10m, in "
            "place of the fitted model's clusters; needs the extra sam.",
            show_default=False,
        ),
    ] = "",
    allow_host: ls_options.AllowHost,
    local_files: ls_options.LocalFiles = None,
    max_photo_mb: ls_options.MaxPhotoMb = 100,
    photo_timeout: ls_options.PhotoTimeout = 120,
    photo_cache_gb: ls_options.PhotoCacheGb = 20.0,
    max_request_mb: Annotated[
        int, typer.Option(min=1, help="The largest request that is accepted, in MB.")
    ] = 100,
) -> None:
    """Run the ML backend for Label Studio: connect it in a project's Settings, Model.

    The page at its address shows the projects, their models, and what is being computed.
    """
    with console.stage(console.progress(), "start"), extras.required("serve"):
        config = options.chosen_config(recipe, backbone=backbone, settings=settings)
        from prelabel.label_studio.predict.task_prediction import ResultOptions
        from prelabel.label_studio.server.app import create_app
        from prelabel.label_studio.server.connections import bind, http_server
        from prelabel.label_studio.server.guard import Access
        from prelabel.label_studio.server.service import Service
        from prelabel.label_studio.server.settings import Settings

        access = Access(basic_auth, access_token, max_request_mb * 1_000_000)
        _check(access, host=host, url=url, token=token)
        sam = _pulled(sam) if sam else ""
        place = bind(host, port)
        service = Service(
            Settings(
                config,
                url=url,
                token=token,
                sources=ls_options.sources(
                    allow_host,
                    local_files,
                    mb=max_photo_mb,
                    seconds=photo_timeout,
                    cache_gb=photo_cache_gb,
                ),
                result_options=ResultOptions(
                    min_score, max_regions, gap, tolerance, max_points, unnamed=unnamed
                ),
                fit_after=fit_after,
                partial=partial,
                sam=sam,
            )
        )
        server = http_server(create_app(service, access), host=host, port=port)
    shown = f"[{host}]" if ":" in host else host
    console.say(
        f"http://{shown}:{place.getsockname()[1]} is the backend's address; a status page is there too"
    )
    server.run([place])


def _pulled(sam: str) -> str:
    """The full name of one of osam's models, once its weights are here: the first click cannot wait for
    a download. Raises UserError."""
    with extras.required("sam"):
        from prelabel.weights.sam import check_sam, pull_sam
    name = check_sam(sam)
    pull_sam(name)
    return name


def _check(access: Access, *, host: str, url: str, token: str) -> None:
    """Raises UserError for options that do not go together."""
    if access.basic and not all(access.basic.partition(":")):
        raise UserError("--basic-auth: expected USER:PASSWORD")
    if access.open and host not in _THIS_MACHINE:
        raise UserError(
            f"--host {host}: other machines can reach it; set PRELABEL_BASIC_AUTH=USER:PASSWORD and "
            "enter the same in Label Studio when you connect the backend"
        )
    if token and not url:
        raise UserError(
            "LABEL_STUDIO_API_KEY is set, LABEL_STUDIO_URL is not: set it to the address of the "
            "Label Studio that the token belongs to"
        )
