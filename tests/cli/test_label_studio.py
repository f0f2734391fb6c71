"""`prelabel label-studio fit` and `names` against a real Label Studio."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from prelabel.label_studio.project_home import open_folder
from support.label_studio_server import TOKEN, Server
from support.small_photos import scene

BRUSH = """<View><Image name="image" value="$image"/><BrushLabels name="label" toName="image">
<Label value="cat"/><Label value="dog"/></BrushLabels></View>"""
PRELABEL = [sys.executable, "-m", "prelabel"]
FAST = ["--backbone", "color-texture", "--recipe", "fast"]

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(600)]


def _project(label_studio: Server) -> int:
    project = label_studio.project(BRUSH)
    for seed in range(6):
        file = io.BytesIO()
        Image.fromarray(scene(seed)).save(file, "PNG")
        label_studio.upload(project, [(f"{seed}.png", file.getvalue())])
    return project


def _command(label_studio: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PRELABEL, "label-studio", *arguments, "--url", label_studio.url],
        env={**os.environ, "LABEL_STUDIO_API_KEY": TOKEN},
        capture_output=True,
        text=True,
    )


def test_fit_and_names__from_nothing_to_named_classes(label_studio: Server, tmp_path: Path) -> None:
    project = str(_project(label_studio))
    early = _command(label_studio, "names", "--project", project)
    assert early.returncode == 2
    assert f"prelabel label-studio fit --project {project}" in early.stderr

    fitted = _command(label_studio, "fit", "--project", project, *FAST)
    assert fitted.returncode == 0, fitted.stderr
    home = open_folder(label_studio.url, project)
    assert "6 tasks" in fitted.stdout
    assert home.state.newest in fitted.stdout
    assert home.state.model == ""  # it goes live when somebody asks

    shown = _command(label_studio, "names", "--project", project)
    assert "object 1" in shown.stdout
    assert "not named yet" in shown.stdout
    named = _command(label_studio, "names", "--project", project, "--set", "1=cat")
    assert "cat (1)" in named.stdout
    renamed = _command(label_studio, "names", "--project", project, "--rename", "cat=dog")
    assert "dog (1)" in renamed.stdout

    done = _command(label_studio, "predict", "--project", project, *FAST)
    assert done.returncode == 0, done.stderr
    assert "6 got a prediction" in done.stdout
    labels = [
        item["value"]["brushlabels"]
        for task in label_studio.tasks(int(project))
        for item in task["predictions"][0]["result"]
    ]
    assert ["dog"] in labels
    assert all(label in (["dog"], []) for label in labels)
    # An unnamed one says which class it is.
    notes = {
        item["meta"]["text"][0].partition(":")[0]  # what follows says that its label is a guess
        for task in label_studio.tasks(int(project))
        for item in task["predictions"][0]["result"]
        if "meta" in item
    }
    assert all(note.startswith("object ") for note in notes)

    # Exported, it is still of that class.
    out = tmp_path / "out"
    exported = subprocess.run(
        [
            *(*PRELABEL, "export", "--project", project, "--what", "predictions"),
            *("--url", label_studio.url, "--format", "coco", "--out", str(out)),
        ],
        env={**os.environ, "LABEL_STUDIO_API_KEY": TOKEN},
        capture_output=True,
        text=True,
    )
    assert exported.returncode == 0, exported.stderr
    coco = json.loads((out / "coco" / "instances.json").read_text())
    names = [category["name"] for category in coco["categories"]]
    assert names[:2] == ["cat", "dog"]
    assert set(names[2:]) == notes
    regions = sum(len(t["predictions"][0]["result"]) for t in label_studio.tasks(int(project)))
    assert len(coco["annotations"]) == regions
    assert len(coco["images"]) == 6


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--set", "cat"], "NUMBER=NAME"),
        (["--set", "999=cat"], "from 1 to "),
        (["--rename", "nobody=cat"], "named 'nobody'"),
    ],
)
def test_names__refuses_with_what_was_expected(
    label_studio: Server, arguments: list[str], part: str
) -> None:
    projects = sorted(open_folder(label_studio.url, "1").path.parent.glob("*/models"))
    if not projects:
        project = str(_project(label_studio))
        assert _command(label_studio, "fit", "--project", project, *FAST).returncode == 0
    else:
        project = projects[0].parent.name
    answer = _command(label_studio, "names", "--project", project, *arguments)
    assert answer.returncode == 2
    assert part in answer.stderr
    assert "Traceback" not in answer.stderr
