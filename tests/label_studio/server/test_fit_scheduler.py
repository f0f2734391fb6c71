"""When a project is fitted. No process: fits are requested, and end when a test says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from prelabel.label_studio.fit import FitRequest
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.server import fit_scheduler
from prelabel.label_studio.server.fit_scheduler import FitScheduler
from prelabel.label_studio.server.fits import CANCELLED, Fit
from prelabel.label_studio.server.metrics import Metrics
from prelabel.label_studio.server.problems import ProblemLog
from prelabel.label_studio.server.projects import Project, Projects
from prelabel.label_studio.server.requests import TaskRequest
from prelabel.label_studio.server.settings import Settings
from prelabel.label_studio.server.supervisor import Supervisor
from support.fake_label_studio import BRUSH, TOKEN, FakeLabelStudio, Task
from support.small_photos import tiny_config

LABEL_CONFIG = parse_label_config(BRUSH)


class FakeFits:
    """In place of the processes. ``requests``: all that were made."""

    def __init__(self, on_end: Callable[[Fit], None]) -> None:
        self.on_end = on_end
        self.requests: list[FitRequest] = []
        self.running: dict[Path, Fit] = {}

    def request(self, request: FitRequest) -> Fit:
        self.requests.append(request)
        return self.running.setdefault(request.folder, Fit(request))

    def revive(self) -> bool:
        return False

    def of(self, folder: Path) -> Fit | None:
        return self.running.get(folder)

    def cancel(self, folder: Path) -> bool:
        return self.running.pop(folder, None) is not None

    def end(self, project: Project, problem: str = "") -> None:
        fit = self.running.pop(project.folder.path)
        fit.problem = problem
        fit.ended.set()
        self.on_end(fit)


class Harness:
    """A scheduler with fake fits, and a project with ``n_photos`` that has been set up."""

    def __init__(self, server: FakeLabelStudio, *, fit_after: int, n_photos: int) -> None:
        settings = Settings(tiny_config(), fit_after=fit_after)
        projects = Projects("", "")
        self.server = server
        self.problems = ProblemLog()
        self.supervisor = Supervisor(self.problems.add)
        self.scheduler = FitScheduler(settings, projects, self.problems, Metrics(), self.supervisor)
        fits = self.scheduler._fits
        assert isinstance(fits, FakeFits)
        self.fits = fits
        name, self.tasks = server.project(n_photos)
        self.project = projects.connect(name, server.url, TOKEN)
        self.project.folder.update(server=server.url, project=name, label_config=BRUSH)
        self.project.state = self.project.folder.go_live(settings.config)

    def fitted(self, n_tasks: int) -> None:
        """As after a fit on so many tasks."""
        state = self.project.folder.update(newest="0123456789ab", n_tasks=n_tasks)
        self.project.state = state

    def fit_if_needed(self) -> list[FitRequest]:
        """The fits that a count of the project's tasks requests."""
        self.fits.requests.clear()
        self.fits.running.clear()
        self.project.counted_at = 0.0
        self.scheduler.fit_if_needed(self.project)
        for thread in threading.enumerate():
            if thread.name == "fit check":
                thread.join()
        return list(self.fits.requests)

    def add_tasks(self, n: int) -> list[Task]:
        return [self.server.task(self.project.id) for _ in range(n)]

    def first_fit(self, tasks: list[Task], *, seconds: float = 0.0) -> bool:
        until = time.monotonic() + seconds
        asked = [TaskRequest.of(task) for task in tasks]
        return self.scheduler.first_fit(self.project, asked, LABEL_CONFIG, until=until)


@pytest.fixture
def make(
    own_folders: Path, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Harness]:
    monkeypatch.setattr(fit_scheduler, "Fits", FakeFits)

    def make(*, fit_after: int = 500, n_photos: int = 4) -> Harness:
        return Harness(server, fit_after=fit_after, n_photos=n_photos)

    return make


def test_request__holds_what_a_fit_needs(make: Callable[..., Harness]) -> None:
    harness = make()
    harness.scheduler.request(harness.project, most=7)
    (request,) = harness.fits.requests
    assert request.folder == harness.project.folder.path
    assert (request.server, request.token) == (harness.server.url, TOKEN)
    assert request.label_config == LABEL_CONFIG
    assert (request.tasks, request.most) == (None, 7)
    assert harness.project.folder.state.fit_requested
    assert TOKEN not in repr(request)


# --- the first fit ---


def test_first_fit__a_model_that_was_fitted_a_moment_ago_is_used_at_once(
    make: Callable[..., Harness],
) -> None:
    """By a fit that began when the backend was connected; nobody has made the model live yet."""
    harness = make(n_photos=20)
    assert harness.project.state.version.startswith("image-level-")
    harness.project.folder.update(newest="0123456789ab", n_tasks=20)
    assert harness.first_fit(harness.tasks)
    assert harness.fits.requests == []
    assert harness.project.state.model == "0123456789ab"
    assert not harness.project.state.version.startswith("image-level-")


def test_first_fit__few_tasks_are_predicted_now_and_the_project_is_fitted(
    make: Callable[..., Harness],
) -> None:
    harness = make()
    assert harness.first_fit(harness.tasks)
    (request,) = harness.fits.requests
    assert (request.tasks, request.most) == (None, 100)


