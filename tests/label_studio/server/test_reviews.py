"""The review page of a project: what is named there reaches the predictions on the server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from prelabel.label_studio import project_folder
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.server import refresh, refreshed_project, reviews
from prelabel.label_studio.server.app import create_app
from prelabel.label_studio.server.guard import Access
from prelabel.label_studio.server.jobs import Job
from prelabel.label_studio.server.service import Service
from support.backend import PASSWORD, Project, problems
from support.fake_label_studio import BRUSH, FakeLabelStudio, Task, wait_for

pytestmark = pytest.mark.slow
XML = BRUSH.replace(' predicted_values="object 1"', "")
AUTH = f"label-studio:{PASSWORD}"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_folder, "_QUIET", -1.0)
    monkeypatch.setattr(refresh, "_EVERY", 0.05)
    monkeypatch.setattr(refresh, "_PAUSE", 0.0)
    monkeypatch.setattr(refreshed_project, "OPEN", 0.3)
    monkeypatch.setattr(reviews, "_LOOK_EVERY", 0.05)


class Page:
    """The page of a project, as a browser uses it."""

    def __init__(self, service: Service, project: Project) -> None:
        basic = base64.b64encode(AUTH.encode()).decode()
        self.http = TestClient(
            create_app(service, Access(AUTH)),
            base_url="http://127.0.0.1:9090",
            headers={"Authorization": f"Basic {basic}"},
        )
        self.path = f"/projects/{project.id}/review"
        self.token = wait_for(self._token)

    def _token(self) -> str:
        text = self.http.get(f"{self.path}/").text
        _, found, rest = text.partition('name="prelabel-token" content="')
        if not found:
            assert "opens by itself" in text
        return rest.partition('"')[0]

    def state(self) -> Any:
        return self.http.get(f"{self.path}/api/state").json()

    def edit(self, **facts: object) -> Any:
        headers = {"X-Prelabel-Token": self.token}
        return self.http.post(f"{self.path}/api/edits", json=facts, headers=headers)

    def push(self) -> None:
        headers = {"X-Prelabel-Token": self.token}
        assert self.http.post(f"{self.path}/api/push", headers=headers).status_code == 200
        wait_for(lambda: self.state()["push"]["state"] != "running")

    def applied(self) -> str:
        """Wait until the edits count; what the page says."""
        return str(
            wait_for(
                lambda: (found := self.state()["applying"])["state"] in ("idle", "failed") and found
            )["message"]
        )


def labels(server: FakeLabelStudio, task: Task) -> list[str]:
    """Of the newest prediction of a task."""
    result = server.tasks[task["id"]]["predictions"][-1]["result"]
    return [label for item in result for label in item["value"].get("brushlabels", ["none"])]


@pytest.fixture
def project(service: Service, server: FakeLabelStudio) -> Project:
    """Four tasks, predicted; one of them is annotated."""
    made = Project(service, server, 0, XML)
    made.tasks = [server.task(made.id, image=server.upload(1 + n)) for n in range(4)]
    made.fitted()
    for task, answer in zip(made.tasks, made.predict(), strict=True):
        server.store([{"task": task["id"], **answer}])
    server.shown[made.id] = made.setup()
    return made


@pytest.fixture
def page(service: Service, project: Project) -> Iterator[Page]:
    found = Page(service, project)
    yield found
    found.http.close()


def test_names__reach_every_prediction_and_no_annotation(
    page: Page, project: Project, server: FakeLabelStudio
) -> None:
    server.annotate(project.tasks[0]["id"], [])
    annotated = dict(server.tasks[project.tasks[0]["id"]])["annotations"]
    state = page.state()
    assert [label["name"] for label in state["labels"]] == ["cat", "dog"]
    assert {c["name"] for c in state["classes"]} == {""}
    before = [len(labels(server, task)) for task in project.tasks]
    [largest, *others] = [c["id"] for c in state["classes"]]
    assert page.edit(kind="name", classes=[largest, *others], name="dog").status_code == 200
    assert page.applied() == ""
    page.push()
    assert page.state()["push"]["state"] == "done", page.state()["push"]
    for task, n in zip(project.tasks, before, strict=True):
        assert labels(server, task) == ["dog"] * n
    assert server.tasks[project.tasks[0]["id"]]["annotations"] == annotated
    wait_for(lambda: all(len(server.tasks[t["id"]]["predictions"]) == 1 for t in project.tasks))
    assert page.state()["progress"]["named"] == sum(before)

    # What is nothing has no region, and the rest keeps its names.
    page.edit(kind="background", classes=[largest])
    assert page.applied() == ""
    page.push()
    left = [len(labels(server, task)) for task in project.tasks]
    count = next(c["count"] for c in state["classes"] if c["id"] == largest)
    assert sum(left) == sum(before) - count
    assert all(label == "dog" for task in project.tasks for label in labels(server, task))

    # And back.
    page.edit(kind="undo")
    assert page.applied() == ""
    page.push()
    assert [len(labels(server, task)) for task in project.tasks] == before


def test_names__survive_a_refit_and_a_new_review(page: Page, project: Project) -> None:
    page.edit(kind="name", classes=[c["id"] for c in page.state()["classes"]], name="cat")
    assert page.applied() == ""
    assert ExemplarFile(project.folder.names).revision == 1
    project.server.task(project.id, image=project.server.upload(9))
    project.service.fit(project.name)
    project.idle()
    wait_for(lambda: project.setup() and project.folder.state.model == project.folder.state.newest)
    project.service.reviews.stop()
    project.service.reviews._stopping.clear()
    again = Page(project.service, project)
    # A fit on so few photos finds some other regions; those that are the same keep their name.
    state = again.state()
    assert state["undo"] == []
    assert state["progress"]["regions"] >= 5
    assert state["progress"]["named"] >= 3


def test_a_name_without_a_label_says_what_to_do(
    page: Page, project: Project, service: Service
) -> None:
    page.edit(kind="name", classes=[page.state()["classes"][0]["id"]], name="unicorn")
    assert "no label 'unicorn': add it in Label Studio" in page.applied()
    assert "the review: the project has no label 'unicorn'" in problems(service)
    page.edit(kind="undo")
    wait_for(lambda: page.state()["applying"]["state"] == "idle")


def test_pages_that_cannot_be_opened_say_why(service: Service, server: FakeLabelStudio) -> None:
    basic = base64.b64encode(AUTH.encode()).decode()
    http = TestClient(create_app(service, Access(AUTH)), base_url="http://127.0.0.1:9090")
    assert http.get("/projects/1/review/").status_code == 401
    headers = {"Authorization": f"Basic {basic}"}
    answer = http.get("/projects/999/review/", headers=headers)
    assert (answer.status_code, "no project 999" in answer.text) == (400, True)
    made = Project(service, server, 1, XML)
    made.setup()
    path = f"/projects/{made.id}/review"
    text = wait_for(
        lambda: "no fitted model" in (t := http.get(f"{path}/", headers=headers).text) and t
    )
    assert "Content-Security-Policy" in http.get(f"{path}/", headers=headers).headers
    assert 'http-equiv="refresh"' in text
    waiting = http.get(f"{path}/api/state", headers=headers)
    assert (waiting.status_code, "no fitted model" in waiting.json()["error"]) == (503, True)


def test_pictures__come_from_the_project(page: Page) -> None:
    region = page.http.get(f"{page.path}/api/regions/0/photo").json()
    assert region["name"].endswith(".png")
    for path in ("regions/0/thumbnail", f"photos/{region['photo']}/image"):
        picture = page.http.get(f"{page.path}/api/{path}")
        assert picture.headers["content-type"] == "image/jpeg", picture.text


def test_regions__are_read_in_portions(
    project: Project, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    answer = service.reviews._answer

    def noted(job: Job) -> bytes:
        asked.append((job.context or {}).get("from"))
        return b'{"key": "", "done": 2, "total": 4}' if len(asked) == 1 else answer(job)

    monkeypatch.setattr(service.reviews, "_answer", noted)
    Page(service, project)
    assert asked == [0, 2]
