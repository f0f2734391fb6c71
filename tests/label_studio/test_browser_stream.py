"""What annotators see with "Label All Tasks" after a bulk run, in a real browser."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.browser import LabelStudioTab, chromium
from support.label_studio_server import TOKEN, Server
from support.shapes import as_png, shape

XML = """<View><Image name="image" value="$image"/>
<BrushLabels name="label" toName="image"><Label value="ball"/></BrushLabels></View>"""
FAST = ("--backbone", "color-texture", "--recipe", "fast", "--set", "features.size=224")
N = 4

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def server(label_studio: Server) -> Server:
    return label_studio


def _predict(server: Server, project: int, *options: str) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "prelabel", "label-studio", "predict", *FAST, *options]
    done = subprocess.run(
        [*command, "--project", str(project), "--url", server.url],
        env={**os.environ, "LABEL_STUDIO_API_KEY": TOKEN},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_label_all_tasks__shows_the_predictions_of_a_bulk_run(
    server: Server, tmp_path: Path
) -> None:
    project = server.project(XML)
    shapes = {f"ball-{i}.png": shape("ball", i) for i in range(N)}
    server.upload(project, [(name, as_png(made)) for name, made in shapes.items()])
    stream = f"/api/projects/{project}/next"

    kept = _predict(server, project, "--keep-project-settings")
    assert "annotators" not in kept
    assert server.json("GET", stream)["predictions"] == []
    printed = _predict(server, project)
    [row] = [line for line in printed.splitlines() if line.startswith("annotators")]
    version = server.json("GET", f"/api/projects/{project}/")["model_version"]
    assert version in row
    [prediction] = server.json("GET", stream)["predictions"]
    assert prediction["model_version"] == version

    with chromium() as browser:
        tab = LabelStudioTab(browser, server, tmp_path)
        tab.page.goto(f"{server.url}/projects/{project}/data")
        tab.page.get_by_role("button", name="Label All Tasks").click()
        tab.page.wait_for_function("window.Htx?.annotationStore?.selected?.regions?.length > 0")
        tab.page.locator(".lsf-outliner-item").first.wait_for()
        tab.page.click("button[aria-label=move-tool]")
        [region] = tab.regions()
        tinted, seen, _ = tab.drawn([region["id"]])
        tab.save("label-stream")
    mask = shapes["ball-0.png"].mask
    assert (tinted == mask)[seen].mean() > 0.97