def test_first_fit__of_enough_tasks_is_waited_for(make: Callable[..., Harness]) -> None:
    harness = make(n_photos=20)
    assert not harness.first_fit(harness.tasks)  # there was no time
    (request,) = harness.fits.requests
    assert request.tasks is not None
    assert [task["id"] for task in request.tasks] == [task["id"] for task in harness.tasks]
    harness.fits.end(harness.project)
    in_time = threading.Timer(0.05, lambda: harness.fits.end(harness.project))
    in_time.start()
    assert harness.first_fit(harness.tasks, seconds=60)
    in_time.join()


def test_first_fit__is_not_tried_without_a_token_or_with_a_newer_model(
    make: Callable[..., Harness],
) -> None:
    harness = make()
    harness.project.token = ""
    assert harness.first_fit(harness.tasks)
    harness.project.token = TOKEN
    harness.project.folder.update(newest="0123456789ab")  # goes live with the next /setup
    assert harness.first_fit(harness.tasks)
    assert harness.fits.requests == []


# --- a project that grows ---


def test_fit_if_needed__a_project_that_was_not_fitted_needs_twenty(
    make: Callable[..., Harness],
) -> None:
    harness = make(n_photos=19)
    assert harness.fit_if_needed() == []
    harness.add_tasks(1)
    (request,) = harness.fit_if_needed()
    assert request.most == 100


@pytest.mark.parametrize(
    ("fit_after", "n_fitted", "enough"),
    [(500, 4, 20), (500, 60, 60), (30, 60, 30)],
)
def test_fit_if_needed__a_fitted_project_is_fitted_anew_when_it_has_grown(
    fit_after: int, n_fitted: int, enough: int, make: Callable[..., Harness]
) -> None:
    harness = make(fit_after=fit_after, n_photos=n_fitted)
    harness.fitted(n_fitted)
    harness.add_tasks(enough - 1)
    assert harness.fit_if_needed() == []
    harness.add_tasks(1)
    (request,) = harness.fit_if_needed()
    assert request.most == 0


def test_fit_if_needed__with_zero_a_fitted_project_stays_as_it_is(
    make: Callable[..., Harness],
) -> None:
    harness = make(fit_after=0)
    harness.fitted(4)
    harness.add_tasks(60)
    assert harness.fit_if_needed() == []


def test_fit_if_needed__a_fit_that_was_cut_off_is_requested_again(
    make: Callable[..., Harness],
) -> None:
    harness = make()
    harness.project.state = harness.project.folder.update(fit_requested=True)
    assert len(harness.fit_if_needed()) == 1


def test_fit_if_needed__not_without_a_token_and_not_too_often(make: Callable[..., Harness]) -> None:
    harness = make(n_photos=20)
    harness.project.token = ""
    assert harness.fit_if_needed() == []
    harness.project.token = TOKEN
    assert len(harness.fit_if_needed()) == 1
    harness.scheduler.fit_if_needed(harness.project)  # a minute has not passed
    assert not [thread for thread in threading.enumerate() if thread.name == "fit check"]


def test_fit_if_needed__a_server_that_refuses_is_reported(make: Callable[..., Harness]) -> None:
    harness = make()
    harness.project.token = "f" * 40
    assert harness.fit_if_needed() == []
    assert "refuses the token" in harness.problems.last()[-1].text


# --- its end ---


def test_resume__only_what_was_cut_off_and_can_be_fetched(make: Callable[..., Harness]) -> None:
    harness = make()
    harness.scheduler.resume(harness.project)
    harness.project.state = harness.project.folder.update(fit_requested=True)
    harness.project.token = ""
    harness.scheduler.resume(harness.project)
    assert harness.fits.requests == []
    harness.project.token = TOKEN
    harness.scheduler.resume(harness.project)
    assert len(harness.fits.requests) == 1


def test_resume__a_label_config_that_cannot_be_used_is_reported(
    make: Callable[..., Harness],
) -> None:
    harness = make()
    harness.project.state = harness.project.folder.update(
        fit_requested=True, label_config="<View/>"
    )
    harness.scheduler.resume(harness.project)
    assert harness.fits.requests == []
    assert "label config" in harness.problems.last()[0].text
    assert len(harness.project.problems) == 1


def test_end__the_newest_model_is_known_and_a_problem_reported(
    make: Callable[..., Harness],
) -> None:
    harness = make()
    harness.scheduler.request(harness.project)
    harness.project.folder.update(newest="abcdefabcdef", n_tasks=4)
    harness.fits.end(harness.project)
    assert (harness.project.state.newest, harness.project.state.n_tasks) == ("abcdefabcdef", 4)
    assert not harness.project.folder.state.fit_requested
    assert harness.problems.last() == []
    harness.scheduler.request(harness.project)
    harness.fits.end(harness.project, "the disk is full")
    assert "the disk is full" in harness.project.problems[0]


def test_cancel__is_not_a_problem(make: Callable[..., Harness]) -> None:
    harness = make()
    harness.scheduler.request(harness.project)
    assert harness.scheduler.of(harness.project)
    fit = harness.fits.running[harness.project.folder.path]
    assert harness.scheduler.cancel(harness.project)
    fit.problem = CANCELLED
    harness.fits.on_end(fit)
    assert not harness.scheduler.cancel(harness.project)
    assert not harness.project.folder.state.fit_requested
    assert harness.problems.last() == []
