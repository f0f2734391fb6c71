"""The command review: a page on which the classes of a run get their names."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Annotated

import typer

from prelabel import extras
from prelabel.cli import console
from prelabel.cli.options import example
from prelabel.storage.text import one_line, table

if TYPE_CHECKING:
    from prelabel.review.review import Review

app = typer.Typer()
_HOST = "127.0.0.1"
Port = Annotated[
    int, typer.Option(min=0, max=65535, help="The port of the page; 0 for any free one.")
]


@app.command(epilog=example("prelabel review out"))
def review(
    result: Annotated[
        Path,
        typer.Argument(
            metavar="RESULT", help="The folder that prelabel run wrote.", show_default=False
        ),
    ],
    *,
    port: Port = 8075,
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
        from prelabel.review.outputs import write_outputs
        from prelabel.review.result_folder import ResultFolder, review_of_run

        source = ResultFolder(result, photos=photos, progress=console.progress())
        place = listen(port)
    with place, review_of_run(source) as found:
        for line in source.problems.lines():
            console.say(line)
        show(found, place)
        files = write_outputs(result, photos=photos, progress=console.progress())
    if files:
        print(table([(name, one_line(file)) for name, file in files.items()]))


def listen(port: int) -> socket:
    """The page's socket, which nobody else can take any more. Raises UserError."""
    from prelabel.label_studio.server.connections import bind

    return bind(_HOST, port)


def show(review: Review, place: socket) -> None:
    """Serve a review on loopback until Ctrl-C; then all edits count."""
    from prelabel.label_studio.server.connections import http_server
    from prelabel.review.app import create_app

    for line in review.board.problems:
        console.say(line)
    address, port = place.getsockname()[:2]
    server = http_server(create_app(lambda: review), host=address, port=port)
    console.say(
        f"http://{address}:{port} is the page of {len(review.index)} regions; Ctrl-C ends it, and "
        "every edit is kept"
    )
    review.start()
    try:
        with suppress(KeyboardInterrupt):
            server.run([place])
    finally:
        review.stop()
    if (ended := review.applying).state == "failed":
        console.say(f"the last edits are kept, but do not count yet: {ended.message}")
