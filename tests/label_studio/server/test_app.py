"""The backend's HTTP in this process, against a Label Studio on loopback."""

from __future__ import annotations

import pickle
import threading
from typing import Any, NoReturn

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from prelabel.errors import UserError
from prelabel.label_studio.fit import FitRequest
from prelabel.label_studio.format import config_tags, label_config
from prelabel.label_studio.format.config_tags import Tag
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.project_home import open_folder
from prelabel.label_studio.server.fits import Fit
from prelabel.label_studio.server.jobs import Job, JobResult, Urgency
from prelabel.label_studio.server.queue import Entry
from prelabel.label_studio.server.service import Service
from prelabel.label_studio.server.webhooks import HEADER, read_secret
from support.backend import newest_version, predict_body, setup_body
from support.fake_label_studio import BRUSH, FakeLabelStudio, wait_for

UNUSABLE = '<View><Image name="image" value="$image"/><Choices name="c" toName="image"/></View>'


# --- requests that are not valid ---


def test_request__too_large_says_what_to_do(open_http: TestClient) -> None:
    answer = open_http.post("/predict", json={"tasks": ["x" * 60_000]})
    assert answer.status_code == 400
    assert "--max-request-mb" in answer.json()["error"]


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        (b"{", "application/json", "is not JSON"),
        (b"", "application/json", "is not JSON"),
        (b"\xff\xfe", "application/json", "is not JSON"),
        (b'{"x":' * 5_000 + b"1" + b"}" * 5_000, "application/json", "nested too deeply"),
        (b"[]", "application/json; charset=utf-8", "is not a JSON object"),
        (b"{}", "text/plain", "text/plain: expected application/json"),
        (b"a=1", "", "not given: expected application/json"),
    ],
)
@pytest.mark.parametrize("path", ["/setup", "/predict", "/versions"])
def test_request__without_a_json_object_says_so(
    path: str, content: bytes, kind: str, says: str, open_http: TestClient
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = open_http.post(path, content=content, headers=headers)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


@pytest.mark.parametrize("tasks", [None, 5, {}, [5], [{}], [{"id": "1"}], [{"id": None}]])
def test_predict__tasks_without_ids_say_so(tasks: Any, open_http: TestClient) -> None:
    answer = open_http.post("/predict", json={"tasks": tasks, "project": "1.1"})
    assert answer.status_code == 400
    assert "expected a list of tasks with an id each" in answer.json()["error"]


def test_setup__an_unusable_label_config_says_why(
    open_http: TestClient, server: FakeLabelStudio
) -> None:
    project, _ = server.project(0)
    for xml, says in (
        (UNUSABLE, "Choices"),
        ("<View>", "XML"),
        ("", "XML"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><View>&a;</View>", "DOCTYPE"),
    ):
        answer = open_http.post("/setup", json=setup_body(server, project, xml))
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("label config: ")
        assert says in answer.json()["error"]


def test_predict__an_unusable_label_config_says_so(
    open_http: TestClient, server: FakeLabelStudio
) -> None:
    project, _ = server.project(0)
    assert open_http.post("/setup", json=setup_body(server, project)).is_success
    for xml in (UNUSABLE, "<View>"):
        answer = open_http.post("/predict", json=predict_body(project, [], xml))
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("label config: ")


def test_predict__an_unknown_project_says_what_to_do(open_http: TestClient) -> None:
    answer = open_http.post("/predict", json=predict_body("77.1", [{"id": 1, "data": {}}]))
    assert answer.status_code == 400
    assert "Settings, Model" in answer.json()["error"]


def test_predict__without_a_project_takes_that_of_the_tasks(open_http: TestClient) -> None:
    tasks = [{"id": 1, "data": {}}, {"id": 2, "project": 78}, {"id": 3, "project": 79}]
    answer = open_http.post("/predict", json=predict_body("", tasks))
    assert "'78' is not known" in answer.json()["error"]


def test_webhook__is_never_refused_for_what_is_wrong_with_the_project(
    open_http: TestClient,
    server: FakeLabelStudio,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Label Studio switches off webhooks that fail."""

    def request(*_: object, **__: object) -> NoReturn:
        raise UserError("project.json is damaged")

    monkeypatch.setattr(service.fits, "request", request)
    project, _ = server.project(0)
    assert open_http.post("/setup", json=setup_body(server, project)).is_success
    number = int(project.partition(".")[0])
    body = {"action": "START_TRAINING", "project": {"id": number}}
    answer = open_http.post("/webhook", json=body)
    assert (answer.status_code, answer.json()) == (201, {"status": "failed"})
    assert "project.json is damaged" in open_http.get("/").text


def test_full_disk__is_reported_with_what_to_do(
    open_http: TestClient, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(28, "No space left on device", "project.json")

    monkeypatch.setattr(ProjectFolder, "update", full)
    project, _ = server.project(0)
    answer = open_http.post("/setup", json=setup_body(server, project))
    assert answer.status_code == 500
    assert "No space left on device" in answer.json()["error"]
    assert "see whether there is room" in answer.json()["error"]


# --- the label config ---


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every label config that is parsed in this process, but for what the background refreshes."""
    found: list[str] = []
    read = config_tags.read_tags

    def counted(xml: str) -> list[Tag]:
        if not threading.current_thread().name.startswith("refresh"):
            found.append(xml)
        return read(xml)

    monkeypatch.setattr(label_config, "read_tags", counted)
    return found


def test_label_config__is_parsed_once_a_request(
    open_http: TestClient,
    server: FakeLabelStudio,
    service: Service,
    parses: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the number of tasks; the jobs of the worker and the fits carry what was parsed."""
    put: list[Job] = []
    requested: list[FitRequest] = []

    def request(fit: FitRequest) -> Fit:
        requested.append(fit)
        return Fit(fit)

    def finish(job: Job, urgency: Urgency) -> Entry:
        put.append(job)
        entry = Entry(job, job.key, urgency)
        entry.result.set_result(JobResult(0, b"[]"))
        return entry

    monkeypatch.setattr(service.fits, "fit_if_needed", lambda project: None)
    monkeypatch.setattr(service.fits._fits, "request", request)
    monkeypatch.setattr(service.queue, "put", finish)
    project, tasks = server.project(6)
    number = int(project.partition(".")[0])
    event = {"action": "ANNOTATION_CREATED", "project": {"id": number}, "task": {"id": 1}}
    other = BRUSH.replace("dog", "yak")
    click = {"result": [{"from_name": "click", "to_name": "image", "value": {"x": 5, "y": 5}}]}
    for path, body, expected in (
        ("/setup", setup_body(server, project), [BRUSH]),
        ("/predict", predict_body(project, tasks), [BRUSH]),
        ("/predict", predict_body(project, tasks, other), [other]),
        ("/predict", predict_body(project, tasks[:1], context=click), [BRUSH]),
        ("/predict", predict_body(project, tasks, ""), []),  # as /setup gave it
        (f"/fit?project={project}", {}, []),
    ):
        parses.clear()
        assert open_http.post(path, json=body, follow_redirects=False).status_code < 400
        assert parses == expected, path
    parses.clear()
    secret = read_secret(open_folder(server.url, str(number)))
    assert open_http.post("/webhook", json=event, headers={HEADER: secret}).status_code == 201
    assert parses == []
    assert [job.kind for job in put].count("predict") == 18
    assert {job.kind for job in put} == {"load", "predict", "interactive", "learn"}
    assert requested[-1].label_config == put[0].label_config
    for carrier in (put[0], requested[-1]):
        assert pickle.loads(pickle.dumps(carrier)) == carrier


# --- the contract, with a worker and a fit ---


@pytest.mark.slow
def test_contract__from_setup_to_the_next_version(
    open_http: TestClient, server: FakeLabelStudio, service: Service
) -> None:
    http = open_http
    project, tasks = server.project(4)
    before = http.post("/setup", json=setup_body(server, project)).json()["model_version"]
    assert before.startswith("image-level-")
    answer = http.post("/predict", json=predict_body(project, tasks[:1])).json()
    assert [r["model_version"] for r in answer["results"]] == [before]
    number = int(project.partition(".")[0])
    folder = open_folder(server.url, str(number))
    assert f"{server.url}/projects/{number}/data" in http.get("/").text

    def setup() -> str:
        return str(http.post("/setup", json=setup_body(server, project)).json()["model_version"])

    wait_for(lambda: folder.state.newest)
    wait_for(lambda: setup() == newest_version(folder))
    after = setup()

    broken = server.task(1, image=server.upload(4000, b"broken"))
    results = http.post(
        "/predict", json=predict_body(project, [tasks[0], broken, server.task(1, text="none")])
    ).json()["results"]
    assert results[0]["model_version"] == after
    assert results[1:] == [[], []]
    assert f"task {broken['id']}: " in http.get("/").text

    # Both ways to ask, with and without the project.
    assert after in http.get("/versions").json()["versions"]
    versions = http.post("/versions", json={"project": project}).json()["versions"]
    assert versions == [after, before]

    training = {"action": "START_TRAINING", "project": {"id": number}}
    assert http.post("/webhook", json=training).json().keys() == {"stage", "done", "total"}
    cancelled = http.post(f"/cancel?project={project}", follow_redirects=False)
    assert (cancelled.status_code, cancelled.headers["location"]) == (303, "./")


def test_metrics__can_be_parsed(open_http: TestClient) -> None:
    open_http.get("/health")
    open_http.get("/nothing/here")
    text = open_http.get("/metrics").text
    families = {
        f.name: f for f in text_string_to_metric_families(text) if not f.name.endswith("_created")
    }
    assert families.keys() == {
        "prelabel_request_seconds",
        "prelabel_jobs",
        "prelabel_not_ready",
        "prelabel_webhooks",
        "prelabel_fits",
        "prelabel_queue",
        "prelabel_worker_restarts",
    }
    counts = {
        (s.labels["path"], s.labels["status"]): s.value
        for s in families["prelabel_request_seconds"].samples
        if s.name.endswith("_count")
    }
    assert counts["/health", "200"] >= 1
    assert counts["other", "404"] >= 1  # not a label for each path that somebody makes up
    urgencies = {s.labels["urgency"] for s in families["prelabel_queue"].samples}
    expected = {"interactive", "opened", "batch", "learn", "background", "fetching", "at work"}
    assert urgencies == expected


def test_page__shows_problems_as_text(open_http: TestClient, service: Service) -> None:
    service.problems.add("<script>alert(1)</script>")
    page = open_http.get("/")
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
