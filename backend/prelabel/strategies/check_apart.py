"""A contract check in a process of its own, which a strategy may crash or keep busy for ever."""

from __future__ import annotations

import faulthandler
import json
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from prelabel.strategies import registry
from prelabel.strategies.contracts import check

_TIMEOUT = re.compile(r"^Timeout \(", re.MULTILINE)
_PLACE = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)


def check_apart(
    section: str, name: str, settings: Mapping[str, object], *, timeout: float
) -> list[str]:
    """Like ``contracts.check``; that the process ended or took longer than ``timeout`` seconds is a
    broken promise too."""
    with tempfile.TemporaryDirectory(prefix="prelabel-") as folder:
        file = Path(folder) / "broken.json"
        command = [sys.executable, "-m", __name__, section, name, json.dumps(settings, default=str)]
        command += [str(timeout), str(file)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if file.exists():
            broken: list[str] = json.loads(file.read_text())
            return broken
    point = registry.entry_point(section, name)
    where = _place(done.stderr, point.module.partition(".")[0] if point else "")
    if _TIMEOUT.search(done.stderr):
        return [f"did not end within {timeout:g} s{where}"]
    return [f"ended the process ({_ending(done.returncode)}){where}"]


def _place(said: str, package: str) -> str:
    """Where the process was, as faulthandler says it: of several threads, in that which crashed, or
    else in the main one, which is the last; of its calls, the innermost in the plugin's package."""
    current = said.partition("Current thread")[2]
    calls = _PLACE.findall(current or said.rpartition("Thread ")[2])
    own = [call for call in calls if package in Path(call[0]).parts]
    for file, line, function in (*own, *calls)[:1]:
        return f" in {function} ({file}, line {line})"
    return ""


def _ending(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"


def _main(section: str, name: str, settings: str, timeout: str, file: str) -> None:
    faulthandler.enable()
    # From a thread of its own: it ends the process whatever the strategy does.
    faulthandler.dump_traceback_later(float(timeout), exit=True)
    broken = check(section, name, json.loads(settings))
    faulthandler.cancel_dump_traceback_later()
    Path(file).write_text(json.dumps(broken))


if __name__ == "__main__":
    _main(*sys.argv[1:])
