"""What benchmarks/label_studio.py measures with: photos, a real Label Studio, the backend, projects."""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from PIL import Image

from prelabel.label_studio import create
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.demo import demo
from prelabel.label_studio.demo.local_server import LocalServer
from prelabel.label_studio.format.new_config import new_label_config
from prelabel.storage.files import cache_folder

LABELS = new_label_config(["object"])
UPLOAD = 20
"""Photos in one request."""
Task = dict[str, Any]


class Bench:
    """Photos, a Label Studio, and folders that are empty when needed."""

    server: LocalServer
    tasks_of: tuple[str, ...]

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.folder = folder
        self.n_photos: int = arguments.photos
        self.half, self.many = self.n_photos // 2, 3 * self.n_photos // 10
        self.small = max(60, self.n_photos // 10)
        self._chosen = [
            "--backbone",
            arguments.weights,
            "--set",
            f"backbone.runtime={arguments.runtime}",
        ]
        self._originals = sorted(arguments.data.glob("*/images/*"))
        random.Random(0).shuffle(self._originals)
        self._written = 0

    @contextmanager
    def empty_folders(self) -> Iterator[None]:
        """An empty cache, but for the weights, and no models."""
        before = {name: os.environ.get(name) for name in ("PRELABEL_CACHE", "PRELABEL_HOME")}
        cache = Path(tempfile.mkdtemp(dir=self.folder))
        (cache / "weights").symlink_to((cache_folder() / "weights").resolve())
        os.environ.update(PRELABEL_CACHE=str(cache), PRELABEL_HOME=str(cache / "home"))
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value

    @contextmanager
    def backend(self) -> Iterator[Backend]:
        """`prelabel serve` that never begins a second fit by itself."""
        options = [*self._chosen, "--fit-after", "0"]
        with self.empty_folders(), demo.backend(self.server, self.folder, options) as found:
            yield Backend(found, self.server)

    def project(self, backend: Backend | None, n_photos: int) -> Project:
        """A new project with this many photos, connected to the backend."""
        with self._client() as client:
            number = client.create_project("benchmark", LABELS)
            made = datetime.fromisoformat(client.project(number).created_at)
            if backend:
                found = backend.found
                client.connect_backend(
                    number, found.url, title="prelabel", user=found.user, password=found.password
                )
        project = Project(number, f"{number}.{int(made.timestamp())}")
        self.upload(project, n_photos)
        return project

    def upload(self, project: Project, n_photos: int) -> list[Task]:
        """The new tasks, of photos that were not used before."""
        known = {task["id"] for task in project.tasks}
        files = [self._write() for _ in range(n_photos)]
        with self._client() as client:
            for start in range(0, n_photos, UPLOAD):
                some = files[start : start + UPLOAD]
                client.upload(project.number, [(file.name, file.read_bytes()) for file in some])
            found = list(client.tasks(project.number))
        project.tasks = [{"id": task["id"], "data": task["data"]} for task in found]
        return [task for task in project.tasks if task["id"] not in known]

    def command(self, project: Project, *, until: int = 0) -> tuple[float, float, int]:
        """`prelabel label-studio predict`: seconds, its peak memory in MB, its exit code. Killed
        when the project has ``until`` predictions."""
        started = time.monotonic()
        with (self.folder / "bulk.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "prelabel"),
                    *("label-studio", "predict", "--project", str(project.number)),
                    *("--url", self.server.url, *self._chosen),
                ],
                env={**os.environ, "LABEL_STUDIO_API_KEY": self.server.login.token},
                stdout=log,
                stderr=log,
            )
        peak = 0.0
        while process.poll() is None:
            peak = peak_memory(process.pid) or peak
            if until and len(self.versions(project)) >= until:
                process.kill()
            time.sleep(0.2)
        return time.monotonic() - started, peak, process.returncode

    def retrieve(self, project: Project, tasks: Sequence[Task]) -> None:
        """As "Retrieve predictions" on the page of the project's data."""
        selected = {"all": False, "included": [task["id"] for task in tasks]}
        httpx.post(
            f"{self.server.url}/api/dm/actions",
            params={"id": "retrieve_tasks_predictions", "project": project.number},
            headers={"Authorization": f"Token {self.server.login.token}"},
            json={"selectedItems": selected, "project": project.number},
            timeout=600,
        ).raise_for_status()
        project.found = dict(self.versions(project))

    def versions(self, project: Project) -> list[tuple[int, str]]:
        """Task and model version of each prediction in Label Studio. From its database: the API
        sends all masks along."""
        file = self.server.folder / "label_studio.sqlite3"
        database = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=60)
        try:
            return database.execute(
                "select task_id, model_version from prediction where project_id = ? order by id",
                (project.number,),
            ).fetchall()
        finally:
            database.close()

    def _client(self) -> Client:
        return Client(self.server.url, self.server.login.token)

    def _write(self) -> Path:
        """A photo that was not there before."""
        border, number = divmod(self._written, len(self._originals))
        self._written += 1
        file = self.folder / f"{self._written:05d}.jpg"
        image = Image.open(self._originals[number]).convert("RGB")
        box = (border, border, image.width - border, image.height - border)
        image.crop(box).save(file, quality=95)
        return file


