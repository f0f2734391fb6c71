"""What docker/ would run, run here without a Docker engine: the image's own steps, its start and
health check, and Label Studio with the settings of the compose file."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from prelabel.label_studio.demo.local_server import LocalServer, Login, free_port
from support.docker_files import (
    DOCKERFILE,
    IGNORED,
    LAST,
    SECRETS,
    SERVICES,
    TORCH_INDEX,
    interpolated,
)
from support.dockerfile import Instruction, environment, sent
from support.label_studio_server import COMMAND
from support.places import ROOT, require

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.network
def test_image__its_steps_install_what_serves(tmp_path: Path) -> None:
    """The build stage's steps, but for apt-get, in a folder with only what .dockerignore lets
    through, with this Python, and into a virtual environment of another place.

    Where PyTorch's own index cannot be reached, torch is taken from the index that pip is set to,
    in the version of constraints.txt.
    """
    require("docker", shutil.which("g++") is not None, "no g++, which the image's build stage has")
    place = tmp_path / "opt" / "prelabel"
    base = f"{sys.base_prefix}/bin:{os.environ['PATH']}"
    settings = environment(DOCKERFILE, stage=0, start={"PATH": base, "VARIANT": "cpu"})
    assert settings["VIRTUAL_ENV"] == "/opt/prelabel"
    moved = {k: v.replace("/opt/prelabel", str(place)) for k, v in settings.items()}
    step_environment = {**os.environ, **moved, "PIP_NO_CACHE_DIR": "0"}
    source = tmp_path / "src"
    source.mkdir()
    for instruction in (i for i in DOCKERFILE if i.stage == 0):
        if instruction.keyword == "COPY":
            copy(instruction, source)
        elif instruction.keyword == "RUN" and not instruction.value.startswith("apt-get"):
            run(reachable(instruction.value), folder=source, environment=step_environment)
    shutil.rmtree(source)  # the last stage does not have it
    run("prelabel --help", folder=tmp_path, environment=step_environment)
    run(
        "python -c 'import prelabel, pydensecrf.densecrf, onnxruntime; prelabel.fit'",
        folder=tmp_path,
        environment=step_environment,
    )
    assert_serves(place / "bin", tmp_path)


def test_image__starts_and_is_healthy(tmp_path: Path) -> None:
    assert_serves(Path(sys.executable).parent, tmp_path)


def test_compose__label_studio_takes_a_backend_on_a_private_network(
    label_studio: LocalServer, neighbour: str
) -> None:
    refused = connect(label_studio, neighbour.replace(own_address(), "127.0.0.1"))
    assert refused.status_code == 403, refused.text
    assert "reserved network address" in refused.text
    accepted = connect(label_studio, neighbour)
    assert accepted.status_code == 201, accepted.text
    assert accepted.json()["state"] == "CO", accepted.text  # connected: /setup was answered too


def copy(instruction: Instruction, into: Path) -> None:
    """COPY into the working folder, as the builder would be sent the files."""
    *sources, target = instruction.words()
    for source in sources:
        for file in sent(ROOT / source, root=ROOT, patterns=IGNORED):
            inner = file.relative_to(ROOT / source) if (ROOT / source).is_dir() else source
            copied = into / target / inner
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copied)


def reachable(step: str) -> str:
    """The step, without PyTorch's index if that cannot be reached."""
    if TORCH_INDEX in step:
        try:
            urllib.request.urlopen(f"{TORCH_INDEX}/torch/", timeout=5).close()
        except OSError:
            return step.replace(f"--index-url {TORCH_INDEX}", "")
    return step


def run(step: str, *, folder: Path, environment: Mapping[str, str]) -> None:
    """A RUN step."""
    found = subprocess.run(
        ["sh", "-c", step], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, f"{step}\n{found.stdout[-2000:]}\n{found.stderr[-4000:]}"


def assert_serves(programs: Path, folder: Path) -> None:
    """Whether the image's start, with these programs, comes to what its health check accepts, and
    does not start where no password is set."""
    port = free_port()
    last = {i.keyword: i for i in DOCKERFILE if i.stage == LAST}
    moved = environment(DOCKERFILE, stage=LAST, start={"PATH": os.environ["PATH"]})
    moved = {k: v.replace("/opt/prelabel/bin", str(programs)) for k, v in moved.items()}
    moved |= {"PRELABEL_HOME": str(folder / "data"), "PRELABEL_CACHE": str(folder / "cache")}
    moved["HOME"] = str(folder)
    start = [*last["ENTRYPOINT"].words(), *last["CMD"].words()]
    start = [word.replace("9090", str(port)) for word in start]
    start[0] = str(programs / start[0])
    health = last["HEALTHCHECK"].value.removeprefix("CMD ").replace("9090", str(port))
    check = Instruction("CMD", {}, health, LAST).words()
    check[0] = str(programs / check[0])

    refused = subprocess.run(start, env=moved, cwd=folder, capture_output=True, check=False)
    assert refused.returncode == 2
    assert b"set PRELABEL_BASIC_AUTH" in refused.stderr
    assert subprocess.run(check, env=moved, capture_output=True, check=False).returncode == 1
    with (folder / "log").open("wb") as log:
        served = subprocess.Popen(
            start,
            env={**moved, "PRELABEL_BASIC_AUTH": "prelabel:secret"},
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        until = time.monotonic() + 60
        while subprocess.run(check, env=moved, capture_output=True, check=False).returncode:
            assert served.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.3)
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 401
    finally:
        served.terminate()
        served.wait(20)


class ComposedServer(LocalServer):
    """Label Studio with compose.yaml's environment; only its folder and address are others."""

    def _settings(self) -> dict[str, str]:
        written = SERVICES["label-studio"]["environment"]
        composed = {k: interpolated(str(v), SECRETS) for k, v in written.items()}
        return {
            **composed,
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.folder),
            "LABEL_STUDIO_HOST": self.url,
        }


@pytest.fixture
def label_studio(tmp_path: Path) -> Iterator[LocalServer]:
    """Started as compose would."""
    require("label-studio", COMMAND.exists(), f"no {COMMAND}: make label-studio-server")
    token = SECRETS["LABEL_STUDIO_USER_TOKEN"]
    server = ComposedServer(COMMAND, tmp_path / "label-studio", Login("", "", token))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def neighbour() -> Iterator[str]:
    """A backend's address on this machine's own, not loopback's; it only says that all is well."""
    server = ThreadingHTTPServer(("0.0.0.0", 0), _Backend)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{own_address()}:{server.server_port}"
    server.shutdown()
    server.server_close()


class _Backend(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the library's name
        """/health and /versions."""
        self._answer(b'{"status": "UP"}')

    def do_POST(self) -> None:
        """/setup."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(b'{"model_version": "1"}')

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def own_address() -> str:
    """This machine's address on its network; skips where it has none that is private."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as place:
        try:
            place.connect(("198.51.100.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no network")
        address = str(place.getsockname()[0])
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback's")
    return address


def connect(server: LocalServer, backend: str) -> httpx.Response:
    """As a person who connects a backend to a new project."""
    with httpx.Client(
        base_url=server.url,
        headers={"Authorization": f"Token {SECRETS['LABEL_STUDIO_USER_TOKEN']}"},
        timeout=60,
    ) as http:
        project = http.post("/api/projects/", json={"title": "composed"}).json()["id"]
        return http.post("/api/ml/", json={"project": project, "url": backend, "title": "prelabel"})
