"""A real Label Studio on loopback for tests, with a data folder of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from prelabel.label_studio.demo.local_server import LocalServer, Login
from support.places import ROOT

COMMAND = Path(
    os.environ.get("LABEL_STUDIO_COMMAND", ROOT / ".venv-label-studio" / "bin" / "label-studio")
)
TOKEN = "0123456789abcdef0123456789abcdef01234567"
EMAIL, PASSWORD = "admin@example.com", "prelabel-tests"


class Server(LocalServer):
    """Started in ``folder``; ``stop`` and ``start`` keep what is in it. ``files``: its document root for
    local files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(COMMAND, folder, Login(EMAIL, PASSWORD, TOKEN))
        self.files = folder / "files"
        self.http = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Token {TOKEN}"}, timeout=120
        )

    def _settings(self) -> dict[str, str]:
        return {
            **super()._settings(),
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.files),
        }

    def project(self, label_config: str) -> int:
        """A new project's number."""
        answer = self.json(
            "POST", "/api/projects/", json={"title": "prelabel test", "label_config": label_config}
        )
        return int(answer["id"])

    def upload(self, project: int, files: Sequence[tuple[str, bytes]]) -> None:
        """Names and contents; a task each."""
        for name, data in files:
            self.json("POST", f"/api/projects/{project}/import", files={"file": (name, data)})

    def tasks(self, project: int) -> list[dict[str, Any]]:
        """All of up to 500 tasks, with predictions and annotations."""
        query = {"project": project, "page_size": 500, "fields": "all"}
        tasks: list[dict[str, Any]] = self.json("GET", "/api/tasks", params=query)["tasks"]
        return sorted(tasks, key=lambda task: int(task["id"]))

    def annotate(self, task: int, result: Sequence[Any]) -> None:
        """As a person who submits."""
        self.json("POST", f"/api/tasks/{task}/annotations/", json={"result": list(result)})

    def connect(self, project: int, backend: str, **more: Any) -> int:
        """An ML backend's number."""
        facts = {"project": project, "url": backend, "title": "prelabel", "is_interactive": True}
        return int(self.json("POST", "/api/ml/", json={**facts, **more})["id"])

    def retrieve(self, project: int, tasks: Sequence[int]) -> Any:
        """As "Retrieve predictions" on the page of the project's data."""
        selected = {"all": False, "included": list(tasks)}
        return self.json(
            "POST",
            "/api/dm/actions",
            params={"id": "retrieve_tasks_predictions", "project": project},
            json={"selectedItems": selected, "project": project},
        )

    def json(self, method: str, path: str, **options: Any) -> Any:
        """The answer; fails for an error status."""
        answer = self.http.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json()
