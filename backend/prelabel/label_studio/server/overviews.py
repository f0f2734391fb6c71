"""How far each project is, as a team lead asks: looked up in the background while the page is open."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path

import msgspec

from prelabel.errors import UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.versions import count_versions
from prelabel.label_studio.model_version import is_own
from prelabel.label_studio.server.jobs import NOT_READY, NamesFacts, Urgency
from prelabel.label_studio.server.projects import Project
from prelabel.label_studio.server.queue import Queue
from prelabel.label_studio.server.supervisor import Supervisor

_AGAIN = 4.0
"""Seconds until a project is looked at again; the page is loaded anew every 5."""
_PATIENCE = 1.0
"""Seconds that the page waits for what is found, at most."""
_WAIT = 60.0
"""Seconds for the worker to say which classes have no name."""


@dataclass(frozen=True)
class Overview:
    """``title``: as Label Studio has it, "" while it is not known. ``photos``: tasks; ``predicted``: with
    a prediction of this tool; ``corrected``: with an annotation. ``classes``: of the model; ``unnamed``:
    those of them that may have regions without a name."""

    title: str = ""
    photos: int = 0
    predicted: int = 0
    corrected: int = 0
    classes: int = 0
    unnamed: tuple[str, ...] = ()

    @property
    def named(self) -> int:
        """Classes with a name."""
        return self.classes - len(self.unnamed)


class Overviews:
    """Several threads may use it at once."""

    def __init__(self, queue: Queue, supervisor: Supervisor) -> None:
        self._queue = queue
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._known: dict[Path, Overview] = {}
        self._looked_at: dict[Path, float] = {}

    def of(self, project: Project) -> Overview:
        """What is known of a project."""
        return self._known.get(project.folder.path, Overview())

    def look(self, projects: Sequence[Project]) -> None:
        """Look at projects in the background, unless that was done a moment ago; wait a little for what
        is found."""
        begun = [event for project in projects if (event := self._begin(project))]
        until = time.monotonic() + _PATIENCE
        for event in begun:
            event.wait(max(0.0, until - time.monotonic()))

    def _begin(self, project: Project) -> threading.Event | None:
        path, now = project.folder.path, time.monotonic()
        with self._lock:
            if not project.token or now < self._looked_at.get(path, now - _AGAIN) + _AGAIN:
                return None
            self._looked_at[path] = now
        done = threading.Event()

        def look() -> None:
            try:
                self._look(project)
            finally:
                done.set()

        self._supervisor.once("overview", look)
        return done

    def _look(self, project: Project) -> None:
        try:
            with Client(project.server, project.token, attempts=1) as client:
                facts = client.project(project.id)
                counts = count_versions(client, project.id).counts
        except UserError:
            return  # the page says so elsewhere, as soon as it matters
        predicted = sum(n for version, n in counts.items() if is_own(version))
        names = self._names(project)
        self._known[project.folder.path] = Overview(
            title=facts.title,
            photos=facts.task_number,
            predicted=min(predicted, facts.task_number),
            corrected=facts.num_tasks_with_annotations,
            classes=names.classes,
            unnamed=tuple(names.unnamed),
        )

    def _names(self, project: Project) -> NamesFacts:
        if not project.state.model:
            return NamesFacts()
        job = project.job(
            "names",
            project.state,
            project.label_config,
            context={"revision": project.state.revision},
        )
        entry = self._queue.put(job, Urgency.BACKGROUND)
        wait([entry.result], timeout=_WAIT)
        if entry.answer == NOT_READY:
            return NamesFacts()
        return msgspec.json.decode(entry.answer, type=NamesFacts)
