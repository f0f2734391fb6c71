"""The backend without its HTTP, with a worker and fits in processes of their own: projects, names,
webhooks, restarts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from prelabel.errors import UserError
from prelabel.label_studio import project_folder
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.server.service import Service
from support.backend import Project, labels, problems, started, versions
from support.fake_label_studio import BRUSH, TOKEN, FakeLabelStudio, Task, wait_for

pytestmark = pytest.mark.slow
ENOUGH = 20
"""Photos of a first fit that is waited for."""


def test_setup__a_config_without_a_usable_tag_says_so(
    service: Service, server: FakeLabelStudio
) -> None:
    project = Project(service, server, 0)
    with pytest.raises(UserError, match=r"label config: .*BrushLabels"):
        project.setup(xml='<View><Image name="image" value="$image"/></View>')
    with pytest.raises(UserError, match=r"'x': expected id\.timestamp"):
        service.setup("x", BRUSH, server.url, TOKEN)
    for address in ("", "labels.example.com", "http://user:pass@labels.example.com", "http://["):
        with pytest.raises(UserError, match=r"hostname .*expected http://HOST:PORT"):
            service.setup("1.1", BRUSH, address, TOKEN)


def test_known__another_project_says_what_to_do(service: Service, server: FakeLabelStudio) -> None:
    requests: list[Callable[[], object]] = [
        lambda: service.version("99.1"),
        lambda: service.answers("99.1", [], BRUSH),
        lambda: service.fit("99.1"),
        lambda: service.cancel("99"),
        lambda: service.versions("99"),
    ]
    for request in requests:
        with pytest.raises(UserError, match=r"'99.*Settings, Model"):
            request()
    assert service.event("ANNOTATION_CREATED", {"project": {"id": 99}}) == {
        "status": "unknown project"
    }


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
    monkeypatch.setattr(project_folder, "_QUIET", -1.0)


def test_names__an_annotation_is_learned_and_unlearned(
    service: Service, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seconds in ("_QUIET", "_LONGEST"):
        monkeypatch.setattr(project_folder, seconds, 1000.0)
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
    taught = ExemplarFile(project.folder.names).exemplars
    assert {e.name for e in taught} == {"dog"}
    # Gathered for a while, then live.
    assert project.setup() == first
    assert labels(project.predict(twin)[0])[0] == ["cat"]  # a guess
    monkeypatch.setattr(project_folder, "_QUIET", -1.0)
    second = first.replace("-0", "-1")
    wait_for(lambda: project.setup() == second)
    (answer,) = project.predict(twin)
    assert answer["model_version"] == second
    assert all(label == ["dog"] for label in labels(answer))
    assert service.versions(project.name)[:2] == [second, first]
    # Deleted: the server tells no more than the annotation's number.
    server.tasks[task["id"]]["annotations"] = []
    project.event("ANNOTATIONS_DELETED", annotations=[{"id": 7000 + task["id"]}])
    project.idle()
    assert ExemplarFile(project.folder.names).exemplars == ()
    wait_for(lambda: project.setup() == first.replace("-0", "-2"))
    assert all(label == ["cat"] for label in labels(project.predict(twin)[0]))


def test_names__annotations_made_while_the_backend_was_down_are_learned_by_the_fit(
    service: Service, server: FakeLabelStudio, at_once: None
) -> None:
    project = Project(service, server, 0, BRUSH.replace(' predicted_values="object 1"', ""))
    project.tasks = [server.task(project.id, image=server.upload(1)) for _ in range(3)]
    project.setup()
    annotate(project, project.tasks[0], "dog")
    project.idle()
    project.service.fit(project.name)
    project.idle()
    wait_for(lambda: project.setup().endswith("-1"))  # live
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
def test_event__never_fails(
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
    assert project.folder.state.newest  # the same photos: the same model


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


def test_two__on_one_project_fit_once_and_agree(own_folders: Path, server: FakeLabelStudio) -> None:
    with started() as one, started() as other:
        projects = [Project(one, server, ENOUGH)]
        projects.append(projects[0].through(other))
        for project in projects:
            project.setup()
        with ThreadPoolExecutor(2) as clients:
            answers = list(clients.map(Project.predict, projects))
        assert answers[0] == answers[1]
        live = {project.setup() for project in projects}
        assert len(live) == 1
        assert versions(answers[0]) == live
        models = list((projects[0].folder.path / "models").iterdir())
        assert len(models) == 1
        # One of them has computed the features, the other has taken its model.
        shards = list((own_folders / "cache" / "features").glob("*/*.safetensors"))
        assert len(shards) == 1


def test_two__keep_the_names_of_both(
    own_folders: Path, server: FakeLabelStudio, at_once: None
) -> None:
    with started() as one, started() as other:
        project = Project(one, server, 0)
        project.tasks = [server.task(project.id, image=server.upload(1 + n)) for n in range(6)]
        first = project.fitted()
        second = project.through(other)
        assert second.setup() == first
        for task in project.tasks:
            annotate(project, task, "dog")
        for n, task in enumerate(project.tasks):
            (project, second)[n % 2].event("ANNOTATION_CREATED", task={"id": task["id"]})
        for each in (project, second):
            each.idle()
        taught = {e.photo for e in ExemplarFile(project.folder.names).exemplars}
        assert taught == {f"{task['id']}/image" for task in project.tasks}
        wait_for(lambda: not second.setup().endswith("-0"))
        live = project.setup()
        assert live == second.setup()
        assert project.predict() == second.predict()


def test_restart__a_click_is_answered_before_any_setup(
    own_folders: Path, server: FakeLabelStudio
) -> None:
    with started() as service:
        project = Project(service, server, 4)
        project.tasks.append(server.task(project.id, image=server.upload(1)))
        version = project.fitted()
        project.predict(project.tasks[-1])
    value = {"x": 50, "y": 50, "width": 0.3, "keypointlabels": ["dog"]}
    click = {"type": "keypointlabels", "from_name": "click", "to_name": "image", "value": value}
    with started() as again:  # without a token: the photo is in the cache
        project = project.through(again)
        (found,) = project.predict(project.tasks[-1], context={"result": [click]})
        assert found["model_version"] == version
        assert found["result"][0]["value"]["brushlabels"] == ["dog"]
        # Another photo cannot be fetched: nothing is drawn, and the problem is reported.
        new = server.task(project.id)
        (nothing,) = project.predict(new, context={"result": [click]})
        assert nothing["result"] == []
        assert f"task {new['id']}: " in problems(again)


def test_restart__with_other_code_names_stay_and_are_embedded_again(
    own_folders: Path, server: FakeLabelStudio, at_once: None
) -> None:
    with started() as service:
        project = Project(service, server, 0, BRUSH.replace(' predicted_values="object 1"', ""))
        project.tasks = [server.task(project.id, image=server.upload(1)) for _ in range(2)]
        project.fitted()
        annotate(project, project.tasks[0], "dog")
        project.event("ANNOTATION_CREATED", task={"id": project.tasks[0]["id"]})
        project.idle()
        wait_for(lambda: project.setup().endswith("-1"))
        version = project.setup()
    # As if an older prelabel had written all of it.
    model_file = project.folder.model_folder(project.folder.state.newest) / "model.json"
    facts = json.loads(model_file.read_text())
    del facts["code"]
    model_file.write_text(json.dumps(facts))
    names = project.folder.names
    for file in (names, project.folder.names_file(1)):
        text = re.sub(r', "labels": \{.*\}\}$', "}", file.read_text(), flags=re.MULTILINE)
        file.write_text(re.sub(', "origin": "[^"]*"', "", text))
    assert ExemplarFile(names).exemplars[0].origin == ""
    with started() as again:
        project = project.through(again)
        assert project.setup() == version
        assert labels(project.predict(project.tasks[1])[0])[0] == ["dog"]
        wait_for(lambda: all(e.origin for e in ExemplarFile(names).exemplars))
        project.idle()
        # The names are the same, and now masks are learned from the photo as well.
        wait_for(lambda: project.setup().endswith("-2"))
        assert project.status["learned"].startswith("1 photo (dog)")
        assert labels(project.predict(project.tasks[1])[0])[0] == ["dog"]


def test_restart__a_fit_that_was_cut_off_is_begun_again(
    own_folders: Path, server: FakeLabelStudio
) -> None:
    with server.holding("/data/upload"), started() as service:
        project = Project(service, server, 4)
        project.setup()
        service.fit(project.name)
        wait_for(lambda: project.fit_stage == "photos")
    assert project.folder.state.fit_requested
    with started() as without:  # no token yet: it waits for /setup
        project = project.through(without)
        assert project.status["fit"] is None
        project.setup()
        wait_for(lambda: project.folder.state.newest)
        project.idle()
    project.folder.update(newest="", fit_requested=True)
    with started(url=server.url, token=TOKEN) as configured:
        project = project.through(configured)
        wait_for(lambda: project.folder.state.newest)
        project.idle()


def test_restart__a_damaged_model_is_reported_and_can_be_fitted_anew(
    own_folders: Path, server: FakeLabelStudio
) -> None:
    with started() as service:
        project = Project(service, server, 4)
        version = project.fitted()
    (project.folder.model_folder(project.folder.state.newest) / "model.json").write_text("{")
    with started() as again:
        project = project.through(again)
        assert project.setup() == version
        assert project.predict() == [[]] * 4
        assert "model.json is damaged" in problems(again)
        again.fit(project.name)
        project.idle()
        assert versions(project.predict()) == {project.setup()}


def test_stop__wakes_those_who_wait(own_folders: Path, server: FakeLabelStudio) -> None:
    with started() as service, ThreadPoolExecutor(2) as clients:
        project = Project(service, server, ENOUGH)
        project.setup()
        server.asked.clear()
        with server.holding("/data/upload"):
            one = clients.submit(project.predict, project.tasks[0])
            many = clients.submit(project.predict)
            server.await_requests("/data/upload", 2)
            service.stop()
            assert one.result(10) == [[]]
            assert many.result(10) == [[]] * ENOUGH
