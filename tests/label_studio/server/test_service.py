"""The backend without its HTTP, with a worker and fits in processes of their own, against a Label
Studio that is played."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prelabel.errors import UserError
from prelabel.label_studio import project_folder as home_module
from prelabel.label_studio.api.photos import Sources
from prelabel.label_studio.model_version import image_level_version
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.server import cleanup, fits
from prelabel.label_studio.server import service as service_module
from prelabel.label_studio.server.service import Service, Settings
from prelabel.storage import shards
from support.fake_label_studio import BRUSH, TOKEN, FakeLabelStudio, Task, running, wait_for
from support.small_photos import tiny_config

pytestmark = pytest.mark.slow
ENOUGH = 20


@pytest.fixture(scope="module")
def server() -> Iterator[FakeLabelStudio]:
    with running() as found:
        yield found


@contextmanager
def started(**settings: Any) -> Iterator[Service]:
    service = Service(Settings(tiny_config(), **settings))
    try:
        yield service
    finally:
        service.stop()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One for all tests that do no harm to it: its processes take seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRELABEL_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("PRELABEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        with started() as found:
            yield found


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of the test's own."""
    monkeypatch.setenv("PRELABEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    return tmp_path


class Project:
    """A project as Label Studio works with it: /setup before /predict."""

    def __init__(
        self, service: Service, server: FakeLabelStudio, n_photos: int, xml: str = BRUSH
    ) -> None:
        self.service, self.server, self.xml = service, server, xml
        self.name, self.tasks = server.project(n_photos, xml)
        self.id = int(self.name.partition(".")[0])
        self.home = ProjectFolder.of(server.url, self.id)

    def setup(self, *, token: str = TOKEN, xml: str = "") -> str:
        return self.service.setup(self.name, xml or self.xml, self.server.url, token)

    def predict(self, *tasks: Task, **more: Any) -> list[Any]:
        chosen = tasks or self.tasks
        return [json.loads(a) for a in self.service.answers(self.name, chosen, self.xml, **more)]

    def event(self, action: str, **payload: Any) -> Any:
        payload["project"] = {"id": self.id, "created_at": "2026-01-02T03:04:05.678901Z"}
        return self.service.event(action, payload)

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = next(
            p for p in self.service.status()["projects"] if p["project"] == self.name
        )
        return found

    def idle(self) -> None:
        wait_for(lambda: self.status["fit"] is None and not any(sizes(self.service).values()))

    def fitted(self) -> str:
        """Fit it, and go live."""
        self.setup()
        self.idle()
        if not self.home.state.newest:
            self.service.fit(self.name)
            self.idle()
        version = self.setup()
        assert version.startswith(self.home.state.newest)
        return version


def sizes(service: Service) -> dict[str, int]:
    found: dict[str, int] = service.status()["queue"]
    return found


def versions(answers: list[Any]) -> set[str]:
    return {answer["model_version"] for answer in answers}


def labels(answer: Any) -> list[list[str]]:
    return [item["value"]["brushlabels"] for item in answer["result"]]


def problems(service: Service) -> str:
    return "\n".join(p["text"] for p in service.status()["problems"])


# --- versions and the first fit ---


def test_first_fit__enough_tasks_are_fitted_within_the_request(
    service: Service, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_look_at", lambda known: None)  # only what is sent counts
    project = Project(service, server, ENOUGH)
    before = project.setup()
    assert before == image_level_version(service.settings.config)
    answers = project.predict()
    version = project.setup()
    assert versions(answers) == {version}
    assert version == f"{project.home.state.newest}-0"
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
    monkeypatch.setattr(service_module, "_FIRST", 5)
    monkeypatch.setattr(service_module, "_ENOUGH", 10)
    project = Project(service, server, 20)
    project.setup()
    first = versions(project.predict())
    assert first == {project.setup()}
    assert project.home.state.n_tasks == 5
    service._look_at(service._known(project.name))
    wait_for(lambda: project.home.state.n_tasks == 20)
    assert {project.setup()} != first


def test_first_fit__with_few_tasks_masks_come_at_once_and_the_fit_goes_live_later(
    service: Service, server: FakeLabelStudio
) -> None:
    project = Project(service, server, 6)
    before = project.setup()
    (answer,) = project.predict(project.tasks[0])
    assert answer["model_version"] == before
    assert before.startswith("image-level-")
    assert labels(answer) == [[] for _ in answer["result"]]
    wait_for(lambda: project.home.state.newest)
    project.idle()
    # Fitted, but live only with the next /setup; no second fit is begun meanwhile.
    assert versions(project.predict(project.tasks[1])) == {before}
    assert project.status["waits_for_setup"]
    assert project.status["fit"] is None
    after = project.setup()
    assert after == f"{project.home.state.newest}-0"
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
    own: Path, server: FakeLabelStudio
) -> None:
    with started(patience=0.0) as service:
        project = Project(service, server, ENOUGH)
        project.setup()
        assert project.predict() == [[]] * ENOUGH
        wait_for(lambda: project.home.state.newest)
        project.idle()
        service.settings = replace(service.settings, patience=60.0)
        version = project.setup()
        assert versions(project.predict()) == {version}


def test_setup__a_config_without_a_usable_tag_says_so(
    service: Service, server: FakeLabelStudio
) -> None:
    project = Project(service, server, 0)
    with pytest.raises(UserError, match="no tag that can hold masks, found View, Image; wanted"):
        project.setup(xml='<View><Image name="image" value="$image"/></View>')
    with pytest.raises(UserError, match=r"project is 'x': id\.timestamp wanted"):
        service.setup("x", BRUSH, server.url, TOKEN)
    for address in ("", "labels.example.com", "http://user:pass@labels.example.com", "http://["):
        with pytest.raises(UserError, match="hostname is not valid: http://HOST:PORT"):
            service.setup("1.1", BRUSH, address, TOKEN)


def test_known__another_project_says_what_to_do(service: Service, server: FakeLabelStudio) -> None:
    for ask in (
        lambda: service.version("99.1"),
        lambda: service.answers("99.1", [], BRUSH),
        lambda: service.fit("99.1"),
        lambda: service.cancel("99"),
        lambda: service.versions("99"),
    ):
        with pytest.raises(UserError, match=r"'99.*' is not known: open Settings, Model"):
            ask()
    assert service.event("ANNOTATION_CREATED", {"project": {"id": 99}}) == {
        "status": "unknown project"
    }


# --- patience ---


def test_patience__what_is_not_ready_is_finished_for_the_next_request(
    own: Path, server: FakeLabelStudio
) -> None:
    with started(patience=0.0) as service:
        project = Project(service, server, 4)
        project.fitted()
        late = [server.task(project.id) for _ in range(6)]
        assert project.predict(*late) == [[]] * 6
        assert b"prelabel_not_ready_total 6.0" in service.statistics()
        project.idle()
        asked = server.count("/data/upload")
        service.settings = replace(service.settings, patience=60.0)
        assert [] not in project.predict(*late)
        assert server.count("/data/upload") == asked


def test_patience__without_a_model_too(own: Path, server: FakeLabelStudio) -> None:
    server.held = "^/api/projects"  # no fit comes to an end
    try:
        with started(patience=0.0) as service:
            project = Project(service, server, 4)
            project.setup()
            assert project.predict() == [[]] * 4
            wait_for(lambda: not any(sizes(service).values()))
            wait_for(lambda: list((own / "cache" / "segments").glob("image-level-*/*")))
            service.settings = replace(service.settings, patience=60.0)
            assert versions(project.predict()) == {service.version(project.name)}
    finally:
        server.held = ""


def test_predict__the_same_task_of_several_clients_is_worked_on_once(
    service: Service, server: FakeLabelStudio
) -> None:
    project = Project(service, server, 4)
    project.fitted()
    task = server.task(project.id)
    server.held = task["data"]["image"]
    try:
        with ThreadPoolExecutor(8) as clients:
            asked = [clients.submit(project.predict, task, task) for _ in range(8)]
            wait_for(lambda: server.count(task["data"]["image"]))
            assert sizes(service)["at work"] == 1
            server.held = ""
            answers = [a for one in asked for a in one.result(60)]
    finally:
        server.held = ""
    assert len(answers) == 16
    assert all(answer == answers[0] for answer in answers)
    assert server.count(task["data"]["image"]) == 1


def test_predict__failed_tasks_are_answered_empty_and_told(
    service: Service, server: FakeLabelStudio
) -> None:
    project = Project(service, server, 4)
    version = project.fitted()
    broken = server.task(project.id, image=server.upload(5000, b"\x89PNG broken"))
    nothing = server.task(project.id, text="no image here")
    answers = project.predict(project.tasks[0], broken, nothing)
    assert answers[1:] == [[], []]
    assert answers[0]["model_version"] == version
    told = "\n".join(project.status["problems"])
    assert f"task {broken['id']}: is not a picture that can be decoded" in told
    assert f"task {nothing['id']}: has no image in its data" in told
    assert "see whether the label config's Image names the right key" in told


# --- names ---


def annotate(project: Project, task: Task, label: str) -> None:
    """As a person who gives every region of the prediction a label, and submits."""
    (answer,) = project.predict(task)
    assert answer["result"]
    items = [{**item, "origin": "prediction"} for item in answer["result"]]
    for item in items:
        item["value"]["brushlabels"] = [label]
    project.server.annotate(task["id"], items)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_module, "_QUIET", -1.0)


