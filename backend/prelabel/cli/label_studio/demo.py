"""prelabel label-studio demo: Label Studio and the backend with sample photos."""

from __future__ import annotations

import contextlib
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from prelabel import extras
from prelabel.cli import console, options
from prelabel.cli.label_studio.predict import totals_rows
from prelabel.cli.options import example
from prelabel.storage.text import one_line, table

app = typer.Typer()


@app.command(
    epilog=example("prelabel label-studio demo --command label-studio-venv/bin/label-studio")
)
def demo(
    *,
    command: Annotated[
        Path,
        typer.Option(
            metavar="PROGRAM",
            help="The label-studio program, installed in its own environment.",
            show_default=False,
        ),
    ],
    folder: Annotated[
        Path, typer.Option(metavar="DIR", help="Where its data is kept between starts.")
    ] = Path("demo"),
    backbone: options.Backbone = "",
    once: Annotated[
        bool, typer.Option("--once", help="Stop after the predictions; for tests.")
    ] = False,
) -> None:
    """Start Label Studio and the backend, with sample photos that have predictions.

    Both run on this machine alone; Ctrl-C stops them.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have had it ignored
        signal.signal(number, signal.default_int_handler)
    progress = console.progress()
    with console.stage(progress, "start"), extras.required("serve"):
        config = options.chosen_config("default", backbone=backbone)
        from prelabel.label_studio.demo.session import running_demo
    with running_demo(command, folder, config, backbone=backbone, progress=progress) as running:
        login, backend = running.login, running.backend
        rows = [
            *totals_rows(running.totals, dry_run=False),
            *((f"as {name}", one_line(path)) for name, path in running.exports.items()),
            ("open", running.page),
            ("log in as", f"{login.email}, password {login.password}"),
            ("backend", f"{backend.url} (user {backend.user}, password {backend.password})"),
            ("begin here", f"{running.review} (the backend's user and password)"),
        ]
        print(table(rows), flush=True)
        if not once:
            console.say("Ctrl-C stops Label Studio and the backend; your labels are kept")
            with contextlib.suppress(KeyboardInterrupt):
                wait_for_ever()


def wait_for_ever() -> None:
    """Wait for a signal, which raises KeyboardInterrupt."""
    threading.Event().wait()
