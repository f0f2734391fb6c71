"""Webhooks: which are trusted, how Label Studio gets the secret, and what a stranger can do."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from prelabel.label_studio.project_home import open_folder
from prelabel.label_studio.server import webhooks
from prelabel.label_studio.server.jobs import Job, JobResult, Urgency
from prelabel.label_studio.server.queue import Entry
from prelabel.label_studio.server.service import Service
from prelabel.label_studio.server.webhooks import HEADER, read_secret
from support.backend import PASSWORD, problems, setup_body
from support.fake_label_studio import FakeLabelStudio, wait_for


class Harness:
    """A project that was set up. ``learned``: the tasks that were queued to be learned from."""

    def __init__(
        self, service: Service, server: FakeLabelStudio, patch: pytest.MonkeyPatch
    ) -> None:
        self.service, self.server = service, server
        self.name, _ = server.project(0)
        self.id = int(self.name.partition(".")[0])
        self.learned: list[int] = []
        patch.setattr(service.queue, "put", self._put)
        patch.setattr(service.fits, "fit_if_needed", lambda project: None)

    def _put(self, job: Job, urgency: Urgency) -> Entry:
        if job.kind == "learn":
            assert urgency is Urgency.LEARN
            self.learned.append(job.task_id)
        entry = Entry(job, job.key, urgency)
        entry.result.set_result(JobResult(0, b"[]"))
        return entry

    def connect(self, http: TestClient) -> str:
        """As Label Studio does; the secret."""
        webhook = self.server.webhook(self.id, f"{str(http.base_url).rstrip('/')}/webhook")
        assert http.post("/setup", json=setup_body(self.server, self.name)).is_success
        return str(wait_for(lambda: webhook["headers"].get(HEADER)))

    def event(self, *tasks: int, action: str = "ANNOTATION_CREATED") -> dict[str, Any]:
        annotations = [{"task": task} for task in tasks]
        return {"action": action, "project": {"id": self.id}, "annotations": annotations}


@pytest.fixture
def harness(service: Service, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch) -> Harness:
    return Harness(service, server, monkeypatch)


def test_webhook__label_studio_is_given_the_secret(harness: Harness, open_http: TestClient) -> None:
    other = harness.server.webhook(harness.id, "http://127.0.0.1:7777/webhook")
    secret = harness.connect(open_http)
    assert other["headers"] == {}  # of another backend
    answer = open_http.post("/webhook", json=harness.event(5), headers={HEADER: secret})
    assert (answer.status_code, answer.json()) == (201, {"status": "learning", "tasks": 1})
    assert harness.learned == [5]


@pytest.mark.parametrize("secret", ["", "x", "\xe9", "0" * 100_000])
def test_webhook__without_the_secret_nothing_happens(
    secret: str, harness: Harness, open_http: TestClient, http: TestClient
) -> None:
    harness.connect(open_http)
    before = problems(harness.service)
    for client in (open_http, http):
        for _ in range(3):
            headers = {HEADER.encode(): secret.encode("latin-1")}
            answer = client.post("/webhook", json=harness.event(5), headers=headers)
            assert (answer.status_code, answer.json()) == (200, {"status": "ignored"})
    assert harness.learned == []
    assert problems(harness.service) == before
    metrics = open_http.get("/metrics").text
    assert 'prelabel_webhooks_total{outcome="no secret"}' in metrics


def test_webhook__the_body_of_a_stranger_is_not_read(http: TestClient) -> None:
    def body() -> Iterator[bytes]:
        yield b"{"
        raise AssertionError("more was asked for")

    # The test client sends a stream only when it is asked for.
    answer = http.post("/webhook", content=body(), headers={"Content-Type": "application/json"})
    assert answer.json() == {"status": "ignored"}


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"task": "x"}'])
def test_webhook__that_is_not_valid_is_not_refused(
    content: bytes, harness: Harness, open_http: TestClient
) -> None:
    headers = {HEADER: harness.connect(open_http), "Content-Type": "application/json"}
    answer = open_http.post("/webhook", content=content, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"status": "ignored"})


def test_webhook__a_secret_is_for_its_project_alone(
    harness: Harness, open_http: TestClient, service: Service
) -> None:
    secret = harness.connect(open_http)
    event = {**harness.event(5), "project": {"id": harness.id + 1}}
    open_http.post("/webhook", json=event, headers={HEADER: secret})
    assert harness.learned == [5]  # of the project with the secret, where no task 5 may be


def test_webhook__a_password_is_trusted_too(harness: Harness, http: TestClient) -> None:
    http.auth = ("label-studio", PASSWORD)
    harness.connect(http)
    assert http.post("/webhook", json=harness.event(5)).status_code == 201
    assert harness.learned == [5]


def test_webhook__a_flood_of_tasks_is_limited(
    harness: Harness, open_http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "_BURST", 10.0)
    headers = {HEADER: harness.connect(open_http)}
    answer = open_http.post("/webhook", json=harness.event(*range(25)), headers=headers)
    assert answer.json() == {"status": "learning", "tasks": 10}
    answer = open_http.post("/webhook", json=harness.event(1), headers=headers)
    assert answer.json()["tasks"] == 0
    assert len(harness.learned) == 10
    assert "15 tasks are learned from by the next fit only" in problems(harness.service)


def test_register__says_when_label_studio_has_no_webhook(
    harness: Harness, open_http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "_WAITS", (0.0, 0.01))
    assert open_http.post("/setup", json=setup_body(harness.server, harness.name)).is_success
    wait_for(
        lambda: f"project {harness.id}: Label Studio has no webhook" in problems(harness.service)
    )


def test_register__behind_a_proxy_the_only_webhook_is_ours(
    harness: Harness, open_http: TestClient
) -> None:
    webhook = harness.server.webhook(harness.id, "https://prelabel.example.com/ml/webhook")
    webhook["headers"] = {"X-Other": "1"}
    webhook["actions"] = ["ANNOTATION_CREATED"]
    assert open_http.post("/setup", json=setup_body(harness.server, harness.name)).is_success
    wait_for(lambda: webhook["headers"].get(HEADER))
    assert webhook["headers"]["X-Other"] == "1"
    assert webhook["actions"] == ["ANNOTATION_CREATED"]


def test_read_secret__is_made_once_and_for_its_owner(own_folders: object) -> None:
    folder = open_folder("http://127.0.0.1:1", "1")
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(read_secret, [folder] * 8))
    (secret,) = found
    assert len(secret) > 40
    file = folder.path / "webhook-secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_secret(open_folder("http://127.0.0.1:1", "2")) != secret


@pytest.mark.parametrize("content", [b"", b"\n", b"x", b"\xff" * 43])
def test_read_secret__another_file_in_its_place_is_no_secret(
    own_folders: object, content: bytes
) -> None:
    """As after a full disk: with an empty secret, whoever sends none would be trusted."""
    folder = open_folder("http://127.0.0.1:1", "1")
    read_secret(folder)
    (folder.path / "webhook-secret").write_bytes(content)
    secret = read_secret(folder)
    assert len(secret) > 40
    assert (folder.path / "webhook-secret").read_text() == secret


def test_webhook__without_a_secret_on_disk_nobody_has_it(
    open_http: TestClient, harness: Harness
) -> None:
    folder = open_folder(harness.server.url, str(harness.id))
    (folder.path / "webhook-secret").mkdir(parents=True)
    assert open_http.post("/setup", json=setup_body(harness.server, harness.name)).is_success
    answer = open_http.post("/webhook", json={"action": "ANNOTATION_CREATED"})
    assert (answer.status_code, answer.json()) == (200, {"status": "ignored"})