def test_names__an_annotation_is_learned_and_unlearned(
    service: Service, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(service, server, 0, BRUSH.replace(' predicted_values="object 1"', ""))
    project.tasks = [server.task(project.id, image=server.upload(1 + n % 2)) for n in range(4)]
    first = project.fitted()
    task, twin = project.tasks[0], project.tasks[2]  # the twin has the same photo
    annotate(project, task, "dog")
    # Nothing but numbers is taken from an event: this one says "cat".
    forged = {"id": 7000 + task["id"], "task": task["id"], "result": [{"cat": 1}]}
    answer = project.event("ANNOTATION_CREATED", task={"id": task["id"]}, annotation=forged)
    assert answer == {"status": "learning", "tasks": 1}
    project.idle()
    taught = ExemplarFile(project.home.names).exemplars
    assert {e.name for e in taught} == {"dog"}
    # Gathered for a while, then live.
    assert project.setup() == first
    assert labels(project.predict(twin)[0])[0] == []
    monkeypatch.setattr(home_module, "_QUIET", -1.0)
    second = project.setup()
    assert second == first.replace("-0", "-1")
    (answer,) = project.predict(twin)
    assert answer["model_version"] == second
    assert all(label == ["dog"] for label in labels(answer))
    assert service.versions(project.name)[:2] == [second, first]
    # Deleted: the server tells no more than the annotation's number.
    server.tasks[task["id"]]["annotations"] = []
    project.event("ANNOTATIONS_DELETED", annotations=[{"id": 7000 + task["id"]}])
    project.idle()
    assert ExemplarFile(project.home.names).exemplars == ()
    third = project.setup()
    assert third == first.replace("-0", "-2")
    assert all(label == [] for label in labels(project.predict(twin)[0]))


def test_names__what_was_annotated_while_the_backend_was_away_comes_with_the_fit(
    service: Service, server: FakeLabelStudio, at_once: None
) -> None:
    project = Project(service, server, 0, BRUSH.replace(' predicted_values="object 1"', ""))
    project.tasks = [server.task(project.id, image=server.upload(1)) for _ in range(3)]
    project.setup()
    annotate(project, project.tasks[0], "dog")
    project.idle()
    project.service.fit(project.name)
    project.idle()
    assert project.setup().endswith("-1")
    assert labels(project.predict(project.tasks[1])[0])[0] == ["dog"]


@pytest.mark.parametrize(
    "payload",
    [
        {"task": None, "annotation": None},
        {"task": {"id": [1]}, "annotation": {"task": {"id": 1}}},
        {"annotations": 5},
        {"annotations": "text"},
        {"annotations": [None, [], {"id": {}}, {"id": "1:2"}]},
        {"task": "1", "annotation": ["x"]},
    ],
)
def test_event__whatever_comes_is_no_fault(
    payload: dict[str, Any], service: Service, server: FakeLabelStudio
) -> None:
    project = Project(service, server, 0)
    project.setup()
    assert project.event("ANNOTATION_UPDATED", **payload) == {"status": "learning", "tasks": 0}


def test_event__other_events(service: Service, server: FakeLabelStudio) -> None:
    project = Project(service, server, 4)
    project.fitted()
    for action in ("PROJECT_UPDATED", "TASKS_CREATED", "TASKS_DELETED", "UNKNOWN"):
        assert project.event(action) == {"status": "noted"}
    answer = project.event("START_TRAINING")
    assert set(answer) == {"stage", "done", "total"}
    project.idle()
    assert project.home.state.newest  # the same photos: the same model


# --- config changes ---


def test_config__changed_between_fit_and_predict(service: Service, server: FakeLabelStudio) -> None:
    project = Project(service, server, 4)
    version = project.fitted()
    before = project.predict()
    assert {"cat"} == {label for a in before for labels_ in labels(a) for label in labels_}
    project.xml = BRUSH.replace('value="cat"', 'value="yak"')
    assert project.setup() == version
    renamed = {label for a in project.predict() for labels_ in labels(a) for label in labels_}
    assert renamed == {"yak"}
    project.xml = BRUSH.replace("BrushLabels", "RectangleLabels")
    project.setup()
    boxes = project.predict()
    assert [len(a["result"]) for a in boxes] == [len(a["result"]) for a in before]
    assert {i["type"] for a in boxes for i in a["result"]} == {"rectanglelabels"}


# --- growing, cancelling ---


def test_look__a_project_that_has_grown_is_fitted_anew(
    own: Path, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "_LOOK_EVERY", 0.0)
    with started(fit_after=20) as service:
        project = Project(service, server, 4)
        first = project.fitted()
        for _ in range(19):
            server.task(project.id)
        project.setup()
        time.sleep(0.5)
        project.idle()
        assert project.setup() == first
        server.task(project.id)
        project.setup()
        wait_for(lambda: project.home.state.n_tasks == 24)
        project.idle()
        assert project.setup() != first


def test_cancel__ends_the_fit_and_it_is_not_begun_again(own: Path, server: FakeLabelStudio) -> None:
    with started() as service:
        project = Project(service, server, 4)
        project.setup()
        wait_for(lambda: server.count(f"/api/projects/{project.id}/"))
        time.sleep(0.3)
        server.held = "/data/upload"
        try:
            service.fit(project.name)
            wait_for(lambda: project.status["fit"]["stage"] == "photos")
            assert project.home.state.fit_wanted
            assert service.cancel(project.name)
            wait_for(lambda: project.status["fit"] is None)
        finally:
            server.held = ""
        assert not project.home.state.fit_wanted
        assert not service.cancel(project.name)
        assert "cancelled" not in problems(service)
        # A new one is no matter.
        project.fitted()


# --- processes that die ---


def kill(pid: int) -> None:
    assert pid > 1
    os.kill(pid, signal.SIGKILL)


def test_worker__killed_while_it_predicts_loses_nothing(own: Path, server: FakeLabelStudio) -> None:
    with started() as service:
        project = Project(service, server, 4)
        version = project.fitted()
        tasks = [server.task(project.id) for _ in range(12)]
        server.held = "/data/upload"
        try:
            with ThreadPoolExecutor(1) as client:
                asked = client.submit(project.predict, *tasks)
                wait_for(lambda: sizes(service)["at work"] >= 2)
                time.sleep(0.3)
                kill(service._queue.worker_pid)
                server.held = ""
                answers = asked.result(60)
        finally:
            server.held = ""
        assert versions(answers) == {version}
        assert len(answers) == 12
        assert service.status()["worker_restarts"] == 1
        assert "the worker's process died" in problems(service)
        assert f'prelabel_jobs_total{{kind="predict",outcome="done"}} {12.0}' in (
            service.statistics().decode()
        )


def fit_pid(service: Service) -> int:
    running_fit = service._fits._running
    return running_fit[1].pid if running_fit else 0


def test_fit__killed_is_told_and_goes_on_where_it_was(own: Path, server: FakeLabelStudio) -> None:
    with started() as service:
        project = Project(service, server, 6)
        project.setup()
        time.sleep(0.3)
        # The last photo is awaited while the others are there already.
        server.held = project.tasks[-1]["data"]["image"]
        server.asked.clear()
        try:
            service.fit(project.name)
            wait_for(lambda: server.count("/data/upload") >= 6)
            wait_for(lambda: project.status["fit"]["done"] >= 1)
            kill(fit_pid(service))
            wait_for(lambda: project.status["fit"] is None)
        finally:
            server.held = ""
        wait_for(
            lambda: "its process was killed; what it had computed is kept" in problems(service)
        )
        assert "its process was killed" in project.status["problems"][0]
        asked = server.count(project.tasks[0]["data"]["image"])
        service.fit(project.name)
        project.idle()
        assert project.home.state.newest
        assert server.count(project.tasks[0]["data"]["image"]) == asked


# --- two backends ---


def test_two__on_one_project_fit_once_and_agree(own: Path, server: FakeLabelStudio) -> None:
    with started() as one, started() as other:
        projects = [Project(one, server, ENOUGH)]
        projects.append(Project(other, server, 0))
        projects[1].name, projects[1].tasks = projects[0].name, projects[0].tasks
        projects[1].id, projects[1].home = projects[0].id, projects[0].home
        for project in projects:
            project.setup()
        with ThreadPoolExecutor(2) as clients:
            answers = list(clients.map(lambda project: project.predict(), projects))
        assert answers[0] == answers[1]
        live = {project.setup() for project in projects}
        assert len(live) == 1
        assert versions(answers[0]) == live
        models = list((projects[0].home.path / "models").iterdir())
        assert len(models) == 1
        # One of them has computed the features, the other has taken its model.
        shards = list((own / "cache" / "features").glob("*/*.safetensors"))
        assert len(shards) == 1


def test_two__keep_the_names_of_both(own: Path, server: FakeLabelStudio, at_once: None) -> None:
    with started() as one, started() as other:
        project = Project(one, server, 0)
        project.tasks = [server.task(project.id, image=server.upload(1 + n)) for n in range(6)]
        first = project.fitted()
        second = Project(other, server, 0)
        second.name, second.id, second.home = project.name, project.id, project.home
        second.tasks = project.tasks
        assert second.setup() == first
        for task in project.tasks:
            annotate(project, task, "dog")
        for n, task in enumerate(project.tasks):
            (project, second)[n % 2].event("ANNOTATION_CREATED", task={"id": task["id"]})
        for each in (project, second):
            each.idle()
        taught = {e.photo for e in ExemplarFile(project.home.names).exemplars}
        assert taught == {f"{task['id']}/image" for task in project.tasks}
        live = project.setup()
        assert live == second.setup()
        assert live.endswith("-6")
        assert project.predict() == second.predict()


# --- restarts ---


def test_restart__a_click_is_answered_before_any_setup(own: Path, server: FakeLabelStudio) -> None:
    with started() as service:
        project = Project(service, server, 4)
        project.tasks.append(server.task(project.id, image=server.upload(1)))
        version = project.fitted()
        project.predict(project.tasks[-1])
    value = {"x": 50, "y": 50, "width": 0.3, "keypointlabels": ["dog"]}
    click = {"type": "keypointlabels", "from_name": "click", "to_name": "image", "value": value}
    with started() as again:  # without a token: the photo is here
        project.service = again
        (found,) = project.predict(project.tasks[-1], context={"result": [click]})
        assert found["model_version"] == version
        assert found["result"][0]["value"]["brushlabels"] == ["dog"]
        # A photo that is not here cannot be had; what is drawn is nothing, and it is told.
        new = server.task(project.id)
        (nothing,) = project.predict(new, context={"result": [click]})
        assert nothing["result"] == []
        assert f"task {new['id']}: lies on a Label Studio server" in problems(again)


def test_restart__a_fit_that_was_cut_off_is_begun_again(own: Path, server: FakeLabelStudio) -> None:
    server.held = "/data/upload"
    try:
        with started() as service:
            project = Project(service, server, 4)
            project.setup()
            service.fit(project.name)
            wait_for(lambda: (project.status["fit"] or {}).get("stage") == "photos")
    finally:
        server.held = ""
    assert project.home.state.fit_wanted
    with started() as without:  # no token yet: it waits for /setup
        project.service = without
        assert project.status["fit"] is None
        project.setup()
        wait_for(lambda: project.home.state.newest)
        project.idle()
    project.home.update(newest="", fit_wanted=True)
    with started(url=server.url, token=TOKEN) as configured:
        project.service = configured
        wait_for(lambda: project.home.state.newest)
        project.idle()


def test_restart__a_damaged_model_is_told_and_can_be_fitted_anew(
    own: Path, server: FakeLabelStudio
) -> None:
    with started() as service:
        project = Project(service, server, 4)
        version = project.fitted()
    (project.home.model_folder(project.home.state.newest) / "model.json").write_text("{")
    with started() as again:
        project.service = again
        assert project.setup() == version
        assert project.predict() == [[]] * 4
        assert "model.json is damaged" in problems(again)
        again.fit(project.name)
        project.idle()
        assert versions(project.predict()) == {project.setup()}


# --- stopping ---


def test_stop__wakes_who_waits(own: Path, server: FakeLabelStudio) -> None:
    service = Service(Settings(tiny_config()))
    project = Project(service, server, ENOUGH)
    try:
        project.setup()
        server.held = "/data/upload"
        server.asked.clear()
        asked: list[Any] = []
        waiting = [
            threading.Thread(target=lambda tasks=tasks: asked.append(project.predict(*tasks)))
            for tasks in (project.tasks[:1], project.tasks)
        ]
        for thread in waiting:
            thread.start()
        wait_for(lambda: server.count("/data/upload") >= 2)
        began = time.monotonic()
        service.stop()
        for thread in waiting:
            thread.join(10)
        assert time.monotonic() - began < 10
        assert sorted(map(len, asked)) == [1, ENOUGH]
        assert all(answer == [] for answers in asked for answer in answers)
    finally:
        server.held = ""
        service.stop()


def test_full_disk__without_a_model_masks_come_and_it_is_told(
    own: Path, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started() as service:
        project = Project(service, server, 4)
        version = project.setup()

        def full(*_: Any, **__: Any) -> Any:
            raise OSError(28, "No space left on device", "project.json")

        monkeypatch.setattr(ProjectFolder, "update", full)
        assert versions(project.predict()) == {version}
        assert "no fit: [Errno 28] No space left on device" in problems(service)


def test_full_disk__during_a_fit_is_told_with_what_to_do(
    own: Path, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Path) -> Any:
        raise OSError(28, "No space left on device", str(file))

    monkeypatch.setattr(shards, "replacing", full)
    monkeypatch.setattr(fits, "die_with", lambda pipe: None)  # it is run in this process
    name, tasks = server.project(4)
    number = int(name.partition(".")[0])
    home = ProjectFolder.of(server.url, number).path
    request = fits.FitRequest(
        home,
        server.url,
        TOKEN,
        number,
        BRUSH,
        tiny_config(),
        Sources(),
        ResultOptions(),
        "",
        tuple(tasks),
    )
    ours, theirs = multiprocessing.Pipe()
    fits.run(theirs, request)
    theirs.close()
    heard = []
    with pytest.raises(EOFError):
        while True:
            heard.append(ours.recv())
    kind, problem = heard[-1]
    assert kind == "over"
    assert "No space left on device" in problem
    assert (
        "see whether there is room on the disk, then fit again: what was computed is kept"
        in problem
    )
    assert not ProjectFolder(home).state.newest


# --- earlier predictions ---


def test_tidying__earlier_predictions_go_once_the_new_one_is_there(
    service: Service, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "_AFTER", 0.2)
    project = Project(service, server, 2)
    before = project.setup()
    project.predict(project.tasks[0])
    project.idle()
    after = project.fitted()
    assert after != before
    stored = {
        task["id"]: [
            {"id": 10 * task["id"] + n, "model_version": version}
            for n, version in enumerate((before, "yolo 8", "0123456789ab-3", *new))
        ]
        for task, new in zip(project.tasks, ([after], []), strict=True)
    }
    for number, predictions in stored.items():
        server.tasks[number]["predictions"] = predictions
    server.asked.clear()
    project.predict()
    first, second = (task["id"] for task in project.tasks)
    wait_for(lambda: server.count("DELETE"))
    wait_for(lambda: server.count(f"GET /api/tasks/{second}/") >= 2)
    # Others' stay, and all of the task whose new prediction the server has not stored yet.
    left = [p["model_version"] for p in server.tasks[first]["predictions"]]
    assert left == ["yolo 8", "0123456789ab-3", after]
    assert server.tasks[second]["predictions"] == stored[second]
    assert server.count("DELETE") == 1
