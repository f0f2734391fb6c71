"""prelabel label-studio …: the commands that work on a Label Studio project, a file each."""

from __future__ import annotations

import typer

from prelabel.cli.label_studio import create, demo, find, fit, names, predict, review
from prelabel.cli.options import example

app = typer.Typer()
_commands = typer.Typer(epilog=example("prelabel label-studio predict --project 1"))
for command in (
    create.app,
    predict.app,
    find.app,
    review.app,
    fit.app,
    names.app,
    demo.app,
):
    _commands.add_typer(command)
app.add_typer(_commands, name="label-studio", help="Work on Label Studio projects.")
