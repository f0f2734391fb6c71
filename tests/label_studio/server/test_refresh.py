"""Names and models reach the predictions on the server, which a fake one keeps."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from prelabel.label_studio import project_folder
from prelabel.label_studio.format.unnamed_labels import has_labels
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.server import refresh, refreshed_project
from prelabel.label_studio.server.service import Service
from prelabel.label_studio.server.settings import Settings
from prelabel.steps.exemplars import Names
from support.backend import Project, newest_version, problems
from support.fake_label_studio import BRUSH, FakeLabelStudio, Task, wait_for
from support.small_photos import tiny_config

pytestmark = pytest.mark.slow
NAMELESS = BRUSH.replace(' predicted_values="object 1"', "")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_folder, "_QUIET", -1.0)
    monkeypatch.setattr(refresh, "_EVERY", 0.05)
    monkeypatch.setattr(refresh, "_PAUSE", 0.0)
    monkeypatch.setattr(refresh, "_AFTER", 0.1)
    monkeypatch.setattr(refreshed_project, "OPEN", 0.3)


@pytest.fixture(scope="module")
def adding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that may add labels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRELABEL_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("PRELABEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = Service(Settings(tiny_config(), result_options=ResultOptions(unnamed="add")))
        yield made
        made.stop()


def stored(project: Project, version: str, *tasks: Task) -> None:
    """The server keeps what the backend has answered."""
    for task, answer in zip(tasks, project.predict(*tasks), strict=True):
        assert answer["model_version"] == version
        project.server.store([{"task": task["id"], **answer}])


def name(project: Project, task: Task, label: str) -> None:
    """A person gives every region of the stored prediction a label, and submits."""
    [prediction] = project.server.tasks[task["id"]]["predictions"]
    items = [{**item, "origin": "prediction"} for item in prediction["result"]]
    assert items
    for item in items:
        item["value"] = {**item["value"], "brushlabels": [label]}
    project.server.annotate(task["id"], items)
    project.event("ANNOTATION_CREATED", task={"id": task["id"]})


def held(server: FakeLabelStudio, task: Task) -> list[str]:
    return [p["model_version"] for p in server.tasks[task["id"]]["predictions"]]


def given(server: FakeLabelStudio, task: Task) -> set[str]:
    """The labels of a task's newest prediction."""
    result = server.tasks[task["id"]]["predictions"][-1]["result"]
    return {label for item in result for label in item["value"]["brushlabels"]}


@pytest.fixture
def project(service: Service, server: FakeLabelStudio) -> Project:
    """Four tasks with two photos, predicted; annotators see these predictions."""
    made = Project(service, server, 0, NAMELESS)
    made.tasks = [server.task(made.id, image=server.upload(1 + n % 2)) for n in range(4)]
    stored(made, made.fitted(), *made.tasks)
    server.shown[made.id] = held(server, made.tasks[0])[0]
    server.asked.clear()
    return made


def test_refresh__a_name_reaches_all_tasks_and_nobody_sees_both_or_none(
    project: Project, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refreshed_project, "OPEN", 3.0)
    [old] = held(server, project.tasks[2])
    new = old.replace("-0", "-1")
    server.asked.clear()
    name(project, project.tasks[0], "dog")
    seen: list[list[str]] = []

    def switched() -> bool:
        seen.extend(server.next_predictions(task["id"]) for task in project.tasks)
        return server.shown[project.id] == new

    wait_for(switched)
    assert {tuple(one) for one in seen} == {(old,), (new,)}
    assert all(given(server, task) == {"dog"} for task in project.tasks[::2])
    # A person may have a task open still: what it began with stays for a while.
    assert all(held(server, task) == [old, new] for task in project.tasks)
    wait_for(lambda: all(held(server, task) == [new] for task in project.tasks))
    assert project.service.version(project.name) == project.setup() == new
    # In bulk: one import, one removal, and no task was opened, which would have it predicted.
    assert server.count("POST .*/import/predictions") == 1
    assert server.count("DELETE") == 1
    assert server.count("GET /api/tasks/") == 0


def test_refresh__a_name_that_changes_nothing_costs_nothing(
    project: Project, server: FakeLabelStudio
) -> None:
    name(project, project.tasks[0], "dog")
    wait_for(
        lambda: all(len(held(server, t)) == 1 for t in project.tasks) and "-1" in project.setup()
    )
    server.asked.clear()
    names = ExemplarFile(project.folder.names)
    model = project.folder.newest_model()
    assert model
    clusterer = model.config.strategy("clusterer")
    table = Names(names.exemplars, model.classes, clusterer=clusterer).table(len(model.classes))
    dogs = next(i for i, counts in enumerate(table) if counts)
    # Its class has that name already.
    names.name_class(
        dogs, "dog", centroids=model.classes, clusterer=clusterer, origin=model.vectors_origin
    )
    assert names.revision == 2
    project.idle()
    wait_for(lambda: server.count("model-versions") > 0)
    assert server.count("POST .*/import/predictions") == 0
    assert project.setup().endswith("-1")


