"""The command line. A user's mistake prints one line that says how to correct it, no traceback.

Exit codes: 0 done; 1 photos were skipped and ``--strict`` was given; 2 wrong use, a full disk, or a
plugin that breaks its contract; 130 interrupted. A bug prints its traceback.
"""

from __future__ import annotations

import errno
import faulthandler
import logging
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from prelabel.cli import (
    compare,
    console,
    evaluate,
    export,
    find,
    label_studio,
    order,
    plugins,
    predict,
    review,
    run,
    serve,
    tune,
)
from prelabel.cli.options import example
from prelabel.errors import PluginError, UserError
from prelabel.storage.remote import local_path
from prelabel.storage.text import one_line

_UsageError: Any = (
    typer.BadParameter.__base__
)  # of click, which typer has as a copy or a dependency
_WIDEST = 1000
"""Characters in a line of help, which is as wide as the terminal; click's own limit is 80."""
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_FILE_PROBLEMS = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENAMETOOLONG),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT, errno.ELOOP, errno.EMFILE),
)


def main() -> None:
    """Entry point of ``prelabel``."""
    faulthandler.enable()  # a library that crashes, as of a plugin, is named
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # any name can be printed in any terminal
            stream.reconfigure(errors="backslashreplace")
    app()


class _Group(TyperGroup):
    """Prints what a user can correct as one line on standard error."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Like click's, with usage errors on one line."""
        options["standalone_mode"] = False
        try:
            code = super().main(args, *rest, **options)
        except _UsageError as error:
            sys.exit(_usage(error))
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            console.say(str(error))
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            _interrupted()
            raise typer.Exit(130) from error
        except Exception as error:
            if not (line := _file_problem(error) or _plugin_problem(error)):
                raise
            console.say(line)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=_Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": _WIDEST},
    epilog=example("prelabel run photos --out out"),
)
for commands in (
    run.app,
    predict.app,
    compare.app,
    tune.app,
    order.app,
    find.app,
    evaluate.app,
    export.app,
    review.app,
    serve.app,
    plugins.app,
    label_studio.app,
):
    app.add_typer(commands)


def _local_only(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command, which refuses addresses where it takes paths: it would make folders of them."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        for value in options.values():
            for path in value if isinstance(value, list) else [value]:
                if isinstance(path, Path):
                    local_path(path, what="this command")
        return command(*args, **options)

    return run


def _guard(group: typer.Typer) -> None:
    """Have all commands of a group refuse addresses in place of paths."""
    for command in group.registered_commands:
        if command.callback:
            command.callback = _local_only(command.callback)
    for inner in group.registered_groups:
        if inner.typer_instance:
            _guard(inner.typer_instance)


_guard(app)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"prelabel {version('prelabel')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def prelabel(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Pseudo-masks, grouped into classes, for a whole image dataset before anyone labels it."""
    logging.basicConfig(format="prelabel: %(message)s", level=logging.WARNING)
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def _usage(error: Any) -> int:
    message = one_line(" ".join(error.format_message().split()))
    context = getattr(error, "ctx", None)
    if context is None:
        console.say(message)
    elif type(error).__name__ == "NoArgsIsHelpError":
        print(context.get_help())
    else:
        path = context.command_path
        print(f"{path}: {message} See {path} --help", file=sys.stderr)
    return 2


def _file_problem(error: Exception) -> str:
    """One line about a full disk or a file that cannot be used; "" for anything else."""
    if "os error 28" in str(error):  # safetensors' words for a full disk
        error = OSError(errno.ENOSPC, "no space")
    if not isinstance(error, OSError):
        return ""
    if error.errno in _DISK_FULL:
        return (
            f"the disk is full: {error.filename or _fullest()} cannot be written; finished work is "
            "kept: free some space and run the same command again"
        )
    if error.errno in _FILE_PROBLEMS and error.filename is not None:
        reason = (error.strerror or "").lower()
        return f"{error.filename} cannot be used ({reason}): correct that and run the command again"
    return ""


def _plugin_problem(error: Exception) -> str:
    """One line about an error in a plugin's code; "" for anything else."""
    from prelabel.strategies.blame import failed_plugin

    found = str(error) if isinstance(error, PluginError) else failed_plugin(error)
    return f"{found}: correct or replace it; finished work is kept" if found else ""


def _interrupted() -> None:
    """Say so. A plugin that does not come back is named, and left behind: the process ends at once."""
    from prelabel.strategies.blame import running_plugin

    found = running_plugin()
    within = f" in {found}" if found else ""
    console.say(f"interrupted{within}; the same command continues from here")
    if found:
        sys.stdout.flush()
        os._exit(130)


def _fullest() -> str:
    """The folder with the least space, of those that are written to."""
    from prelabel.storage.files import cache_folder

    places = [place for place in (cache_folder(), Path.cwd()) if place.exists()]
    return str(min(places, key=lambda place: shutil.disk_usage(place).free))
