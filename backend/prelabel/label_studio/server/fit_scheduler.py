"""When a project is fitted: once it is connected, on request, and when it has grown."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from msgspec import structs

from prelabel.errors import UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.tasks import task_id
from prelabel.label_studio.fit import FitRequest
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.server.fits import CANCELLED, Fit, Fits
from prelabel.label_studio.server.metrics import Metrics
from prelabel.label_studio.server.problems import ProblemLog
from prelabel.label_studio.server.projects import Project, Projects
from prelabel.label_studio.server.requests import TaskRequest
from prelabel.label_studio.server.settings import Settings
from prelabel.label_studio.server.supervisor import Supervisor
from prelabel.steps.photos import draw_sample
from prelabel.storage.json import JsonObject

_ENOUGH = 20
"""Photos from which a first fit is worth waiting for: as many as make one group of photos."""
_FIRST = 100
"""Photos in a first fit, at most: somebody waits, and there must be time left to predict."""
_COUNT_EVERY = 60.0
"""Seconds between two counts of a project's tasks."""


class FitScheduler:
    """Requests fits, one a project at a time. May be used by several threads at once; only
    ``first_fit`` waits."""

    def __init__(
        self,
        settings: Settings,
        projects: Projects,
        problems: ProblemLog,
        metrics: Metrics,
        supervisor: Supervisor,
    ) -> None:
        self._settings = settings
        self._projects = projects
        self._problems = problems
        self._metrics = metrics
        self._supervisor = supervisor
        self._fits = Fits(self._on_end)
        supervisor.look_after("fit", self._fits.revive)

    def stop(self) -> None:
        """End all fits. The next start of the backend goes on with them."""
        self._fits.stop()

    def request(
        self,
        project: Project,
        label_config: LabelConfig | None = None,
        tasks: Sequence[JsonObject] | None = None,
        *,
        most: int = 0,
    ) -> Fit:
        """Fit a project in the background, on ``tasks`` or all of its own, at most ``most`` of
        them; or the fit that is under way. ``label_config``: in place of that of /setup."""
        label_config = label_config or project.label_config
        state = project.folder.update(fit_requested=True)
        return self._fits.request(
            FitRequest(
                folder=project.folder.path,
                server=project.server,
                token=project.token,
                project_id=project.id,
                label_config=label_config,
                config=self._settings.config,
                sources=self._settings.sources,
                result_options=self._settings.result_options,
                fits=state.fits,
                partial=self._settings.partial,
                tasks=tuple({"id": task_id(t), "data": t.get("data")} for t in tasks)
                if tasks
                else None,
                most=most,
            )
        )

    def first_fit(
        self,
        project: Project,
        tasks: Sequence[TaskRequest],
        label_config: LabelConfig,
        *,
        until: float,
    ) -> bool:
        """For a project without a live model: fit it on the tasks that are to be predicted if they
        are enough, and wait for that, at most ``until`` a time of the monotonic clock; else fit it
        in the background. Whether to predict now: with the model, or without one.

        A project that has more photos than a first fit takes is fitted anew later, as one that has
        grown is.
        """
        try:
            if project.folder.state.newest:
                # A fit has just ended: else these tasks would have a prediction without a model, and
                # a moment later a second one.
                project.state = project.folder.go_live(self._settings.config)
                return True
            if not project.token:  # as the page says
                return True
            if len(tasks) < _ENOUGH:
                self.request(project, label_config, most=_FIRST)
                return True
            sample = draw_sample(tasks, most=_FIRST, seed=self._settings.config.fit.seed)
            fit = self.request(project, label_config, [t.to_json() for t in sample], most=_FIRST)
            if not fit.ended.wait(max(0.0, until - time.monotonic())):
                return False
            project.state = project.folder.go_live(self._settings.config)
        except OSError as error:  # a full disk: there are still masks without a model
            self._problems.add(f"project {project.id}: no fit: {error}", project)
        return True

    def resume(self, project: Project) -> None:
        """Go on with a fit that the end of the backend has cut off."""
        if project.state.fit_requested and project.token:
            try:
                self.request(project)
            except (UserError, OSError) as error:
                self._problems.add(f"project {project.id}: no fit: {error}", project)

    def fit_if_needed(self, project: Project) -> None:
        """In the background, and not too often: fit a project that was not fitted yet, whose fit
        was cut off, or that has grown."""
        if project.counted_at and time.monotonic() - project.counted_at <= _COUNT_EVERY:
            return
        project.counted_at = time.monotonic()

        def run() -> None:
            try:
                self._fit_if_grown(project)
            except (UserError, OSError) as error:
                self._problems.add(str(error))

        self._supervisor.once("fit check", run)

    def cancel(self, project: Project) -> bool:
        """End a project's fit; whether there was one."""
        project.folder.update(fit_requested=False)
        return self._fits.cancel(project.folder.path)

    def of(self, project: Project) -> Fit | None:
        """The project's fit that is under way or waiting."""
        return self._fits.of(project.folder.path)

    def _fit_if_grown(self, project: Project) -> None:
        if not project.token:
            return
        state = project.state
        with Client(project.server, project.token, attempts=2) as client:
            n_tasks = client.project(project.id).task_number
        new = n_tasks - state.n_tasks
        enough = min(self._settings.fit_after, max(_ENOUGH, state.n_tasks))
        first = not state.newest and n_tasks >= _ENOUGH
        grown = bool(state.newest and self._settings.fit_after and new >= enough)
        if state.fit_requested or first or grown:
            self.request(project, most=0 if state.newest else _FIRST)

    def _on_end(self, fit: Fit) -> None:
        project = self._projects.in_folder(fit.request.folder)
        self._metrics.fits.labels(outcome="failed" if fit.problem else "done").inc()
        if fit.problem and fit.problem != CANCELLED:
            text = f"project {fit.request.project_id}: fit: {fit.problem}"
            self._problems.add(text, project)
        # A full disk, a damaged file: it is requested again at the next start.
        with suppress(OSError, UserError):
            state = ProjectFolder(fit.request.folder).update(fit_requested=False)
            if project is not None:  # live with the next /setup
                project.state = structs.replace(
                    project.state, newest=state.newest, n_tasks=state.n_tasks
                )
