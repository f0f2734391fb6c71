"""What the status page shows: projects, fits, the queue and problems, without secrets."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from prelabel.errors import UserError
from prelabel.label_studio.learning_curve import LearningCurve, LearningPoint
from prelabel.label_studio.model_version import saved_facts
from prelabel.label_studio.names.exemplar_lines import read_revision
from prelabel.label_studio.server.fits import Fit
from prelabel.label_studio.server.overviews import Overview
from prelabel.label_studio.server.problems import Problem
from prelabel.label_studio.server.projects import Project
from prelabel.label_studio.server.refresh import Refresher


class FitProgress(TypedDict):
    """How far a fit is: ``done`` of ``total`` steps of a stage; 0 of 0 where there are none."""

    stage: str
    done: int
    total: int


class ProjectStatus(TypedDict):
    """A project on the status page. ``model``: which one, ``weights``: of its network, for people; ""
    without a model. ``names_wait``: names that are not live yet. ``refresh``: how far the predictions are that will go live;
    ``newer``: there is a newer model, which goes live by itself, or, if ``waits_for_setup``, with the
    next request of Label Studio. ``token``: whether one is known. ``partial``: whether annotated photos
    may show more than was drawn. ``learned``: what annotations have taught, "" if nothing; ``curve``: how
    far that has helped, for the revisions where it could be measured."""

    id: int
    project: str
    overview: Overview
    model: str
    weights: str
    names_wait: bool
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
    project: Project,
    fit: Fit | None,
    refresher: Refresher,
    overview: Overview,
    *,
    partial: bool = False,
) -> ProjectStatus:
    """A project. ``fit``: the one that is under way or waiting. ``partial``: for projects without a
    setting of their own."""
    state = project.state
    points = LearningCurve(project.folder.path).points()
    refresh = refresher.progress(project)
    return {
        "id": project.id,
        "project": state.project,
        "overview": overview,
        "model": _model(project) if state.model else "",
        "weights": _weights(project) if state.model else "",
        "names_wait": _names_wait(project),
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


def queue_words(sizes: Mapping[str, int], restarts: int) -> list[str]:
    """The queue in plain words. ``sizes``: as ``Queue.sizes``; ``restarts``: of the worker."""
    words = [text.format(n) for name, text in _WAITING.items() if (n := sizes.get(name, 0))]
    found = [f"Waiting: {', '.join(words)}."] if words else ["Nothing waits."]
    if sizes.get("at work"):
        found.append(f"At work on {sizes['at work']} now.")
    if restarts:
        times = "once" if restarts == 1 else f"{restarts} times"
        found.append(
            f"The worker's process has died {times} since the start, and was started again."
        )
    return found


_WAITING = {
    "interactive": "{} clicks or boxes",
    "opened": "{} photos that somebody has opened",
    "batch": "{} photos whose predictions were retrieved",
    "learn": "{} annotations to learn from",
    "background": "{} photos that nobody waits for",
    "fetching": "{} photos that are being fetched",
}


def _model(project: Project) -> str:
    """Which model and which names are live, and since when."""
    state, folder = project.state, project.folder
    fitted = f"fitted {_when(folder.model_folder(state.model))} on {state.n_tasks} photos"
    if not state.revision:
        return f"{fitted}; no names yet"
    times = "once" if state.revision == 1 else f"{state.revision} times"
    return f"{fitted}; names changed {times}, last {_when(folder.names_file(state.revision))}"


def _weights(project: Project) -> str:
    """The weights of the live model, and where it was fitted; "" for a damaged one."""
    try:
        facts = saved_facts(project.folder.model_folder(project.state.model))
    except UserError:
        return ""
    found = facts.backbone
    name = found.get("weights") or found.get("architecture") or facts.config.backbone.name
    known = (str(found[key]) for key in ("device", "precision") if key in found)
    return ", ".join((str(name), *known))


def _names_wait(project: Project) -> bool:
    try:
        return read_revision(project.folder.names) > project.state.revision
    except UserError:
        return False


def _when(file: Path) -> str:
    """When a file was written, in local time; "" if it is gone."""
    try:
        return time.strftime("%d %b %Y, %H:%M", time.localtime(file.stat().st_mtime))
    except OSError:
        return ""
