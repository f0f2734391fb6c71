"""`prelabel serve` as a process of its own, with all its processes, against a Label Studio on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from prelabel.label_studio.project_home import open_folder
from support.backend import newest_version, predict_body, setup_body
from support.fake_label_studio import TOKEN, FakeLabelStudio, wait_for
from support.serving import COMMAND, TINY, group, needs_proc, serving

pytestmark = pytest.mark.slow


def refusal(*arguments: str, **variables: str) -> str:
    """What `prelabel serve` says when it does not start, on one line."""
    settings = ("PRELABEL_", "LABEL_STUDIO")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(settings)}
    done = subprocess.run(
        [*COMMAND, *TINY, *arguments],
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    return " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--host", "0.0.0.0"], "PRELABEL_BASIC_AUTH=USER:PASSWORD"),
        (["--basic-auth", "no-password"], "--basic-auth"),
        (["--basic-auth", ":x"], "--basic-auth"),
    ],
)
def test_serve__needs_a_password_beyond_this_machine(arguments: list[str], says: str) -> None:
    assert says in refusal(*arguments)


def test_serve__a_token_needs_the_server_that_it_is_for() -> None:
    """It is not sent to whatever address somebody's /setup names."""
    text = refusal(LABEL_STUDIO_API_KEY="0" * 40)
    assert "LABEL_STUDIO_URL" in text
    assert "0" * 40 not in text


@needs_proc
def test_serve__interrupted_ends_with_all_its_processes(
    server: FakeLabelStudio, tmp_path: Path
) -> None:
    with serving(tmp_path, server) as (process, http):
        project, tasks = server.project(4)
        server.asked.clear()
        assert http.post("/setup", json=setup_body(server, project)).is_success
        # A fit, predictions and a count of the tasks are under way, and none comes to an end.
        with (
            server.holding("/api/projects|/data/upload"),
            ThreadPoolExecutor(1) as clients,
        ):
            waiting = clients.submit(http.post, "/predict", json=predict_body(project, tasks))
            server.await_requests("/data/upload")
            server.await_requests("/api/projects")
            wait_for(lambda: len(group(process.pid)) >= 3)
            began = time.monotonic()
            os.kill(process.pid, signal.SIGINT)
            process.wait(10)
            wait_for(lambda: not group(process.pid), seconds=10)
            assert time.monotonic() - began < 10
            assert waiting.exception(10) or waiting.result(10).status_code == 503
        assert "Traceback" not in (tmp_path / "serve.log").read_text()


@needs_proc
def test_serve__terminated_with_its_processes_reports_no_death(
    server: FakeLabelStudio, tmp_path: Path
) -> None:
    """A service manager sends SIGTERM to all of them."""
    with serving(tmp_path, server) as (process, http):
        project, tasks = server.project(2)
        assert http.post("/setup", json=setup_body(server, project)).is_success
        assert http.post("/predict", json=predict_body(project, tasks)).is_success
        assert len(group(process.pid)) >= 2
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)
        wait_for(lambda: not group(process.pid), seconds=10)
        printed = (tmp_path / "serve.log").read_text()
    assert "died" not in printed
    assert "Traceback" not in printed


def test_serve__a_port_in_use_is_an_error_and_no_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = refusal("--port", str(port))
    assert f"127.0.0.1, port {port}" in text
    assert "is the backend's address" not in text


def test_serve__a_refused_setup_is_told_in_the_log_on_the_page_and_in_label_studio(
    server: FakeLabelStudio, tmp_path: Path
) -> None:
    choices = '<View><Image name="i" value="$image"/><Choices name="c" toName="i"><Choice value="a"/></Choices></View>'
    project, _ = server.project(1, choices)
    body = {**setup_body(server, project), "schema": choices}
    with serving(tmp_path, server, PRELABEL_BASIC_AUTH="me:secret") as (process, http):
        for _ in range(3):
            assert http.post("/setup", json=body).status_code == 401
        answer = http.post("/setup", json=body, auth=("me", "secret"))
        page = http.get("/", auth=("me", "secret")).text
        # All that Label Studio shows of an error is its status and reason phrase.
        assert answer.status_code == 400
        assert "no tag that can hold masks, found View, Image, Choices" in answer.reason_phrase
        assert "<" not in answer.reason_phrase  # Label Studio shows it as HTML
        assert "x-prelabel-reason" not in answer.headers
        os.kill(process.pid, signal.SIGTERM)
        process.wait(10)
        log = (tmp_path / "serve.log").read_text()
    for told in (page, log):
        assert told.count("no or another user and password") == 1
        assert told.count(f"project {project} cannot be connected: label config") == 1


@needs_proc
def test_serve__killed_during_a_fit_takes_its_processes_along_and_goes_on_with_it(
    server: FakeLabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRELABEL_HOME", str(tmp_path / "home"))
    project, tasks = server.project(6)
    folder = open_folder(server.url, project)
    last = tasks[-1]["data"]["image"]
    with server.holding(last), serving(tmp_path, server) as (process, http):
        server.asked.clear()
        assert http.post("/setup", json=setup_body(server, project)).is_success
        assert http.post(f"/fit?project={project}").status_code == 303
        with ThreadPoolExecutor(1) as clients:
            waiting = clients.submit(http.post, "/predict", json=predict_body(project, tasks))
            server.await_requests(last, 2)  # by the fit and by the worker
            os.kill(process.pid, signal.SIGKILL)
            wait_for(lambda: not group(process.pid), seconds=10)
            assert waiting.exception(10)
    assert folder.state.fit_requested
    assert not folder.state.newest
    first = tasks[0]["data"]["image"]
    n_asked = server.count(first)
    with serving(tmp_path, server, LABEL_STUDIO_URL=server.url, LABEL_STUDIO_API_KEY=TOKEN) as (
        _,
        http,
    ):
        wait_for(lambda: folder.state.newest)
        version = newest_version(folder)
        body = setup_body(server, project)
        wait_for(lambda: http.post("/setup", json=body).json()["model_version"] == version)
        results = http.post("/predict", json=predict_body(project, tasks)).json()["results"]
        assert {r["model_version"] for r in results} == {version}
        assert server.count(first) == n_asked  # from the cache


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
