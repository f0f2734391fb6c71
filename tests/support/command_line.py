"""The command line in this process or in one of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner, Result

from prelabel.cli.main import app

LIGHT = ("--backbone", "color-texture", "--recipe", "fast", "--set", "features.size=112")
"""Options under which a photo takes milliseconds."""
COMMAND = (sys.executable, "-m", "prelabel")


def cli(*arguments: object, env: Mapping[str, str] | None = None) -> Result:
    """The command line in this process; an unexpected error is raised, not kept."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], prog_name="prelabel", env=env)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(*arguments: object, env: Mapping[str, str] | None = None) -> str:
    """The one line that it prints on standard error for a user's mistake."""
    result = cli(*arguments, env=env)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("prelabel")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def cli_apart(
    environment: Mapping[str, str], *arguments: str | Path
) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], env=dict(environment), capture_output=True, text=True
    )
