"""A real Label Studio on loopback for tests, with a data folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent
COMMAND = Path(
    os.environ.get("LABEL_STUDIO_COMMAND", ROOT / ".venv-label-studio" / "bin" / "label-studio")
)
TOKEN = "0123456789abcdef0123456789abcdef01234567"
EMAIL, PASSWORD = "admin@example.com", "prelabel-tests"


class Server:
    """Started in ``folder``; ``stop`` and ``start`` keep what is in it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self.http = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Token {TOKEN}"}, timeout=60
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        settings = {
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.folder),
            "LABEL_STUDIO_USERNAME": EMAIL,
            "LABEL_STUDIO_PASSWORD": PASSWORD,
            "LABEL_STUDIO_USER_TOKEN": TOKEN,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            "LABEL_STUDIO_HOST": self.url,
            "ML_BLOCK_LOCAL_IP": "false",
            "SSRF_PROTECTION_ENABLED": "false",
        }
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(COMMAND, "start", "--no-browser"),
                    *("--internal-host", "127.0.0.1", "-p", str(self.port)),
                ],
                env={**os.environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + 240
        while time.monotonic() < until:
            try:
                if self.http.get("/health").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.5)
        raise TimeoutError(f"Label Studio did not start: {self.folder / 'server.log'}")

    def stop(self) -> None:
        """At once, as in a power cut."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def project(self, label_config: str) -> int:
        """A new project's number."""
        answer = self._json(
            "POST", "/api/projects/", json={"title": "prelabel test", "label_config": label_config}
        )
        return int(answer["id"])

    def upload(self, project: int, files: Sequence[tuple[str, bytes]]) -> None:
        """Names and contents; a task each."""
        for name, data in files:
            self._json("POST", f"/api/projects/{project}/import", files={"file": (name, data)})

    def tasks(self, project: int) -> list[dict[str, Any]]:
        """All of up to 500 tasks, with predictions and annotations."""
        query = {"project": project, "page_size": 500, "fields": "all"}
        tasks: list[dict[str, Any]] = self._json("GET", "/api/tasks", params=query)["tasks"]
        return sorted(tasks, key=lambda task: int(task["id"]))

    def annotate(self, task: int, result: Sequence[Any]) -> None:
        """As a person who submits."""
        self._json("POST", f"/api/tasks/{task}/annotations/", json={"result": list(result)})

    def _json(self, method: str, path: str, **options: Any) -> Any:
        answer = self.http.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json()
