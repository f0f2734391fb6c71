"""The backend's page: how far each project is, in plain words."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from prelabel.label_studio.server.service import Service
from prelabel.label_studio.server.status import queue_words
from support.backend import Project, setup_body
from support.fake_label_studio import BRUSH, FakeLabelStudio, wait_for


@pytest.mark.parametrize(
    ("sizes", "restarts", "words"),
    [
        ({"opened": 0, "at work": 0}, 0, ["Nothing waits."]),
        (
            {"opened": 2, "background": 3, "at work": 4},
            1,
            [
                "Waiting: 2 photos that somebody has opened, 3 photos that nobody waits for.",
                "At work on 4 now.",
                "The worker's process has died once since the start, and was started again.",
            ],
        ),
    ],
)
def test_queue_words(sizes: dict[str, int], restarts: int, words: list[str]) -> None:
    assert queue_words(sizes, restarts) == words


@pytest.mark.slow
def test_page__what_a_team_lead_asks(
    open_http: TestClient, service: Service, server: FakeLabelStudio
) -> None:
    project = Project(service, server, 4, BRUSH.replace(' predicted_values="object 1"', ""))
    project.fitted()
    for task, answer in zip(project.tasks[:3], project.predict(*project.tasks[:3]), strict=True):
        server.store([{"task": task["id"], **answer}])
    server.titles[project.id] = "Cats & <dogs>"
    server.annotate(project.tasks[0]["id"], [])
    service.overviews._looked_at.clear()

    def shown() -> str:
        text = open_http.get("/").text
        return text if "Cats &amp; &lt;dogs&gt;" in text else ""

    text = str(wait_for(shown))
    for words in (
        "<dd>4</dd>",  # photos
        "<dd>3</dd>",  # predicted
        "<dd>1</dd>",  # corrected
        "classes named",
        "Without a name: object 1",
        "Model fitted ",
        " on 4 photos; no names yet",
        f'href="projects/{project.name}/review/"',
        "Weights none (colour and texture).",
        "Nothing waits.",
    ):
        assert words in text, words


def test_page__refused_connections_have_their_reasons(
    open_http: TestClient, server: FakeLabelStudio
) -> None:
    name, _ = server.project(0)
    answer = open_http.post("/setup", json=setup_body(server, name, "<View/>"))
    assert answer.status_code == 400
    refused = open_http.get("/").text.partition("Refused connections")[2].partition("<h2>")[0]
    assert f"project {name} cannot be connected: label config" in refused
