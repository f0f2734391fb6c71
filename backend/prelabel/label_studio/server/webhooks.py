"""Webhooks: Label Studio is given a secret for each project, and sends it with every event."""

from __future__ import annotations

import hmac
import re
import secrets
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from prelabel.errors import UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.project_requests import Webhook
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.server.problems import ProblemLog
from prelabel.label_studio.server.projects import Project, Projects
from prelabel.label_studio.server.supervisor import Supervisor
from prelabel.storage.files import replacing
from prelabel.storage.locks import exclusive

HEADER = "X-Prelabel-Secret"
"""The header that carries the secret."""
_FILE = "webhook-secret"
_SECRET = re.compile(r"[\w-]{43}", re.ASCII)
_WAITS = (0.0, 1.0, 3.0, 10.0, 30.0)
"""Seconds before each attempt: Label Studio makes the webhook shortly after the first /setup."""
_AGAIN = 60.0
"""Seconds between two registrations of a project, at least."""
_BURST, _PER_SECOND = 2_000.0, 10.0
"""Tasks of a project that events may name at once, and how fast that many may be named again."""


class Webhooks:
    """Several threads may use it at once."""

    def __init__(self, projects: Projects, problems: ProblemLog, supervisor: Supervisor) -> None:
        self._projects = projects
        self._problems = problems
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._secrets: dict[Path, str] = {}
        self._registered: dict[tuple[Path, str], float] = {}
        self._allowed: dict[Path, tuple[float, float]] = {}

    def project_of(self, secret: str) -> Project | None:
        """The project that a secret belongs to; takes as long for a wrong one as for a right one."""
        given, found = secret.encode("utf-8", "replace"), None
        for project in self._projects.all():
            try:
                known = self._secret(project.folder)
            except (UserError, OSError) as error:
                self._problems.refused(f"project {project.id} has no secret for webhooks: {error}")
                continue
            if hmac.compare_digest(given, known.encode()):
                found = project
        return found

    def register(self, project: Project, host: str) -> None:
        """In the background, and not too often: have Label Studio send the project's secret.
        ``host``: the backend's name and port as Label Studio knows them, "" if that is not known."""
        key, now = (project.folder.path, host), time.monotonic()
        with self._lock:
            if not project.token or now < self._registered.get(key, -_AGAIN) + _AGAIN:
                return
            self._registered[key] = now
        self._supervisor.once("webhook", lambda: self._register(project, host))

    def allow(self, project: Project, n: int) -> int:
        """How many of ``n`` tasks that an event names may be looked at now."""
        now = time.monotonic()
        with self._lock:
            left, at = self._allowed.get(project.folder.path, (_BURST, now))
            left = min(_BURST, left + (now - at) * _PER_SECOND)
            granted = min(n, int(left))
            self._allowed[project.folder.path] = left - granted, now
        return granted

    def _secret(self, folder: ProjectFolder) -> str:
        with self._lock:
            if folder.path not in self._secrets:
                self._secrets[folder.path] = read_secret(folder)
            return self._secrets[folder.path]

    def _register(self, project: Project, host: str) -> None:
        problem = f"Label Studio has no webhook for {host or 'this backend'}"
        for seconds in _WAITS:
            if self._supervisor.wait(seconds):
                return
            try:
                if _send_secret(project, host, self._secret(project.folder)):
                    return
            except (UserError, OSError) as error:
                problem = str(error)
        self._problems.add(
            f"project {project.id}: {problem}; names are learned by the next fit only: connect the "
            "backend again in Settings, Model",
            project,
        )


def read_secret(folder: ProjectFolder) -> str:
    """The secret of a project's webhooks, made if there is none or another file in its place, as an
    empty one; only its owner can read the file. Raises UserError and OSError."""
    file = folder.path / _FILE
    with exclusive(folder.path / f"{_FILE}.lock", "the project's secret", timeout=10):
        found = file.read_bytes().decode("ascii", "replace").strip() if file.exists() else ""
        if not _SECRET.fullmatch(found):
            found = secrets.token_urlsafe(32)
            with replacing(file) as beside:
                beside.touch(mode=0o600)
                beside.write_text(found, encoding="ascii")
    return found


def _send_secret(project: Project, host: str, secret: str) -> bool:
    """Whether Label Studio has a webhook for this backend, which sends the secret from now on."""
    with Client(project.server, project.token, attempts=2) as client:
        webhook = _own(client.webhooks(project.id), host)
        if webhook and webhook.headers.get(HEADER) != secret:
            client.set_webhook_header(webhook, HEADER, secret)
        return webhook is not None


def _own(webhooks: Sequence[Webhook], host: str) -> Webhook | None:
    """The webhook for this backend: the one for its host, or the only one for any ML backend, as
    behind a proxy, where the host has another name."""
    found = [w for w in webhooks if urlsplit(w.url).path.endswith("/webhook")]
    own = [w for w in found if urlsplit(w.url).netloc == host] or found
    return own[0] if len(own) == 1 else None
