"""Which strategy of another distribution was at work when something went wrong."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable
from types import FrameType

from prelabel.storage.text import error_line
from prelabel.strategies import registry

_OURS = ("prelabel", "prelabel_plugins", "prelabel_exporters")


def failed_plugin(error: BaseException) -> str:
    """The plugin whose code raised the error, with the place and the error; "" if it was none's."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    lines = [line for _, line in traceback.walk_tb(error.__traceback__)]
    found = _plugin(zip(reversed(frames), reversed(lines), strict=True))
    return f"{found} failed ({error_line(error)})" if found else ""


def running_plugin() -> str:
    """A plugin that some thread of this process is in, with the place; "" if there is none."""
    for frame in sys._current_frames().values():
        if found := _plugin((one, line) for one, line in traceback.walk_stack(frame)):
            return found
    return ""


def _plugin(frames: Iterable[tuple[FrameType, int]]) -> str:
    """The plugin of the innermost frame that is a plugin's or ours; "" if it is ours. ``frames``:
    innermost first, with lines."""
    known = _packages()
    for frame, line in frames:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in _OURS:
            return ""
        if package in known:
            return f"{known[package]} ({frame.f_code.co_filename}, line {line})"
    return ""


def _packages() -> dict[str, str]:
    """Strategies of other distributions by the top-level package of their code."""
    found: dict[str, list[str]] = {}
    for section in registry.KINDS:
        for name in registry.names(section):
            point = registry.entry_point(section, name)
            package = point.module.partition(".")[0] if point else ""
            if package and package not in _OURS:
                origin = registry.origin(section, name)
                found.setdefault(package, []).append(f"{section} {name!r} of {origin}")
    return {
        package: own[0] if len(own) == 1 else own[0].partition(" of ")[2]
        for package, own in found.items()
    }
