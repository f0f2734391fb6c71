"""A small Label Studio on loopback: projects, tasks, photos, and what was asked of it."""

from __future__ import annotations

import io
import itertools
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from support.small_photos import scene

TOKEN = "fa1ce0000000000000000000000000000000beef"
CREATED = "2026-01-02T03:04:05.678901Z"
BRUSH = """<View><Image name="image" value="$image"/>
<BrushLabels name="label" toName="image">
<Label value="cat" predicted_values="object 1"/><Label value="dog"/></BrushLabels>
<KeyPointLabels name="click" toName="image" smart="true"><Label value="dog"/></KeyPointLabels>
</View>"""
Task = dict[str, Any]


class FakeLabelStudio:
    """``asked``: method and path of every request. ``failing``: POST requests whose path this
    pattern matches are answered with 500; "" for none. ``shown``: the model version that a project's
    label stream shows. ``logins``: paths that redirect to the login page. ``backends``: titles of a project's backends. ``on_import``: called once,
    after the next bulk import."""

    def __init__(self) -> None:
        self.used: dict[str, dict[str, int]] = {}
        self.tasks: dict[int, Task] = {}
        self.configs: dict[int, str] = {}
        self.photos: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.failing = ""
        self.logins = ""
        self.shown: dict[int, str | None] = {}
        self.backends: dict[int, list[str]] = {}
        self.on_import: Callable[[], None] | None = None
        self.webhooks: dict[int, dict[str, Any]] = {}
        self._held = ""
        self.titles: dict[int, str] = {}
        self._prediction_ids = itertools.count(100_000)
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def project(self, n_photos: int, label_config: str = BRUSH) -> tuple[str, list[Task]]:
        """A new project as /setup names it, and its tasks as /predict sends them."""
        number = len(self.configs) + 1
        self.configs[number] = label_config
        return f"{number}.1767323045", [self.task(number) for _ in range(n_photos)]

    def task(self, project: int, **data: Any) -> Task:
        """A new task; without ``data``, with a photo of its own."""
        number = len(self.tasks) + 1
        task = {"id": number, "project": project, "data": data or {"image": self.upload(number)}}
        self.tasks[number] = {**task, "annotations": [], "predictions": []}
        return task

    def upload(self, seed: int, data: bytes | None = None) -> str:
        """A photo's path on the server."""
        path = f"/data/upload/{seed}.png"
        self.photos[path] = png(seed) if data is None else data
        return path

    def webhook(self, project: int, url: str) -> dict[str, Any]:
        """A new one of a project, as a connected backend gets it."""
        number = len(self.webhooks) + 1
        facts = {"id": number, "project": project, "url": url, "headers": {}, "actions": []}
        return self.webhooks.setdefault(number, facts)

    def annotate(self, task: int, result: list[Any]) -> None:
        """In place of the annotation that the task had."""
        at = f"2026-02-03T04:05:06.{time.monotonic_ns() % 1_000_000:06}Z"
        annotation = {"id": 7000 + task, "task": task, "result": result, "updated_at": at}
        self.tasks[task]["annotations"] = [annotation]

    def store(self, predictions: Sequence[dict[str, Any]]) -> tuple[int, Any]:
        """A bulk import, which is refused if a task is not there."""
        if not all(prediction["task"] in self.tasks for prediction in predictions):
            return 400, {"detail": "invalid task"}
        for prediction in predictions:
            number = next(self._prediction_ids)
            self.tasks[prediction["task"]]["predictions"].append({"id": number, **prediction})
        after, self.on_import = self.on_import, None
        if after:
            after()
        return 201, {"created": len(predictions)}

    def next_predictions(self, task: int) -> list[str]:
        """The versions that the label stream shows of a task's predictions."""
        shown = self.shown.get(self.tasks[task]["project"])
        found = [p["model_version"] for p in self.tasks[task]["predictions"]]
        return [version for version in found if version == shown]

    def versions(self, project: int) -> dict[str, Any]:
        """How many predictions there are of each version, and the backends."""
        own = [t for t in self.tasks.values() if t["project"] == project]
        counts = Counter(p["model_version"] for task in own for p in task["predictions"])
        return {
            "static": [{"model_version": v, "count": n} for v, n in counts.items()],
            "live": [{"title": title} for title in self.backends.get(project, ())],
        }

    def change(self, prediction: int, changes: dict[str, Any]) -> tuple[int, Any]:
        """Change a prediction."""
        for task in self.tasks.values():
            for entry in task["predictions"]:
                if entry["id"] == prediction:
                    entry.update(changes)
                    return 200, entry
        return 404, {"detail": "Not found."}

    def delete_version(self, project: int, version: str) -> dict[str, Any]:
        """All of a version; the setting goes with it, also one that names a backend."""
        n = 0
        for task in self.tasks.values():
            if task["project"] == project:
                kept = [p for p in task["predictions"] if p["model_version"] != version]
                n += len(task["predictions"]) - len(kept)
                task["predictions"] = kept
        if self.shown.get(project) in (version, *self.backends.get(project, ())):
            self.shown[project] = None
        return {"deleted_predictions": n}

    def choose(self, project: int, version: str) -> tuple[int, Any]:
        """Set what the label stream shows, which must be there."""
        known = self.versions(project)
        versions = [entry["model_version"] for entry in known["static"]]
        if version not in (*versions, *self.backends.get(project, ())):
            return 400, {"detail": "Model version doesn't exist"}
        self.shown[project] = version
        return 200, {"id": project}

    def listed(self, query: dict[str, str]) -> list[Task]:
        """The tasks of a project, or those of them that are selected; without ``fields=all``, with
        the counts of what they have."""
        project = int(query["project"])
        asked = json.loads(query.get("query", "{}"))
        chosen = asked.get("selectedItems", {}).get("included")
        own = [t for t in self.tasks.values() if t["project"] == project]
        own = [t for t in own if chosen is None or t["id"] in chosen]
        for item in asked.get("filters", {}).get("items", ()):
            (part,) = item["value"]
            own = [t for t in own if any(part in p["model_version"] for p in t["predictions"])]
        counted = []
        for task in own:
            versions = {p["model_version"] for p in task["predictions"]}
            known = "filters" in asked or asked.get("ordering") == [
                "tasks:predictions_model_versions"
            ]
            counts = {
                "total_annotations": len(task["annotations"]),
                "total_predictions": len(task["predictions"]),
                "predictions_model_versions": ",".join(versions) if known else "",
            }
            counted.append({**task, **counts})
        if query.get("fields") != "all":
            for task in counted:
                del task["annotations"], task["predictions"]
        return counted

    @property
    def held(self) -> str:
        """Requests whose path this pattern matches wait until it is changed; "" holds none."""
        return self._held

    @held.setter
    def held(self, pattern: str) -> None:
        with self._changed:
            self._held = pattern
            self._changed.notify_all()

    @contextmanager
    def holding(self, pattern: str) -> Iterator[None]:
        """Hold requests while inside."""
        self.held = pattern
        try:
            yield
        finally:
            self.held = ""

    def receive(self, method: str, path: str) -> None:
        """Note a request, and wait while it is held."""
        with self._changed:
            self.asked.append((method, path))
            self._changed.notify_all()
            self._changed.wait_for(lambda: not (self._held and re.search(self._held, path)))

    def await_requests(self, pattern: str, n: int = 1) -> None:
        """Wait until there were so many requests that a pattern matches."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.count(pattern) >= n, 60), pattern

    def count(self, pattern: str) -> int:
        """Requests, as ``GET /path``, that a pattern finds."""
        return sum(bool(re.search(pattern, f"{method} {path}")) for method, path in self.asked)

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True).start()

    def stop(self) -> None:
        self.held = ""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running() -> Iterator[FakeLabelStudio]:
    """Started, and stopped at the end."""
    server = FakeLabelStudio()
    server.start()
    try:
        yield server
    finally:
        server.stop()


def png(seed: int) -> bytes:
    """One scene."""
    file = io.BytesIO()
    Image.fromarray(scene(seed)).save(file, "PNG")
    return file.getvalue()


def wait_for(condition: Callable[[], Any], *, seconds: float = 60.0) -> Any:
    """What the condition gives once that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)
    return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def handle_error(self, *_: object) -> None:
        """Ignore clients that are killed while they wait."""


