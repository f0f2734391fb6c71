"""What /predict is answered, with a worker and fits in processes of their own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prelabel.label_studio.server.service import Service
from support.backend import Project, kill, problems, sizes, started, versions
from support.fake_label_studio import FakeLabelStudio, wait_for

pytestmark = pytest.mark.slow


def test_timeout__what_is_not_ready_is_finished_for_the_next_request(
    own_folders: Path, server: FakeLabelStudio
) -> None:
    with started(predict_timeout=0.0) as service:
        project = Project(service, server, 4)
        project.fitted()
        late = [server.task(project.id) for _ in range(6)]
        assert project.predict(*late) == [[]] * 6
        assert b"prelabel_not_ready_total 6.0" in service.statistics()
        project.idle()
        asked = server.count("/data/upload")
        service.predictions.timeout = 60.0
        assert [] not in project.predict(*late)
        assert server.count("/data/upload") == asked


def test_timeout__without_a_model_too(own_folders: Path, server: FakeLabelStudio) -> None:
    with server.holding("^/api/projects"), started(predict_timeout=0.0) as service:
        project = Project(service, server, 4)  # no fit comes to an end
        project.setup()
        assert project.predict() == [[]] * 4
        wait_for(lambda: not any(sizes(service).values()))
        wait_for(lambda: list((own_folders / "cache" / "segments").glob("image-level-*/*")))
        service.predictions.timeout = 60.0
        assert versions(project.predict()) == {service.version(project.name)}


def test_predict__the_same_task_of_several_clients_is_worked_on_once(
    service: Service, server: FakeLabelStudio
) -> None:
    project = Project(service, server, 4)
    project.fitted()
    task = server.task(project.id)
    image = task["data"]["image"]
    with ThreadPoolExecutor(8) as clients:
        with server.holding(image):
            requests = [clients.submit(project.predict, task, task) for _ in range(8)]
            server.await_requests(image)
            assert sizes(service)["fetching"] == 1
        answers = [answer for request in requests for answer in request.result(60)]
    assert len(answers) == 16
    assert all(answer == answers[0] for answer in answers)
    assert server.count(image) == 1


def test_predict__failed_tasks_are_answered_empty_and_reported(
    service: Service, server: FakeLabelStudio
) -> None:
    project = Project(service, server, 4)
    version = project.fitted()
    broken = server.task(project.id, image=server.upload(5000, b"\x89PNG broken"))
    nothing = server.task(project.id, text="no image here")
    answers = project.predict(project.tasks[0], broken, nothing)
    assert answers[1:] == [[], []]
    assert answers[0]["model_version"] == version
    reported = dict(text.split(": ", 1) for text in project.status["problems"])
    assert "decoded" in reported[f"task {broken['id']}"]
    assert "no image" in reported[f"task {nothing['id']}"]


def test_worker__killed_while_it_predicts_loses_nothing(
    own_folders: Path, server: FakeLabelStudio
) -> None:
    with started() as service:
        project = Project(service, server, 4)
        version = project.fitted()
        tasks = [server.task(project.id) for _ in range(12)]
        server.asked.clear()
        with ThreadPoolExecutor(1) as client:
            with server.holding("/data/upload"):
                request = client.submit(project.predict, *tasks)
                server.await_requests("/data/upload", 2)
                kill("worker")
            answers = request.result(60)
        assert versions(answers) == {version}
        assert len(answers) == 12
        assert service.status()["worker_restarts"] == 1
        assert "the worker's process died" in problems(service)
        assert b'prelabel_jobs_total{kind="predict",outcome="done"} 12.0' in service.statistics()
