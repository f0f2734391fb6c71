"""The command review: a page on which the classes of a run get their names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prelabel import extras
from prelabel.cli import console
from prelabel.cli.options import example

app = typer.Typer()
_HOST = "127.0.0.1"


@app.command(epilog=example("prelabel review out"))
def review(
    result: Annotated[
        Path,
        typer.Argument(
            metavar="RESULT", help="The folder that prelabel run wrote.", show_default=False
        ),
    ],
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port of the page; 0 for any free one.")
    ] = 8075,
    photos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where the photos lie, if they were moved.", show_default=False
        ),
    ] = None,
) -> None:
    """Name, merge and split the classes of a run, on a page that this machine alone can open.

    Open the address that is printed. Names count at once in prelabel export and prelabel evaluate, and
    regions that are background are left out. Ctrl-C ends it; the run's exports and its report are
    written again then.
    """
    with console.stage(console.progress(), "start"), extras.required("serve"):
        from prelabel.label_studio.server.connections import bind, http_server
        from prelabel.review.app import create_app
        from prelabel.review.outputs import write_outputs
        from prelabel.review.result_folder import ResultFolder, review_of_run

        source = ResultFolder(result, photos=photos, progress=console.progress())
        place = bind(_HOST, port)
    with place, review_of_run(source) as found:
        for line in (*source.problems.lines(), *found.board.problems):
            console.say(line)
        server = http_server(create_app(lambda: found), host=_HOST, port=port)
        console.say(
            f"http://{_HOST}:{place.getsockname()[1]} is the page of {len(found.index)} regions; "
            "Ctrl-C ends it, and every edit is kept"
        )
        found.start()
        try:
            server.run([place])
        finally:
            found.stop()
            write_outputs(result, photos=photos, progress=console.progress())