def test_refresh__others_predictions_stay(project: Project, server: FakeLabelStudio) -> None:
    others = ["yolo 8", "0123456789ab-3"]
    for version in others:
        server.store(
            [{"task": t["id"], "result": [], "model_version": version} for t in project.tasks]
        )
    server.tasks[project.tasks[0]["id"]]["predictions"][1:] = []
    name(project, project.tasks[0], "dog")
    wait_for(lambda: held(server, project.tasks[1])[:-1] == others)
    assert all(len(held(server, task)) == 3 for task in project.tasks[1:])


def test_refresh__a_project_that_shows_a_backend_shows_it_again(
    project: Project, server: FakeLabelStudio
) -> None:
    server.backends[project.id] = ["prelabel"]
    server.shown[project.id] = "prelabel"
    [old] = held(server, project.tasks[2])
    shown = set()
    name(project, project.tasks[0], "dog")

    def done() -> bool:
        shown.add(server.shown[project.id])
        return all(old not in held(server, task) for task in project.tasks)

    wait_for(done)
    # While there are two, a click on a task shows the one that the project names.
    assert old.replace("-0", "-1") in shown
    wait_for(lambda: server.shown[project.id] == "prelabel")
    assert None not in shown
    wait_for(lambda: project.folder.state.shown_backend == "")


def test_refresh__waits_for_a_draft(project: Project, server: FakeLabelStudio) -> None:
    task = project.tasks[2]
    [old] = held(server, task)
    server.tasks[task["id"]]["drafts"] = [{"updated_at": datetime.now(UTC).isoformat()}]
    name(project, project.tasks[0], "dog")
    wait_for(lambda: server.count(r"include=id%2Cdrafts") >= 2)
    assert held(server, task) == [old, old.replace("-0", "-1")]
    server.tasks[task["id"]]["drafts"] = [{"updated_at": "2026-01-02T03:04:05Z"}]
    wait_for(lambda: len(held(server, task)) == 1)


def test_refresh__a_new_model_goes_live_without_a_request(
    project: Project, server: FakeLabelStudio
) -> None:
    [old] = held(server, project.tasks[0])
    server.task(project.id, image=server.upload(7))
    project.service.fit(project.name)
    project.idle()
    if project.folder.state.newest == old.partition("-")[0]:
        pytest.skip("the same model")
    wait_for(
        lambda: all(len(held(server, t)) == 1 and old not in held(server, t) for t in project.tasks)
    )
    assert not project.status["newer"]


def test_refresh__doubles_after_retrieving_go(project: Project, server: FakeLabelStudio) -> None:
    [old] = held(server, project.tasks[0])
    project.folder.update(version=old, versions=("0123456789ab-7",))
    extra = {"task": project.tasks[1]["id"], "result": [], "model_version": "0123456789ab-7"}
    server.store([extra])
    assert project.setup() == old
    project.predict(project.tasks[1])
    wait_for(lambda: held(server, project.tasks[1]) == [old])


def test_refresh__a_task_that_was_opened_twice_at_once_has_one(
    project: Project, server: FakeLabelStudio
) -> None:
    task = server.task(project.id, image=server.upload(1))
    [old] = held(server, project.tasks[0])
    stored(project, old, task)
    stored(project, old, task)
    assert held(server, task) == [old, old]
    wait_for(lambda: held(server, task) == [old])


def test_refresh__a_refusal_is_said_and_names_go_live_with_setup(
    project: Project, server: FakeLabelStudio
) -> None:
    server.failing = "import/predictions"
    try:
        name(project, project.tasks[0], "dog")
        wait_for(lambda: "wait for the next request" in problems(project.service))
        assert project.setup().endswith("-1")
    finally:
        server.failing = ""


def test_refresh__labels_of_unnamed_classes_come_and_go(
    adding: Service, server: FakeLabelStudio
) -> None:
    project = Project(adding, server, 0, NAMELESS)
    project.tasks = [server.task(project.id, image=server.upload(1)) for _ in range(3)]
    stored(project, project.setup(), project.tasks[0])  # without a model yet
    adding.fit(project.name)
    wait_for(lambda: has_labels(server.configs[project.id]))
    project.idle()
    project.xml = server.configs[project.id]
    wait_for(lambda: project.setup() == newest_version(project.folder))
    wait_for(lambda: held(server, project.tasks[0]) == [newest_version(project.folder)])
    unnamed = given(server, project.tasks[0])
    assert unnamed
    assert all(label.startswith("object ") for label in unnamed)
    # All classes get a name, and the last one takes the labels with it.
    model = project.folder.newest_model()
    assert model is not None
    exemplars = ExemplarFile(project.folder.names)
    for number in range(len(model.classes)):
        exemplars.name_class(
            number, "dog", centroids=model.classes, clusterer=model.config.strategy("clusterer")
        )
    wait_for(lambda: not has_labels(server.configs[project.id]))
    assert server.configs[project.id] == NAMELESS
    assert given(server, project.tasks[0]) == {"dog"}


def test_refresh__the_first_predictions_have_the_labels_of_their_classes(
    adding: Service, server: FakeLabelStudio
) -> None:
    project = Project(adding, server, 20, NAMELESS)
    project.setup()
    answers = project.predict()  # fits first
    labels = {i["value"]["brushlabels"][0] for answer in answers for i in answer["result"]}
    assert labels
    assert all(label.startswith("object ") for label in labels)
    assert has_labels(server.configs[project.id])
