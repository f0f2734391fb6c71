"""The projects that a backend knows, by Label Studio's name for them (``id.timestamp``)."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from prelabel.errors import UserError
from prelabel.label_studio.api.address import server_place
from prelabel.label_studio.format.label_config import LabelConfig, parse_label_config
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.project_home import known_folders, open_folder, project_number
from prelabel.label_studio.project_state import ProjectState
from prelabel.label_studio.server.jobs import Job, JobKind
from prelabel.storage.json import JsonObject

_PROBLEMS = 20


@dataclass
class Project:
    """A project that was set up. Several threads set its fields, one at a time and without a lock.

    ``token``: "" until one is known; never written down. ``state``: the live one; the folder's may
    be ahead of it until the next /setup. ``loaded``: the model that the worker was asked to load,
    None for none yet. ``embedded``: the model for which names with vectors of other code were
    searched. ``counted_at``: when its tasks were last counted, by the monotonic clock.
    """

    id: int
    folder: ProjectFolder
    server: str
    token: str = field(repr=False)
    state: ProjectState
    counted_at: float = 0.0
    loaded: str | None = None
    embedded: str | None = None
    problems: deque[str] = field(default_factory=lambda: deque(maxlen=_PROBLEMS))
    _parsed: tuple[str, LabelConfig] | None = None

    @property
    def label_config(self) -> LabelConfig:
        """As /setup gave it last; parsed once. Raises UserError if none that can be used is known."""
        text = self.state.label_config
        if self._parsed is None or self._parsed[0] != text:
            self._parsed = text, parse_label_config(text)
        return self._parsed[1]

    def set_label_config(self, label_xml: str, label_config: LabelConfig) -> None:
        """Keep what a text was parsed to."""
        self._parsed = label_xml, label_config

    def job(
        self,
        kind: JobKind,
        state: ProjectState,
        label_config: LabelConfig,
        *,
        task_id: int = 0,
        data: bytes = b"",
        context: JsonObject | None = None,
    ) -> Job:
        """A job for a task of this project, with the model and names of ``state``."""
        return Job(
            kind=kind,
            server=self.server,
            token=self.token,
            folder=self.folder.path,
            model=state.model,
            revision=state.revision,
            version=state.version,
            label_config=label_config,
            task_id=task_id,
            data=data,
            context=context,
        )


class Projects:
    """``url``, ``token``: the one Label Studio that the backend works with, in place of what /setup
    says; the token goes nowhere else. Several threads may use it at once."""

    def __init__(self, url: str, token: str) -> None:
        """Raises UserError for an address that is not valid."""
        self._url = _checked(url) if url else ""
        self._token = token
        self._lock = threading.Lock()
        self._known: dict[str, Project] = {}

    def restore(self, on_problem: Callable[[str], None]) -> list[Project]:
        """The projects of earlier starts: prompts in them are answered before the next /setup.
        ``on_problem``: called with the text of what is damaged."""
        for folder in known_folders():
            try:
                state = folder.state
                if state.label_config:  # others were used by the commands alone
                    self.connect(state.project, state.server, "", folder)
            except UserError as error:
                on_problem(str(error))
        return self.all()

    def connect(
        self, name: str, server: str, token: str, folder: ProjectFolder | None = None
    ) -> Project:
        """The project ``id.timestamp`` of a server, known from now on. Raises UserError."""
        number = project_number(name)
        server = _checked(server if folder else self._url or server)
        folder = folder or open_folder(server, name)
        if self._token and server == self._url:
            token = self._token
        with self._lock:
            project = self._known.get(name)
            if project is None or project.folder.path != folder.path:
                project = Project(number, folder, server, token, folder.state)
                self._known[name] = project
            project.token = token or project.token
            return project

    def find(self, name: str) -> Project | None:
        """The project of ``id.timestamp``, or of ``id`` where that is all that is known. One that
        was never set up is taken from the server that the settings name. Raises UserError."""
        with self._lock:
            project = self._known.get(name)
            if project is None and "." not in name:
                alike = [p for p in self._known.values() if name in ("", str(p.id))]
                project = alike[0] if len(alike) == 1 else None
        if project is None and name and self._url:
            return self.connect(name, self._url, "")
        return project

    def of_webhook(self, facts: JsonObject) -> Project | None:
        """The project of a webhook: by number, and by the time of its creation where that is
        given."""
        found = [p for p in self.all() if p.id == facts.get("id")]
        with suppress(ValueError, OverflowError):
            created = int(datetime.fromisoformat(str(facts.get("created_at"))).timestamp())
            found = [p for p in found if p.state.project.endswith(f".{created}")] or found
        return found[0] if found else None

    def in_folder(self, path: Path) -> Project | None:
        """The project whose folder this is."""
        return next((p for p in self.all() if p.folder.path == path), None)

    def all(self) -> list[Project]:
        """All of them."""
        with self._lock:
            return list(self._known.values())


def _checked(server: str) -> str:
    """The address without a slash at the end. Raises UserError: it is written down and shown."""
    place = server_place(server)
    if place is None or "@" in place.netloc:
        raise UserError(
            "hostname is not valid: expected http://HOST:PORT or https://HOST, without a user or "
            "password, as Label Studio sends it"
        )
    return server.strip().rstrip("/")
