"""Problems, for the log and the status page."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass

from prelabel.label_studio.server.projects import Project

_KEPT = 20
_AGAIN = 60.0
"""Seconds in which a refusal is not reported again: strangers may ask as often as they like."""

_LONGEST = 1000
"""Characters of a problem."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """``at``: date and time. ``refused``: a request that was not answered for that reason."""

    at: str
    text: str
    refused: bool = False


class ProblemLog:
    """The last problems. Several threads may add to it at once."""

    def __init__(self) -> None:
        self._last: deque[Problem] = deque(maxlen=_KEPT)
        self._refused: dict[str, float] = {}

    def add(self, text: str, project: Project | None = None, *, refused: bool = False) -> None:
        """Log a problem, and keep it for the page; in the row of its project too. It is one line, the
        beginning of a long text: names and addresses in it are made up by others."""
        text = "".join(c if c.isprintable() else " " for c in text[:_LONGEST])
        log.warning("%s", text)
        self._last.append(Problem(time.strftime("%Y-%m-%d %H:%M:%S"), text, refused))
        if project is not None:
            project.problems.append(text)

    def refused(self, text: str) -> None:
        """Add a refused request, once a minute. Some kinds in a minute are enough: strangers make up
        texts."""
        text = text[:_LONGEST]
        now = time.monotonic()
        self._refused = {t: at for t, at in self._refused.items() if now - at < _AGAIN}
        if text not in self._refused and len(self._refused) < _KEPT:
            self._refused[text] = now
            self.add(text, refused=True)

    def last(self) -> list[Problem]:
        """The newest problems, oldest first."""
        return list(self._last)
