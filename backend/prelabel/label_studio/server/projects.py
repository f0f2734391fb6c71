"""The projects that a backend knows, by what Label Studio calls them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from prelabel.errors import UserError
from prelabel.label_studio.project_folder import ProjectFolder, ProjectState

_PROBLEMS = 20


@dataclass
class Project:
    """A project that was set up. ``token``: "" until one is known; never written down. ``warm``:
    the model that the worker was told to load, None for none yet. ``looked_at``: when its tasks
    were last counted, by the monotonic clock."""

    id: int
    home: ProjectFolder
    server: str
    token: str
    state: ProjectState
    looked_at: float = 0.0
    warm: str | None = None
    problems: deque[str] = field(default_factory=lambda: deque(maxlen=_PROBLEMS))


class Projects:
    """``url``, ``token``: the one Label Studio that the backend works with, in place of what /setup
    says; the token goes nowhere else. Several threads may use it at once."""

    def __init__(self, url: str, token: str) -> None:
        """Raises UserError for an address that is none."""
        self._url = address(url) if url else ""
        self._token = token
        self._lock = threading.Lock()
        self._known: dict[str, Project] = {}

    def remember(self, told: Callable[[str], None]) -> list[Project]:
        """The projects of earlier starts: they can be pointed at before the next /setup. ``told``:
        called with what is damaged."""
        for home in ProjectFolder.known():
            try:
                state = home.state
                if state.project:  # others were used by the commands alone
                    self.connected(state.project, state.server, "", home)
            except UserError as error:
                told(str(error))
        return self.all()

    def connected(
        self, project: str, server: str, token: str, home: ProjectFolder | None = None
    ) -> Project:
        """The project ``id.timestamp`` of a server, known from now on. Raises UserError."""
        number = _number(project)
        server = address(server if home else self._url or server)
        home = home or ProjectFolder.of(server, number)
        if self._token and server == self._url:
            token = self._token
        with self._lock:
            known = self._known.get(project)
            if known is None or known.home.path != home.path:
                known = Project(number, home, server, token, home.state)
                self._known[project] = known
            known.token = token or known.token
            return known

    def find(self, project: str) -> Project | None:
        """The project of ``id.timestamp``, or of ``id`` where that is all that is known. One that
        was never set up is taken from the server that the settings name. Raises UserError."""
        with self._lock:
            known = self._known.get(project)
            if known is None and "." not in project:
                alike = [p for p in self._known.values() if project in ("", str(p.id))]
                known = alike[0] if len(alike) == 1 else None
        if known is None and project and self._url:
            return self.connected(project, self._url, "")
        return known

    def meant(self, facts: Mapping[str, Any]) -> Project | None:
        """The project of a webhook: by number, and by the time of its making where it says so."""
        found = [p for p in self.all() if p.id == facts.get("id")]
        with suppress(KeyError, ValueError, TypeError):
            made = int(datetime.fromisoformat(facts["created_at"]).timestamp())
            found = [p for p in found if p.state.project.endswith(f".{made}")] or found
        return found[0] if found else None

    def of(self, home: ProjectFolder) -> Project | None:
        """The project whose folder this is."""
        return next((p for p in self.all() if p.home.path == home.path), None)

    def all(self) -> list[Project]:
        """All of them."""
        with self._lock:
            return list(self._known.values())


def address(server: str) -> str:
    """Without a slash at the end. Raises UserError: it is written down and shown."""
    try:
        place = urlsplit(server)
    except ValueError:
        place = urlsplit("")
    if place.scheme not in ("http", "https") or not place.hostname or "@" in place.netloc:
        raise UserError(
            "hostname is not valid: http://HOST:PORT or https://HOST wanted, without a user or "
            "password, as Label Studio sends it"
        )
    return server.rstrip("/")


def _number(project: str) -> int:
    """The project's number in ``id.timestamp``. Raises UserError."""
    text = str(project).partition(".")[0]
    if not text.isdecimal():
        raise UserError(f"project is {project!r}: id.timestamp wanted, as Label Studio sends it")
    return int(text)