@dataclass(frozen=True)
class Backend:
    """Asks the backend as Label Studio does: a connection for each request."""

    found: create.Backend
    server: LocalServer

    def setup(self, project: Project) -> str:
        """The project's live version."""
        facts = {
            "project": project.id,
            "schema": LABELS,
            "hostname": self.server.url,
            "access_token": self.server.login.token,
        }
        return str(json.loads(self.ask("POST", "/setup", facts))["model_version"])

    def predict(
        self, project: Project, tasks: Sequence[Task], context: Mapping[str, Any] | None = None
    ) -> bytes:
        """The answer as it comes: to read it takes time that is not the backend's."""
        params = {"context": context}
        facts = {"project": project.id, "label_config": LABELS, "tasks": tasks, "params": params}
        return self.ask("POST", "/predict", facts)

    def fit(self, project: Project) -> None:
        """Returns when the model is live."""
        self.setup(project)
        self.ask("POST", f"/fit?project={project.id}")
        while self.setup(project).startswith("image-level"):
            time.sleep(0.5)

    def answer(self, project: Project, tasks: Sequence[Task]) -> None:
        """One request for all of these tasks."""
        answers = json.loads(self.predict(project, tasks))["results"]
        for task, answer in zip(tasks, answers, strict=True):
            if answer:
                project.found[task["id"]] = answer["model_version"]

    def answer_all(self, project: Project, tasks: Sequence[Task]) -> None:
        """Until each has an answer."""
        while left := [task for task in tasks if task["id"] not in project.found]:
            self.answer(project, left)

    def ask(self, method: str, path: str, facts: Mapping[str, Any] | None = None) -> bytes:
        """The answer to a request. Raises RuntimeError for an error status."""
        secret = base64.b64encode(f"{self.found.user}:{self.found.password}".encode()).decode()
        headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/json"}
        connection = HTTPConnection(urlsplit(self.found.url).netloc, timeout=300)
        try:
            connection.request(method, path, json.dumps(facts).encode() if facts else None, headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {body[:500]!r}")
        return body


@dataclass
class Project:
    """A project of Label Studio. ``found``: version of the prediction that each task got, by id."""

    number: int
    id: str
    tasks: list[Task] = field(default_factory=list)
    found: dict[int, str] = field(default_factory=dict)


def click(x: float, y: float) -> dict[str, Any]:
    """The context of a click, in percent of width and height."""
    value = {"x": x, "y": y, "width": 0.5, "keypointlabels": ["object"]}
    item = {"from_name": "click", "to_name": "image", "type": "keypointlabels", "value": value}
    return {"result": [{**item, "is_positive": True}]}


def peak_memory(pid: int) -> float:
    """MB that the process has had at once so far, 0 if it is gone (VmHWM of proc(5))."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)
