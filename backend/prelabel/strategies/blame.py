"""Which strategy of another distribution was at work when something went wrong, and what that costs."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TypeVar

from prelabel.errors import ContractError, PhotoError, PluginError, UserError
from prelabel.storage.progress import RunLog
from prelabel.storage.text import error_line
from prelabel.strategies import registry

T = TypeVar("T")
R = TypeVar("R")
_IN_A_ROW = 3


@contextmanager
def costs_the_photo() -> Iterator[None]:
    """Where strategies work on one photo: what a plugin raises, and what a strategy returns against
    its contract, becomes a PluginError. Errors that users can correct, and ours, stay as they are."""
    try:
        yield
    except ContractError as error:
        raise PluginError(str(error)) from error
    except (UserError, PhotoError):
        raise
    except (Exception, SystemExit) as error:
        if found := failed_plugin(error):
            raise PluginError(found) from error
        raise


def answer_each(
    work: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]
) -> list[R | PhotoError]:
    """The answer of ``work`` to each item, in order, or why there is none: where it fails at several
    together, it is given one by one. A PluginError is a strategy's; else the photo cannot be read
    again."""
    if len(items) > 1:
        with suppress(PhotoError):
            return list(work(items))
    answers: list[R | PhotoError] = []
    for item in items:
        try:
            answers += work([item])
        except PhotoError as error:
            answers.append(error)
    return answers


class PluginFailures:
    """Photos that cannot be used, each of which is named in the log and left out; where plugins fail at
    three in a row, the run stops."""

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self._in_a_row: list[str] = []

    def add(self, photo: str, error: PhotoError) -> None:
        """Name the photo in the log. Raises UserError if it is the third in a row at which a plugin
        failed."""
        self._log.skip(photo, str(error))
        if not isinstance(error, PluginError):
            return
        self._in_a_row.append(photo)
        if len(self._in_a_row) == _IN_A_ROW:
            photos = ", ".join(self._in_a_row)
            raise UserError(
                f"{error}; at {_IN_A_ROW} photos in a row: {photos}: correct or replace it; "
                "finished work is kept"
            ) from error

    def passed(self) -> None:
        """A photo was no problem."""
        self._in_a_row.clear()


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
        if package == registry.OWN or known.get(package) == "":
            return ""
        if package in known:
            return f"{known[package]} ({frame.f_code.co_filename}, line {line})"
    return ""


def _packages() -> dict[str, str]:
    """The distribution of each top-level package that has strategies; "" for ours."""
    found = {}
    for section in registry.KINDS:
        for name in registry.names(section):
            if (point := registry.entry_point(section, name)) and point.dist:
                own = point.dist.name == registry.OWN
                package = point.module.partition(".")[0]
                found[package] = "" if own else f"the plugin {registry.origin(section, name)}"
    return found
