"""What the status page shows: projects, fits, the queue and problems, without secrets."""

from __future__ import annotations

from typing import TypedDict

from prelabel.label_studio.server.fits import Fit
from prelabel.label_studio.server.problems import Problem
from prelabel.label_studio.server.projects import Project


class FitProgress(TypedDict):
    """How far a fit is: ``done`` of ``total`` steps of a stage; 0 of 0 where there are none."""

    stage: str
    done: int
    total: int


class ProjectStatus(TypedDict):
    """A project's row on the status page. ``token``: whether one is known."""

    id: int
    project: str
    server: str
    version: str
    fitted: bool
    tasks_fitted: int
    names_revision: int
    waits_for_setup: bool
    token: bool
    fit: FitProgress | None
    problems: list[str]


class Status(TypedDict):
    """What the status page shows. ``queue``: jobs by urgency."""

    projects: list[ProjectStatus]
    queue: dict[str, int]
    worker_restarts: int
    problems: list[Problem]


def fit_progress(fit: Fit) -> FitProgress:
    """How far a fit is."""
    return {"stage": fit.stage, "done": fit.done, "total": fit.total}


def project_status(project: Project, fit: Fit | None) -> ProjectStatus:
    """A project's row. ``fit``: the one that is under way or waiting."""
    state = project.state
    return {
        "id": project.id,
        "project": state.project,
        "server": project.server,
        "version": state.version,
        "fitted": bool(state.model),
        "tasks_fitted": state.n_tasks,
        "names_revision": state.revision,
        "waits_for_setup": bool(state.newest and state.newest != state.model),
        "token": bool(project.token),
        "fit": fit_progress(fit) if fit else None,
        "problems": list(project.problems),
    }
