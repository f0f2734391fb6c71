"""Fits in processes of their own: when they begin, how they end."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import NoReturn

import pytest

from prelabel.label_studio.api.photos import Sources
from prelabel.label_studio.fit import FitRequest
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.model_version import image_level_version
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.project_home import open_folder
from prelabel.label_studio.server import fit_scheduler, fits
from prelabel.label_studio.server.service import Service
from prelabel.storage import shards
from support.backend import Project, kill, labels, newest_version, problems, started, versions
from support.fake_label_studio import BRUSH, TOKEN, FakeLabelStudio, wait_for
from support.small_photos import tiny_config

pytestmark = pytest.mark.slow
ENOUGH = 20
"""Photos of a first fit that is waited for."""


def test_first_fit__enough_tasks_are_fitted_within_the_request(
    service: Service, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.fits, "fit_if_needed", lambda project: None)  # no fit but the first
    project = Project(service, server, ENOUGH)
    before = project.setup()
    assert before == image_level_version(tiny_config())
    answers = project.predict()
    version = project.setup()
    assert versions(answers) == {version}
    assert version == newest_version(project.folder)
    assert version != before
    assert service.version(project.name) == version
    assert service.versions(project.name) == [version, before]
    assert service.statistics().count(b'prelabel_fits_total{outcome="done"}') == 1
    # The server keeps what it got: asking again gives the same.
    assert project.predict() == answers


def test_first_fit__takes_few_of_many_and_the_whole_comes_later(
    service: Service, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is begun: /setup comes before /predict, and somebody waits."""
    monkeypatch.setattr(fit_scheduler, "_FIRST", 5)
    monkeypatch.setattr(fit_scheduler, "_ENOUGH", 10)
    project = Project(service, server, 20)
    project.setup()
    first = versions(project.predict())
    assert first == {project.setup()}
    assert project.folder.state.n_tasks == 5
    project.event("TASKS_CREATED")
    project.setup()
    wait_for(lambda: project.folder.state.n_tasks == 20)
    project.idle()
    wait_for(lambda: {project.setup()} != first)


def test_first_fit__with_few_tasks_masks_come_at_once_and_the_fit_goes_live_later(
    service: Service, server: FakeLabelStudio
) -> None:
    project = Project(service, server, 6)
    before = project.setup()
    (answer,) = project.predict(project.tasks[0])
    assert answer["model_version"] == before
    assert before.startswith("image-level-")
    assert labels(answer) == [["cat"] for _ in answer["result"]]  # a guess, so that they are seen
    wait_for(lambda: project.folder.state.newest)
    project.idle()
    # Fitted, and live by itself soon after; no second fit is begun meanwhile.
    assert project.status["fit"] is None
    after = newest_version(project.folder)
    wait_for(lambda: project.setup() == after)
    assert versions(project.predict()) == {after}


def test_first_fit__without_a_token_is_not_tried(service: Service, server: FakeLabelStudio) -> None:
    project = Project(service, server, 0)
    project.setup(token="")
    uri = "data:image/png;base64,iVBORw0KGgo="
    task = server.task(project.id, image=uri)
    assert project.predict(task) == [[]]
    assert project.status["fit"] is None
    assert not project.status["token"]


def test_first_fit__not_ready_in_time_is_ready_for_the_next_request(
    own_folders: Path, server: FakeLabelStudio
) -> None:
    with started(predict_timeout=0.0) as service:
        project = Project(service, server, ENOUGH)
        project.setup()
        assert project.predict() == [[]] * ENOUGH
        wait_for(lambda: project.folder.state.newest)
        project.idle()
        service.predictions.timeout = 60.0
        [version] = versions(project.predict())
        assert version == project.setup()
        assert not version.startswith("image-level")


def test_look__a_project_that_has_grown_is_fitted_anew(
    own_folders: Path, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_scheduler, "_COUNT_EVERY", 0.0)
    with started(fit_after=20) as service:
        project = Project(service, server, 4)
        first = project.fitted()
        for _ in range(19):
            server.task(project.id)
        count = f"GET /api/projects/{project.id}/"
        n_counts = server.count(count)
        project.setup()
        server.await_requests(count, n_counts + 1)
        project.idle()
        assert project.setup() == first
        server.task(project.id)
        project.setup()
        wait_for(lambda: project.folder.state.n_tasks == 24)
        project.idle()
        wait_for(lambda: project.setup() != first)


def test_cancel__ends_the_fit_and_it_is_not_begun_again(
    own_folders: Path, server: FakeLabelStudio
) -> None:
    with started() as service:
        project = Project(service, server, 4)
        project.setup()
        with server.holding("/data/upload"):
            service.fit(project.name)
            wait_for(lambda: project.fit_stage == "photos")
            assert project.folder.state.fit_requested
            assert service.cancel(project.name)
            wait_for(lambda: project.status["fit"] is None)
        assert not project.folder.state.fit_requested
        assert not service.cancel(project.name)
        assert "cancelled" not in problems(service)
        # A second fit can be requested.
        project.fitted()


def test_fit__killed_is_reported_and_continues_where_it_was(
    own_folders: Path, server: FakeLabelStudio
) -> None:
    with started() as service:
        project = Project(service, server, 6)
        project.setup()
        # The last photo is awaited while the others are there already.
        server.asked.clear()
        with server.holding(project.tasks[-1]["data"]["image"]):
            service.fit(project.name)
            server.await_requests("/data/upload", 6)
            wait_for(lambda: (fit := project.status["fit"]) is not None and fit["done"] >= 1)
            kill("fit")
            wait_for(lambda: project.status["fit"] is None)
        wait_for(lambda: "its process was killed" in problems(service))
        assert "its process was killed" in project.status["problems"][0]
        asked = server.count(project.tasks[0]["data"]["image"])
        service.fit(project.name)
        project.idle()
        assert project.folder.state.newest
        assert server.count(project.tasks[0]["data"]["image"]) == asked


def test_full_disk__without_a_model_masks_come_and_it_is_reported(
    own_folders: Path, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started() as service:
        project = Project(service, server, 4)
        version = project.setup()

        def full(*_: object, **__: object) -> NoReturn:
            raise OSError(28, "No space left on device", "project.json")

        monkeypatch.setattr(ProjectFolder, "update", full)
        assert versions(project.predict()) == {version}
        assert "No space left on device" in problems(service)


def test_full_disk__during_a_fit_is_reported_with_what_to_do(
    own_folders: Path, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Path, write: object) -> NoReturn:
        raise OSError(28, "No space left on device", str(file))

    monkeypatch.setattr(shards, "write_again_if_removed", full)
    monkeypatch.setattr(fits, "exit_with_parent", lambda pipe: None)  # it is run in this process
    name, tasks = server.project(4)
    number = int(name.partition(".")[0])
    folder = open_folder(server.url, str(number))
    request = FitRequest(
        folder=folder.path,
        server=server.url,
        token=TOKEN,
        project_id=number,
        label_config=parse_label_config(BRUSH),
        config=tiny_config(),
        sources=Sources(),
        result_options=ResultOptions(),
        fits=0,
        tasks=tuple(tasks),
    )
    ours, theirs = multiprocessing.Pipe()
    fits.run(theirs, request)
    theirs.close()
    messages = []
    with pytest.raises(EOFError):
        while True:
            messages.append(ours.recv())
    outcome = messages[-1]
    assert isinstance(outcome, fits.Outcome)
    assert "No space left on device" in outcome.problem
    assert "what was computed is kept" in outcome.problem
    assert not folder.state.newest