def _handler(server: FakeLabelStudio) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Not to the terminal."""

        def do_GET(self) -> None:
            self._answer(*self._found())

        def do_DELETE(self) -> None:
            versions = re.fullmatch(r"/api/projects/(\d+)/model-versions", self.path)
            if versions:
                body = self._body()
                server.receive(self.command, self.path)
                number = int(versions[1])
                self._answer(200, server.delete_version(number, body["model_version"]))
            else:
                self._answer(*self._found())

        def do_PATCH(self) -> None:
            body = self._body()
            server.receive(self.command, self.path)
            if webhook := re.fullmatch(r"/api/webhooks/(\d+)/", self.path):
                server.webhooks[int(webhook[1])].update(body)
                self._answer(200, server.webhooks[int(webhook[1])])
                return
            if prediction := re.fullmatch(r"/api/predictions/(\d+)/", self.path):
                self._answer(*server.change(int(prediction[1]), body))
                return
            number = int(re.findall(r"^/api/projects/(\d+)/$", self.path)[0])
            if "label_config" in body:
                server.configs[number] = body["label_config"]
                self._answer(200, {"id": number})
            else:
                self._answer(*server.choose(number, body["model_version"]))

        def _body(self) -> Any:
            return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

        def do_POST(self) -> None:
            body = self._body()
            server.receive(self.command, self.path)
            if server.failing and re.search(server.failing, self.path):
                self._answer(500, {"detail": "as the test says"})
            elif re.fullmatch(r"/api/projects/\d+/import/predictions", self.path):
                self._answer(*server.store(body))
            else:
                self._answer(404, {"detail": "Not found."})

        def _found(self) -> tuple[int, Any]:
            server.receive(self.command, self.path)
            if self.headers["Authorization"] != f"Token {TOKEN}":
                return 401, {"detail": "Invalid token."}
            place = urlsplit(self.path)
            if server.logins and re.search(server.logins, place.path):
                return 302, None
            if place.path == "/api/current-user/whoami":
                return 200, {"id": 1}
            if place.path in server.photos:
                return 200, server.photos[place.path]
            kind, number = (re.findall(r"^/api/(\w+)/(\d+)/$", place.path) or [("", "0")])[0]
            if self.command == "DELETE" and kind == "predictions":
                for task in server.tasks.values():
                    kept = [p for p in task["predictions"] if p["id"] != int(number)]
                    task["predictions"] = kept
                return 204, None
            if kind == "projects" and int(number) in server.configs:
                n = sum(t["project"] == int(number) for t in server.tasks.values())
                own = [t for t in server.tasks.values() if t["project"] == int(number)]
                return 200, {
                    "id": int(number),
                    "title": server.titles.get(int(number), ""),
                    "task_number": n,
                    "num_tasks_with_annotations": sum(bool(t["annotations"]) for t in own),
                    "label_config": server.configs[int(number)],
                    "created_at": CREATED,
                    "model_version": server.shown.get(int(number), ""),
                }
            if re.fullmatch(r"/api/projects/\d+/summary/", place.path):
                return 200, {"created_labels": server.used, "created_labels_drafts": None}
            versions = re.fullmatch(r"/api/projects/(\d+)/model-versions", place.path)
            if versions:
                return 200, server.versions(int(versions[1]))
            if kind == "tasks" and int(number) in server.tasks:
                return 200, server.tasks[int(number)]
            if place.path == "/api/webhooks/":
                project = int(parse_qs(place.query)["project"][0])
                return 200, [w for w in server.webhooks.values() if w["project"] == project]
            if place.path == "/api/tasks":
                own = server.listed({k: v[0] for k, v in parse_qs(place.query).items()})
                return 200, {"tasks": own, "total": len(own)}
            return 404, {"detail": "Not found."}

        def _answer(self, status: int, content: Any) -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"/user/login/?next={self.path}")
            kind = "image/png" if isinstance(content, bytes) else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body) if status != 204 else 0))
            self.end_headers()
            if status != 204:
                self.wfile.write(body)

    return Handler
