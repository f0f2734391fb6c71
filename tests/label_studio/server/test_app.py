"""The backend's HTTP, in this process and as ``prelabel serve``, against a Label Studio that is
played."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from prelabel.label_studio.demo.local_server import free_port
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.server.app import create_app
from prelabel.label_studio.server.guard import Access
from prelabel.label_studio.server.service import Service
from prelabel.label_studio.server.settings import Settings
from support.fake_label_studio import BRUSH, TOKEN, FakeLabelStudio, wait_for
from support.small_photos import tiny_config

PASSWORD, SCRIPT = "correct-horse-battery", "s3cr3t-script-token"
BASIC = f"label-studio:{PASSWORD}"
UNUSABLE = '<View><Image name="image" value="$image"/><Choices name="c" toName="image"/></View>'
COMMAND = (sys.executable, "-m", "prelabel", "serve")
TINY = ("--recipe", "fast", "--backbone", "color-texture", "--set", "features.size=112")


@pytest.fixture
def open_http(service: Service) -> TestClient:
    """Without a password; the service outlives it."""
    return TestClient(
        create_app(service, Access(max_bytes=50_000)), base_url="http://127.0.0.1:9090"
    )


@pytest.fixture
def http(service: Service) -> TestClient:
    """With a password and a token."""
    return TestClient(create_app(service, Access(BASIC, SCRIPT)))


def setup_body(
    server: FakeLabelStudio, project: str, xml: str = BRUSH, **more: object
) -> dict[str, object]:
    facts = {"project": project, "schema": xml, "hostname": server.url, "access_token": TOKEN}
    return {**facts, "extra_params": None, **more}


def predict_body(
    project: str, tasks: list[Any], xml: str = BRUSH, context: object = None
) -> dict[str, object]:
    params = {"login": None, "password": None, "context": context}
    return {"tasks": tasks, "project": project, "label_config": xml, "params": params}


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
def test_auth__everything_but_health_and_webhook_wants_it(
    method: str, path: str, http: TestClient
) -> None:
    for wrong in (
        {},
        {"Authorization": httpx.BasicAuth("label-studio", "wrong")._auth_header},
        {"Authorization": httpx.BasicAuth("", PASSWORD)._auth_header},
        {"Authorization": f"Basic {PASSWORD}"},
        {"Authorization": f"Bearer {PASSWORD}"},
        {"Authorization": f"Token {SCRIPT[:-1]}"},
        {"Authorization": SCRIPT},
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
        {"Authorization": f"Bearer {SCRIPT}"},
        {"Authorization": f"token {SCRIPT}"},
    ):
        assert http.get("/versions", headers=headers).json() == {"versions": []}


def test_auth__health_is_free_and_says_nothing(http: TestClient) -> None:
    answer = http.get("/health")
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "UP", "model_class": "PrelabelModel"},
    )


def test_auth__a_token_alone_lets_no_password_in(service: Service) -> None:
    http = TestClient(create_app(service, Access(token=SCRIPT)))
    assert http.get("/versions", auth=("", "")).status_code == 401
    assert http.get("/versions", headers={"Authorization": f"Bearer {SCRIPT}"}).is_success


def test_auth__a_webhook_may_not_begin_a_fit(http: TestClient, open_http: TestClient) -> None:
    body = {"action": "START_TRAINING", "project": {"id": 1}}
    assert http.post("/webhook", json=body).status_code == 401
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


# --- what is no request ---


def test_auth__without_a_password_the_host_must_be_this_machine(
    open_http: TestClient, http: TestClient
) -> None:
    """A page on the internet may have its name pointed to 127.0.0.1 (DNS rebinding)."""
    for host in ("localhost:9090", "[::1]:9090", "10.0.0.5:9090", "host.docker.internal:9090"):
        assert open_http.get("/versions", headers={"Host": host}).status_code == 200
    refused = open_http.get("/versions", headers={"Host": "rebound.example.com:9090"})
    assert refused.status_code == 403
    assert "set a password" in refused.json()["error"]
    # With one, any name will do: Label Studio knows it by some.
    headers = {"Host": "prelabel.example.com", "Authorization": f"Bearer {SCRIPT}"}
    assert http.get("/versions", headers=headers).status_code == 200


def test_request__too_large_says_what_to_do(open_http: TestClient) -> None:
    answer = open_http.post("/predict", json={"tasks": ["x" * 60_000]})
    assert answer.status_code == 400
    assert "has more than 0 MB: send fewer tasks" in answer.json()["error"]


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        (b"{", "application/json", "is not JSON"),
        (b"", "application/json", "is not JSON"),
        (b"\xff\xfe", "application/json", "is not JSON"),
        (b"[" * 20_000, "application/json", "is not JSON"),
        (b"[]", "application/json; charset=utf-8", "is not a JSON object"),
        (b"{}", "text/plain", "text/plain: expected application/json"),
        (b"a=1", "", "not given: expected application/json"),
    ],
)
@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook", "/versions"])
def test_request__no_json_says_so(
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


def test_setup__no_usable_tag_is_the_parsers_error(
    open_http: TestClient, server: FakeLabelStudio
) -> None:
    project, _ = server.project(0)
    for xml, says in (
        (UNUSABLE, "no tag that can hold masks, found View, Image, Choices; expected BrushLabels"),
        ("<View>", "well-formed XML"),
        ("", "well-formed XML"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><View>&a;</View>", "DOCTYPE"),
    ):
        answer = open_http.post("/setup", json=setup_body(server, project, xml))
        assert answer.status_code == 400
        assert says in answer.json()["error"]


def test_predict__an_unusable_config_is_the_parsers_error_too(
    open_http: TestClient, server: FakeLabelStudio
) -> None:
    project, _ = server.project(0)
    assert open_http.post("/setup", json=setup_body(server, project)).is_success
    for xml in (UNUSABLE, "<View>"):
        answer = open_http.post("/predict", json=predict_body(project, [], xml))
        assert answer.status_code == 400
        assert "label config: no" in answer.json()["error"]


def test_predict__an_unknown_project_says_what_to_do(open_http: TestClient) -> None:
    answer = open_http.post("/predict", json=predict_body("77.1", [{"id": 1, "data": {}}]))
    assert answer.status_code == 400
    assert "open Settings, Model in Label Studio" in answer.json()["error"]


def test_full_disk__is_told_with_what_to_do(
    open_http: TestClient, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device", "project.json")

    monkeypatch.setattr(ProjectFolder, "update", full)
    project, _ = server.project(0)
    answer = open_http.post("/setup", json=setup_body(server, project))
    assert answer.status_code == 500
    assert "No space left on device" in answer.json()["error"]
    assert "see whether there is room" in answer.json()["error"]


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
    home = ProjectFolder.of(server.url, int(project.partition(".")[0]))
    wait_for(lambda: home.state.newest)
    wait_for(lambda: not any(p["fit"] for p in service.status()["projects"]))
    page = http.get("/").text
    assert "A newer model goes live when Label Studio asks next." in page
    assert f"{server.url}/projects/{project.partition('.')[0]}/data" in page
    after = http.post("/setup", json=setup_body(server, project)).json()["model_version"]
    assert after == f"{home.state.newest}-0"

    broken = server.task(1, image=server.upload(4000, b"broken"))
    results = http.post(
        "/predict", json=predict_body(project, [tasks[0], broken, server.task(1, text="none")])
    ).json()["results"]
    assert results[0]["model_version"] == after
    assert results[1:] == [[], []]
    assert "is not a picture that can be decoded" in http.get("/").text

    # Both ways to ask, with and without the project.
    assert after in http.get("/versions").json()["versions"]
    versions = http.post("/versions", json={"project": project}).json()["versions"]
    assert versions == [after, before]

    began = http.post(
        "/webhook", json={"action": "START_TRAINING", "project": {"id": home_id(home)}}
    )
    assert began.json().keys() == {"stage", "done", "total"}
    cancelled = http.post(f"/cancel?project={project}", follow_redirects=False)
    assert (cancelled.status_code, cancelled.headers["location"]) == (303, "./")


def home_id(home: ProjectFolder) -> int:
    return int(home.path.name)


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
    assert urgencies == {"interactive", "opened", "batch", "background", "at work"}


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
    app = create_app(Service(Settings(tiny_config())), Access(BASIC, SCRIPT))
    with TestClient(app) as http:  # and stops the service
        http.auth = ("label-studio", PASSWORD)
        project, tasks = server.project(2)
        said = [http.post("/setup", json=setup_body(server, project, access_token=secret)).text]
        other = server.project(0)[0]
        address = f"http://admin:{secret}@127.0.0.1:1"
        said.append(http.post("/setup", json=setup_body(server, other, hostname=address)).text)
        said.append(http.post("/predict", json=predict_body(project, tasks)).text)
        wrong = ("label-studio", secret)
        said.append(http.get("/", auth=wrong).text)
        said.append(http.post("/setup", content=f'{{"access_token": "{secret}"').text)
        said.append(
            http.post("/webhook", json={"action": "ANNOTATION_CREATED", "project": secret}).text
        )
        number = int(project.partition(".")[0])
        event = {"project": {"id": number}, "task": {"id": tasks[0]["id"]}}
        said.append(http.post("/webhook", json={"action": "ANNOTATION_CREATED", **event}).text)
        wait_for(lambda: "refuses the token" in http.get("/").text)
        said += [http.get("/").text, http.get("/metrics").text, http.get("/versions").text]
        time.sleep(0.5)
    out, err = capfd.readouterr()
    files = [f.read_text("utf-8") for f in tmp_path.rglob("*.json*") if f.is_file()]
    assert len(files) >= 1
    for text in (*said, out, err, caplog.text, *files):
        for each in (secret, PASSWORD, SCRIPT, TOKEN):
            assert each not in text


# --- prelabel serve ---


@contextmanager
def serving(
    folder: Path, server: FakeLabelStudio, **more: str
) -> Iterator[tuple[Any, httpx.Client]]:
    """The command in a process group of its own, and a client for it."""
    port = free_port(0)
    environment = {
        **os.environ,
        "PRELABEL_HOME": str(folder / "home"),
        "PRELABEL_CACHE": str(folder / "cache"),
        **more,
    }
    process = subprocess.Popen(
        [*COMMAND, *TINY, "--port", str(port)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            wait_for(lambda: process.poll() is not None or _up(client))
            assert process.poll() is None, process.stdout and process.stdout.read()
            yield process, client
    finally:
        for pid in group(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()


def _up(client: httpx.Client) -> bool:
    try:
        return client.get("/health").is_success
    except httpx.TransportError:
        return False


def group(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and state != "Z":
            found.append(int(folder.name))
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")


@pytest.mark.slow
def test_serve__beyond_this_machine_wants_a_password() -> None:
    for arguments, says in (
        (["--host", "0.0.0.0"], "set PRELABEL_BASIC_AUTH"),
        (["--basic-auth", "no-password"], "--basic-auth: expected USER:PASSWORD"),
        (["--basic-auth", ":x"], "--basic-auth: expected USER:PASSWORD"),
    ):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PRELABEL_")}
        done = subprocess.run(
            [*COMMAND, *TINY, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 2
        assert says in " ".join(done.stderr.split())


@pytest.mark.slow
def test_serve__a_token_goes_to_the_server_that_it_is_for() -> None:
    """Not to whatever address somebody's /setup names."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LABEL_STUDIO")}
    done = subprocess.run(
        [sys.executable, "-m", "prelabel", "serve"],
        env={**environment, "LABEL_STUDIO_API_KEY": "0" * 40},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "LABEL_STUDIO_URL is not" in done.stderr
    assert "0" * 40 not in done.stderr


@pytest.mark.slow
@needs_proc
def test_serve__interrupted_ends_with_all_its_processes(
    server: FakeLabelStudio, tmp_path: Path
) -> None:
    with serving(tmp_path, server) as (process, http):
        project, tasks = server.project(4)
        server.asked.clear()
        assert http.post("/setup", json=setup_body(server, project)).is_success
        server.held = "/api/projects|/data/upload"
        try:
            # A fit, predictions and a look at the project are under way, and none comes to an end.
            with ThreadPoolExecutor(1) as clients:
                waiting = clients.submit(http.post, "/predict", json=predict_body(project, tasks))
                wait_for(lambda: server.count("/data/upload") and server.count("/api/projects"))
                wait_for(lambda: len(group(process.pid)) >= 3)
                began = time.monotonic()
                os.kill(process.pid, signal.SIGINT)
                process.wait(10)
                wait_for(lambda: not group(process.pid), seconds=10)
                assert time.monotonic() - began < 10
                assert waiting.exception(10) or waiting.result(10).status_code == 503
        finally:
            server.held = ""
        said = process.stdout.read()
        assert "Traceback" not in said, said


@pytest.mark.slow
@needs_proc
def test_serve__killed_during_a_fit_takes_its_processes_along_and_begins_anew(
    server: FakeLabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRELABEL_HOME", str(tmp_path / "home"))
    project, tasks = server.project(6)
    home = ProjectFolder.of(server.url, int(project.partition(".")[0]))
    server.held = tasks[-1]["data"]["image"]
    try:
        with serving(tmp_path, server) as (process, http):
            server.asked.clear()
            assert http.post("/setup", json=setup_body(server, project)).is_success
            assert http.post(f"/fit?project={project}").status_code == 303
            with ThreadPoolExecutor(1) as clients:
                waiting = clients.submit(http.post, "/predict", json=predict_body(project, tasks))
                wait_for(lambda: server.count(server.held) >= 2)  # by the fit and by the worker
                os.kill(process.pid, signal.SIGKILL)
                wait_for(lambda: not group(process.pid), seconds=10)
                assert waiting.exception(10)
        assert home.state.fit_wanted
        assert not home.state.newest
    finally:
        server.held = ""
    first = tasks[0]["data"]["image"]
    n_asked = server.count(first)
    configured = {"LABEL_STUDIO_URL": server.url, "LABEL_STUDIO_API_KEY": TOKEN}
    with serving(tmp_path, server, **configured) as (_, http):
        wait_for(lambda: home.state.newest)
        version = http.post("/setup", json=setup_body(server, project)).json()["model_version"]
        assert version == f"{home.state.newest}-0"
        results = http.post("/predict", json=predict_body(project, tasks)).json()["results"]
        assert {r["model_version"] for r in results} == {version}
        assert server.count(first) == n_asked  # it was kept


@pytest.mark.slow
@needs_proc
def test_serve__fifty_clients_at_once(server: FakeLabelStudio, tmp_path: Path) -> None:
    with serving(tmp_path, server) as (_, http):
        project, tasks = server.project(40)
        body = setup_body(server, project)
        assert http.post("/setup", json=body).is_success
        first = http.post("/predict", json=predict_body(project, tasks)).json()["results"]
        version = http.post("/setup", json=body).json()["model_version"]
        assert {r["model_version"] for r in first} == {version}
        new = [server.task(1) for _ in range(50)]
        seconds: dict[str, list[float]] = {"/health": [], "/setup": []}
        done = threading.Event()

        def poll() -> None:
            with httpx.Client(base_url=http.base_url, timeout=120) as client:
                while not done.is_set():
                    for path, times in seconds.items():
                        began = time.monotonic()
                        answer = (
                            client.get(path) if path == "/health" else client.post(path, json=body)
                        )
                        times.append(time.monotonic() - began)
                        assert answer.is_success
                        assert answer.json().get("model_version", version) == version

        def predict(number: int) -> list[Any]:
            """One task of its own, one that all ask for, and some that others ask for too."""
            own = [new[number], tasks[0], *tasks[number % 8 : number % 8 + 4]]
            with httpx.Client(base_url=http.base_url, timeout=120) as client:
                answer = client.post("/predict", json=predict_body(project, own))
                results: list[Any] = answer.json()["results"]
                return results

        with ThreadPoolExecutor(52) as clients:
            polling = [clients.submit(poll) for _ in range(2)]
            answers = list(clients.map(predict, range(50)))
            done.set()
            for poller in polling:
                poller.result(60)
        assert [len(results) for results in answers] == [6] * 50
        assert all(r["model_version"] == version for results in answers for r in results)
        assert all(results[1] == answers[0][1] for results in answers)
        figures = text_string_to_metric_families(http.get("/metrics").text)
        jobs = next(f for f in figures if f.name == "prelabel_jobs").samples
        failed = [s for s in jobs if s.labels["outcome"] == "failed"]
        assert failed == []
        for path, times in seconds.items():
            worst = sorted(times)[int(0.99 * len(times))]
            print(f"{path}: p99 {1000 * worst:.0f} ms of {len(times)}, 50 clients predicting")
            assert worst < 2


def test_status__json_is_safe_for_a_page(open_http: TestClient, service: Service) -> None:
    service.problems.add("<script>alert(1)</script>")
    page = open_http.get("/")
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
