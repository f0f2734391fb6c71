"""Requests that nobody would send, to every route: none is answered with a fault or leaves a traceback."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from prelabel.label_studio.server.jobs import Job, JobResult, Urgency
from prelabel.label_studio.server.queue import Entry
from prelabel.label_studio.server.service import Service
from prelabel.label_studio.server.webhooks import HEADER, read_secret
from support.backend import predict_body, setup_body
from support.fake_label_studio import BRUSH, FakeLabelStudio

pytestmark = pytest.mark.slow
ROUTES = (
    "/", "/health", "/setup", "/predict", "/versions", "/webhook", "/fit", "/cancel", "/metrics",
)  # fmt: skip
NAMES = (
    "tasks", "project", "label_config", "params", "context", "result", "schema", "hostname",
    "access_token", "action", "task", "annotation", "annotations", "id", "data", "image", "value",
    "x", "y", "width", "created_at", "from_name", "to_name", "type", "rle",
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["1.1", "1.1767323045", "ANNOTATION_CREATED", "START_TRAINING", BRUSH, "<View>", "/a.png"]
    )
    | st.sampled_from(
        [
            2**63,
            -1,
            10**400,
            "\ud800",
            "\x00",
            "data:image/png;base64,AAAA",
            "1./../../x",
            "9" * 5000,
            "http://a..b",
        ]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=12,
)


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """A valid body in which some parts are replaced, left out or repeated."""
    if draw(st.integers(0, 7)) == 0:
        return draw(JSON)
    if isinstance(value, dict):
        kept = {k: draw(changed(v)) for k, v in value.items() if draw(st.integers(0, 9))}
        return kept | draw(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=1))
    if isinstance(value, list):
        return [draw(changed(v)) for v in value] * draw(st.integers(0, 3))
    return value


def bodies(server: FakeLabelStudio, project: str) -> st.SearchStrategy[bytes]:
    click = {"type": "keypointlabels", "from_name": "click", "to_name": "image"}
    value = {"x": 50, "y": 50, "width": 0.3, "keypointlabels": ["dog"]}
    task = {"id": 1, "project": 1, "data": {"image": "/data/upload/1.png"}, "annotations": []}
    number = int(project.partition(".")[0])
    whole: list[Any] = [
        setup_body(server, project),
        predict_body(project, [task]),
        predict_body(project, [task], context={"result": [{**click, "value": value}]}),
        {"action": "ANNOTATION_CREATED", "project": {"id": number}, "annotation": {"task": 1}},
        {"project": project},
    ]
    valid = st.sampled_from(whole).flatmap(changed).map(lambda body: json.dumps(body).encode())
    return st.one_of(valid, valid, JSON.map(lambda v: json.dumps(v).encode()), st.binary())


@pytest.fixture
def instant(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs and fits end at once."""

    def put(job: Job, urgency: Urgency) -> Entry:
        assert job.key
        entry = Entry(job, job.key, urgency)
        entry.result.set_result(JobResult(0, b"[]"))
        return entry

    monkeypatch.setattr(service.queue, "put", put)
    monkeypatch.setattr(service.fits, "fit_if_needed", lambda project: None)
    monkeypatch.setattr(service.fits, "first_fit", lambda *_, **__: True)
    monkeypatch.setattr(service.webhooks, "register", lambda *_: None)


class Faults(logging.Handler):
    """Records with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            self.found.append(self.format(record))


def test_routes__two_thousand_requests(
    instant: None, service: Service, server: FakeLabelStudio, open_http: TestClient
) -> None:
    project, _ = server.project(0)
    assert open_http.post("/setup", json=setup_body(server, project)).is_success
    known = service.projects.find(project)
    assert known
    secret = read_secret(known.folder)
    usual = st.fixed_dictionaries(
        {"Content-Type": st.just("application/json")}, optional={HEADER: st.just(secret)}
    )
    headers = st.fixed_dictionaries(
        {},
        optional={
            "Content-Type": st.sampled_from(["application/json"] * 5 + ["text/plain", ";", "é"]),
            HEADER: st.sampled_from([secret, secret, "", "x"]),
            "Authorization": st.sampled_from(["Basic", "Basic ====", "Bearer é", "Token x"]),
            "Content-Length": st.sampled_from(["x", "-1", "999999999999"]),
            "Host": st.sampled_from(["127.0.0.1", "[::1", "a b", "évil", ":0", "[]:x"]),
            "Origin": st.sampled_from(["http://127.0.0.1:9090", "null", "://"]),
        },
    )
    faults = Faults()
    logging.getLogger().addHandler(faults)
    statuses = set()

    @settings(
        max_examples=2000,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.sampled_from(["POST"] * 5 + ["GET", "HEAD", "PUT", "OPTIONS", "X"]),
        st.sampled_from(ROUTES)
        | st.sampled_from(["/webhook", "/predict", "/setup"])
        | st.text(max_size=8).map(lambda text: f"/{text}"),
        st.sampled_from(["", f"?project={project}", "?project=%00", "?project=1", "?%ff"]),
        usual | headers,
        bodies(server, project),
    )
    def check(method: str, path: str, query: str, head: dict[str, str], body: bytes) -> None:
        encoded = {k.encode(): v.encode("latin-1") for k, v in head.items()}
        address = path.replace("?", "").replace("#", "") + query
        try:
            request = open_http.build_request(method, address, headers=encoded, content=body)
        except Exception:  # what the client itself cannot say
            return
        answer = open_http.send(request)
        statuses.add(answer.status_code)
        assert answer.status_code < 500, answer.text

    try:
        check()
    finally:
        logging.getLogger().removeHandler(faults)
    assert faults.found == []
    assert {200, 201, 400, 403, 404, 405} <= statuses  # all parts were reached
