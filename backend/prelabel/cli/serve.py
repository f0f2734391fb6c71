"""prelabel serve: the ML backend for Label Studio."""

from __future__ import annotations

from typing import Annotated

import typer

from prelabel import extras
from prelabel.cli import console, options
from prelabel.cli import label_studio_options as ls_options
from prelabel.cli.options import example
from prelabel.errors import UserError

app = typer.Typer()
_HERE = ("127.0.0.1", "localhost", "::1")


@app.command(epilog=example("prelabel serve --port 9090 --backbone stand-in"))
def serve(
    *,
    host: Annotated[
        str,
        typer.Option(help="Where to listen; beyond this machine, a password or token is wanted."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 9090,
    url: Annotated[
        str,
        typer.Option(
            envvar="LABEL_STUDIO_URL",
            help="Where Label Studio is, in place of the address that it gives itself.",
            show_default=False,
        ),
    ] = "",
    token: Annotated[
        str,
        typer.Option(
            envvar="LABEL_STUDIO_API_KEY",
            help=f"{ls_options.TOKEN} Left out: the one that Label Studio sends, which works where legacy "
            "tokens are allowed.",
            show_default=False,
        ),
    ] = "",
    basic_auth: Annotated[
        str,
        typer.Option(
            envvar="PRELABEL_BASIC_AUTH",
            metavar="USER:PASSWORD",
            help="What Label Studio must say when it connects. Better in the environment.",
            show_default=False,
        ),
    ] = "",
    access_token: Annotated[
        str,
        typer.Option(
            envvar="PRELABEL_TOKEN",
            metavar="TOKEN",
            help="Another way in, for scripts: Authorization: Bearer TOKEN.",
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
            help="Fit a project anew after so many new tasks, earlier while it is small; 0: never.",
        ),
    ] = 500,
    min_score: ls_options.MinScore = 0.0,
    max_regions: ls_options.MaxRegions = 50,
    gap: ls_options.Gap = 0,
    tolerance: ls_options.Tolerance = 1.0,
    allow_host: ls_options.AllowHost,
    local_files: ls_options.LocalFiles = None,
    max_request_mb: Annotated[int, typer.Option(min=1, help="The largest request.")] = 100,
) -> None:
    """The ML backend for Label Studio: connect it in a project's Settings, Model.

    Its page, at the same address, shows what is fitted and what it is doing.
    """
    with console.stage(console.progress(), "start"), extras.required("serve"):
        import uvicorn

        from prelabel.label_studio.api.photos import Sources
        from prelabel.label_studio.predict.task_prediction import ResultOptions
        from prelabel.label_studio.server.app import create_app
        from prelabel.label_studio.server.guard import Access
        from prelabel.label_studio.server.service import Service
        from prelabel.label_studio.server.settings import Settings

        access = Access(basic_auth, access_token, max_request_mb * 1_000_000)
        if basic_auth and not all(basic_auth.partition(":")):
            raise UserError("--basic-auth: USER:PASSWORD wanted")
        if access.open and host not in _HERE:
            raise UserError(
                f"--host {host}: others can reach that; set PRELABEL_BASIC_AUTH=USER:PASSWORD and "
                "give Label Studio the same when you connect"
            )
        if token and not url:
            raise UserError(
                "LABEL_STUDIO_API_KEY is set, LABEL_STUDIO_URL is not: say which server the token is for"
            )
        config = options.chosen_config(
            recipe, backbone=backbone, labels="", seed=None, settings=settings
        )
        service = Service(
            Settings(
                config,
                url=url,
                token=token,
                sources=Sources(tuple(allow_host), local_files),
                result_options=ResultOptions(min_score, max_regions, gap, tolerance),
                fit_after=fit_after,
            )
        )
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(service, access),
                host=host,
                port=port,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=3,
            )
        )
    console.say(f"http://{host}:{port} is the backend's address; its page is there too")
    server.run()
