"""Who may use the backend, and that no secret leaves it."""

from __future__ import annotations

import logging
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from prelabel.label_studio.project_home import open_folder
from prelabel.label_studio.server.app import create_app
from prelabel.label_studio.server.guard import Access
from prelabel.label_studio.server.service import Service
from prelabel.label_studio.server.settings import Settings
from prelabel.label_studio.server.webhooks import HEADER, read_secret
from support.backend import PASSWORD, SCRIPT_TOKEN, predict_body, setup_body
from support.fake_label_studio import TOKEN, FakeLabelStudio, wait_for
from support.small_photos import tiny_config

# --- who may ask ---

ROUTES = [
    ("GET", "/"),
    ("POST", "/setup"),
    ("POST", "/predict"),
    ("GET", "/versions"),
    ("POST", "/versions"),
    ("POST", "/fit"),
    ("POST", "/cancel"),
    ("GET", "/metrics"),
    ("GET", "/nothing"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_auth__is_required_by_everything_but_health_and_webhook(
    method: str, path: str, http: TestClient
) -> None:
    for wrong in (
        {},
        {"Authorization": httpx.BasicAuth("label-studio", "wrong")._auth_header},
        {"Authorization": httpx.BasicAuth("", PASSWORD)._auth_header},
        {"Authorization": f"Basic {PASSWORD}"},
        {"Authorization": f"Bearer {PASSWORD}"},
        {"Authorization": f"Token {SCRIPT_TOKEN[:-1]}"},
        {"Authorization": SCRIPT_TOKEN},
        {"Authorization": "Basic"},
        {"Authorization": "Bearer "},
        # The path that counts is the one that is answered, whatever the host is called.
        {"Host": "a/health?"},
        {"Host": "a/webhook#"},
    ):
        answer = http.request(method, path, headers=wrong)
        assert answer.status_code == 401, wrong
        assert "password of this backend" in answer.json()["error"]
        assert answer.headers["www-authenticate"] == 'Basic realm="prelabel"'


def test_auth__password_or_token_is_right(http: TestClient) -> None:
    for headers in (
        {"Authorization": httpx.BasicAuth("label-studio", PASSWORD)._auth_header},
        {"Authorization": f"Bearer {SCRIPT_TOKEN}"},
        {"Authorization": f"token {SCRIPT_TOKEN}"},
    ):
        assert http.get("/versions", headers=headers).json() == {"versions": []}


def test_auth__health_needs_none_and_says_little(http: TestClient) -> None:
    answer = http.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "UP", "model_class": "PrelabelModel"}


def test_auth__with_a_token_alone_passwords_are_refused(service: Service) -> None:
    http = TestClient(create_app(service, Access(token=SCRIPT_TOKEN)))
    assert http.get("/versions", auth=("", "")).status_code == 401
    assert http.get("/versions", headers={"Authorization": f"Bearer {SCRIPT_TOKEN}"}).is_success


def test_auth__a_webhook_may_not_begin_a_fit(http: TestClient, open_http: TestClient) -> None:
    body = {"action": "START_TRAINING", "project": {"id": 1}}
    assert http.post("/webhook", json=body).json() == {"status": "ignored"}
    assert http.post("/webhook", json=body, auth=("label-studio", "wrong")).status_code == 401
    answer = http.post("/webhook", json=body, auth=("label-studio", PASSWORD))
    assert (answer.status_code, answer.json()) == (201, {"status": "unknown project"})
    assert open_http.post("/webhook", json=body).status_code == 201


def test_auth__a_page_of_another_site_may_not_ask(open_http: TestClient, http: TestClient) -> None:
    for origin in ("http://evil.example", "null", "http://testserver.evil.example"):
        for path in ("/fit?project=1", "/cancel?project=1", "/webhook", "/setup", "/predict"):
            answer = open_http.post(path, json={}, headers={"Origin": origin})
            assert answer.status_code == 403
            assert "another site" in answer.json()["error"]
    own = open_http.post("/fit?project=7.1", headers={"Origin": "http://127.0.0.1:9090"})
    assert own.status_code == 400
    assert "is not known" in own.json()["error"]


def test_auth__without_a_password_the_host_must_be_this_machine(
    open_http: TestClient, http: TestClient
) -> None:
    """A page on the internet may have its name pointed to 127.0.0.1 (DNS rebinding)."""
    for host in ("localhost:9090", "[::1]:9090", "10.0.0.5:9090", "host.docker.internal:9090"):
        assert open_http.get("/versions", headers={"Host": host}).status_code == 200
    for host in ("rebound.example.com:9090", "localhost@rebound.example.com", "a:b:c", ""):
        refused = open_http.get("/versions", headers={"Host": host})
        assert refused.status_code == 403
        assert "set a password" in refused.json()["error"]
    # With a password any name is allowed.
    headers = {"Host": "prelabel.example.com", "Authorization": f"Bearer {SCRIPT_TOKEN}"}
    assert http.get("/versions", headers=headers).status_code == 200


@pytest.mark.slow
def test_secrets__are_in_no_log_error_page_or_figure(
    server: FakeLabelStudio,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PRELABEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    caplog.set_level(logging.DEBUG)
    secret = "revoked0000000000000000000000000000000000"
    app = create_app(
        Service(Settings(tiny_config())), Access(f"label-studio:{PASSWORD}", SCRIPT_TOKEN)
    )
    with TestClient(app) as http:  # and stops the service
        http.auth = ("label-studio", PASSWORD)
        project, tasks = server.project(2)
        texts = [http.post("/setup", json=setup_body(server, project, access_token=secret)).text]
        other = server.project(0)[0]
        address = f"http://admin:{secret}@127.0.0.1:1"
        texts.append(http.post("/setup", json=setup_body(server, other, hostname=address)).text)
        texts.append(http.post("/predict", json=predict_body(project, tasks)).text)
        wrong = ("label-studio", secret)
        texts.append(http.get("/", auth=wrong).text)
        texts.append(http.post("/setup", content=f'{{"access_token": "{secret}"').text)
        texts.append(
            http.post("/webhook", json={"action": "ANNOTATION_CREATED", "project": secret}).text
        )
        number = int(project.partition(".")[0])
        event = {"project": {"id": number}, "task": {"id": tasks[0]["id"]}}
        webhook = read_secret(open_folder(server.url, str(number)))
        body = {"action": "ANNOTATION_CREATED", **event}
        texts.append(http.post("/webhook", json=body, headers={HEADER: webhook}).text)
        wait_for(lambda: "refuses the token" in http.get("/").text)
        texts += [http.get("/").text, http.get("/metrics").text, http.get("/versions").text]
    out, err = capfd.readouterr()
    files = [f.read_text("utf-8") for f in tmp_path.rglob("*.json*") if f.is_file()]
    assert len(files) >= 1
    for text in (*texts, out, err, caplog.text, *files):
        for each in (secret, PASSWORD, SCRIPT_TOKEN, TOKEN, webhook):
            assert each not in text
