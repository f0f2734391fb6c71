"""What the status page shows: projects, fits, the queue and problems, without secrets."""

from __future__ import annotations

from typing import TypedDict

from prelabel.label_studio.learning_curve import LearningCurve, LearningPoint
from prelabel.label_studio.server.fits import Fit
from prelabel.label_studio.server.problems import Problem
from prelabel.label_studio.server.projects import Project
from prelabel.label_studio.server.refresh import Refresher


class FitProgress(TypedDict):
    """How far a fit is: ``done`` of ``total`` steps of a stage; 0 of 0 where there are none."""

    stage: str
    done: int
    total: int


class ProjectStatus(TypedDict):
    """A project's row on the status page. ``refresh``: how far the predictions are that will go live;
    ``newer``: there is a newer model, which goes live by itself, or, if ``waits_for_setup``, with the
    next request of Label Studio. ``token``: whether one is known. ``partial``: whether annotated photos
    may show more than was drawn. ``learned``: what annotations have taught, "" if nothing; ``curve``: how
    far that has helped, for the revisions where it could be measured."""

    id: int
    project: str
    server: str
    version: str
    fitted: bool
    tasks_fitted: int
    names_revision: int
    refresh: FitProgress | None
    newer: bool
    waits_for_setup: bool
    token: bool
    partial: bool
    learned: str
    curve: list[LearningPoint]
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


def project_status(
    project: Project, fit: Fit | None, refresher: Refresher, *, partial: bool = False
) -> ProjectStatus:
    """A project's row. ``fit``: the one that is under way or waiting. ``partial``: for projects without
    a setting of their own."""
    state = project.state
    points = LearningCurve(project.folder.path).points()
    refresh = refresher.progress(project)
    return {
        "id": project.id,
        "project": state.project,
        "server": project.server,
        "version": state.version,
        "fitted": bool(state.model),
        "tasks_fitted": state.n_tasks,
        "names_revision": state.revision,
        "refresh": None
        if refresh is None
        else {"stage": "predictions", "done": refresh[0], "total": refresh[1]},
        "newer": bool(state.newest and state.newest != state.model),
        "waits_for_setup": not refresher.handles(project),
        "token": bool(project.token),
        "partial": partial if state.partial is None else state.partial,
        "learned": points[-1].text() if points and points[-1].revision == state.revision else "",
        "curve": [point for point in points if point.after is not None],
        "fit": fit_progress(fit) if fit else None,
        "problems": list(project.problems),
    }
