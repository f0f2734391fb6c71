"""A contract check in a process of its own, which a strategy may crash or keep busy for ever."""

from __future__ import annotations

import faulthandler
import json
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from prelabel.strategies.contracts import check

_TIMEOUT = re.compile(r"^Timeout \(", re.MULTILINE)
_PLACE = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)


def check_apart(section: str, name: str, *, timeout: float) -> list[str]:
    """Like ``contracts.check``; that the process ended or took longer than ``timeout`` seconds is a
    broken promise too."""
    with tempfile.TemporaryDirectory(prefix="prelabel-") as folder:
        file = Path(folder) / "broken.json"
        command = [sys.executable, "-m", __name__, section, name, str(timeout), str(file)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if file.exists():
            broken: list[str] = json.loads(file.read_text())
            return broken
    where = _place(done.stderr)
    if _TIMEOUT.search(done.stderr):
        return [f"did not end within {timeout:g} s{where}"]
    return [f"ended the process ({_ending(done.returncode)}){where}"]


def _place(said: str) -> str:
    """Where the process was, as faulthandler says it: of several threads, in that which crashed, or
    else in the main one, which is the last."""
    current = said.partition("Current thread")[2]
    place = _PLACE.search(current or said.rpartition("Thread ")[2])
    return f" in {place[3]} ({place[1]}, line {place[2]})" if place else ""


def _ending(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"


def _main(section: str, name: str, timeout: str, file: str) -> None:
    faulthandler.enable()
    # From a thread of its own: it ends the process whatever the strategy does.
    faulthandler.dump_traceback_later(float(timeout), exit=True)
    broken = check(section, name)
    faulthandler.cancel_dump_traceback_later()
    Path(file).write_text(json.dumps(broken))


if __name__ == "__main__":
    _main(*sys.argv[1:])
