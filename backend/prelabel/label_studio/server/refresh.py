"""New names and models reach the predictions that annotators see, without anybody's request."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prelabel.config import Config
from prelabel.errors import UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.project_state import ProjectState
from prelabel.label_studio.server.problems import ProblemLog
from prelabel.label_studio.server.projects import Project, Projects
from prelabel.label_studio.server.queue import Queue
from prelabel.label_studio.server.refreshed_project import RefreshedProject, StoppedError

_EVERY = 1.0
"""Seconds between two looks for what is new."""
_AFTER = 5.0
"""Seconds after an answer of /predict, in which Label Studio has stored it."""
_PAUSE, _SHARE = 3.0, 2.0
"""Seconds between two refreshes of a project, and how many times what one has taken, at least."""
_AFTER_FAILURE = 60.0


@dataclass
class _Schedule:
    """When a project is looked at, by the monotonic clock. ``look_at``: at the server, even if
    nothing is new here; None if there is no need to. ``failed``: the last refresh has. ``answered``:
    tasks whose predictions Label Studio has requested since."""

    refreshed: RefreshedProject
    not_before: float = 0.0
    look_at: float | None = 0.0
    failed: bool = False
    answered: set[int] = field(default_factory=set)
    busy: threading.Event = field(default_factory=threading.Event)


class Refresher:
    """Watches the folders of the projects. When a name was learned or a model was fitted, whoever did
    that, it has the tasks predicted anew that have an earlier prediction of this tool, imports these
    together, switches the project to them, and later removes the earlier ones. Until then /setup
    says the version that was live before.

    Projects without a token are left out: for them, /setup makes live what is new.
    """

    def __init__(
        self,
        config: Config,
        projects: Projects,
        queue: Queue,
        problems: ProblemLog,
        *,
        add_labels: bool,
    ) -> None:
        self._config = config
        self._projects = projects
        self._queue = queue
        self._problems = problems
        self._add_labels = add_labels
        self._schedules: dict[Path, _Schedule] = {}
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End it. What is cut off is found and finished at the next start."""
        self._stopping.set()

    def handles(self, project: Project) -> bool:
        """Whether what is new goes live here; else it does with the next /setup."""
        schedule = self._schedules.get(project.folder.path)
        return bool(project.token) and not (schedule and schedule.failed)

    def look_soon(self, project: Project, tasks: Sequence[int]) -> None:
        """Look at the predictions of tasks once Label Studio has stored the answers: those that were
        requested twice at once have two, as have those that had an earlier one."""
        if tasks:
            schedule = self._schedule(project)
            schedule.answered.update(tasks)
            schedule.look_at = time.monotonic() + _AFTER

    def labelled(self, project: Project, label_config: LabelConfig) -> LabelConfig:
        """For a project whose first model has just gone live: the label config with labels of unnamed
        classes, if these may be added; they are on the server then."""
        if not (self._add_labels and project.state.model and self.handles(project)):
            return label_config
        try:
            with Client(project.server, project.token, attempts=2) as client:
                return self._schedule(project).refreshed.add_labels(client)
        except (UserError, StoppedError) as error:
            self._problems.add(f"project {project.id}: labels are not added: {error}", project)
            return label_config

    def progress(self, project: Project) -> tuple[int, int] | None:
        """How many tasks of how many are predicted for the next version; None if that is not under
        way."""
        schedule = self._schedules.get(project.folder.path)
        return schedule.refreshed.progress if schedule else None

    def is_behind(self, project: Project) -> bool:
        """Whether names or a model are newer than what the predictions were made with. Raises UserError
        if the last refresh has failed, or none is possible."""
        schedule = self._schedule(project)
        if not self.handles(project):
            raise UserError(
                "predictions cannot be brought up to date: the backend's page says why"
                if project.token
                else "predictions cannot be brought up to date without an access token: set "
                "LABEL_STUDIO_API_KEY for prelabel serve"
            )
        following = project.folder.next_live(self._config)
        waits = bool(following.gathering_since) or schedule.refreshed.is_new(following)
        return waits or schedule.busy.is_set()

    def run(self) -> None:
        """Watch the folders, until it is ended."""
        while not self._stopping.wait(_EVERY):
            for project in self._projects.all():
                schedule = self._schedule(project)
                known = project.token and project.state.label_config
                if known and not schedule.busy.is_set():
                    try:
                        self._start_if_due(project, schedule)
                    except (UserError, OSError) as error:
                        self._fail(project, schedule, error)

    def _start_if_due(self, project: Project, schedule: _Schedule) -> None:
        now = time.monotonic()
        if now < schedule.not_before:
            return
        live = project.folder.state
        if live.version and live.version != project.state.version:
            project.state = live  # a command has made it live
        following = project.folder.next_live(self._config)
        look = schedule.look_at is not None and now >= schedule.look_at
        if look or schedule.refreshed.is_new(following) or schedule.refreshed.due(now):
            schedule.busy.set()
            threading.Thread(
                target=self._refresh,
                args=(project, schedule, following),
                name=f"refresh {project.id}",
                daemon=True,
            ).start()

    def _refresh(self, project: Project, schedule: _Schedule, following: ProjectState) -> None:
        begun = time.monotonic()
        schedule.look_at = None
        answered, schedule.answered = schedule.answered, set()
        try:
            with Client(project.server, project.token, attempts=2) as client:
                schedule.refreshed.refresh(client, following, sorted(answered))
            schedule.failed = False
        except StoppedError:
            return
        except (UserError, OSError) as error:
            self._fail(project, schedule, error)
        except Exception as error:
            logging.getLogger(__name__).exception("project %s", project.id)
            self._fail(project, schedule, error)
        else:
            now = time.monotonic()
            schedule.not_before = now + max(_PAUSE, _SHARE * (now - begun))
        finally:
            schedule.busy.clear()

    def _fail(self, project: Project, schedule: _Schedule, error: Exception) -> None:
        schedule.failed = True
        schedule.look_at = schedule.not_before = time.monotonic() + _AFTER_FAILURE
        self._problems.add(
            f"project {project.id}: new names and models wait for the next request of Label Studio: "
            f"{error}",
            project,
        )

    def _schedule(self, project: Project) -> _Schedule:
        path = project.folder.path
        if path not in self._schedules:
            refreshed = RefreshedProject(
                project, self._queue, self._stopping, add_labels=self._add_labels
            )
            self._schedules[path] = _Schedule(refreshed)
        return self._schedules[path]
