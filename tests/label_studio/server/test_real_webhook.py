"""A real Label Studio sends what was annotated through a webhook with the backend's secret."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from prelabel.label_studio.demo import demo
from prelabel.label_studio.server.webhooks import HEADER
from support.fake_label_studio import BRUSH, png, wait_for
from support.label_studio_server import Server

pytestmark = pytest.mark.slow
FAST = ("--recipe", "fast", "--backbone", "color-texture", "--set", "features.size=112")


def test_webhook__a_submitted_annotation_reaches_the_backend(
    label_studio: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRELABEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    project = label_studio.project(BRUSH)
    label_studio.upload(project, [("1.png", png(1))])
    with demo.backend(label_studio, tmp_path, FAST) as backend:
        label_studio.connect(
            project,
            backend.url,
            auth_method="BASIC_AUTH",
            basic_auth_user=backend.user,
            basic_auth_pass=backend.password,
        )

        def secret() -> str:
            query = {"project": project}
            found = label_studio.json("GET", "/api/webhooks/", params=query)
            assert [w["url"] for w in found] == [f"{backend.url}/webhook"]
            return str(found[0]["headers"].get(HEADER, ""))

        def metrics() -> str:
            auth = backend.user, backend.password
            return httpx.get(f"{backend.url}/metrics", auth=auth).text

        known = wait_for(secret)
        (file,) = (tmp_path / "home").rglob("webhook-secret")
        assert file.read_text() == known
        (task,) = label_studio.tasks(project)
        label_studio.annotate(task["id"], [])
        wait_for(lambda: 'prelabel_jobs_total{kind="learn",outcome="done"}' in metrics())
        assert 'prelabel_webhooks_total{outcome="taken"}' in metrics()
        # A stranger who knows the address alone.
        event = {"action": "ANNOTATION_CREATED", "project": {"id": project}, "task": {"id": 1}}
        answer = httpx.post(f"{backend.url}/webhook", json=event)
        assert (answer.status_code, answer.json()) == (200, {"status": "ignored"})
