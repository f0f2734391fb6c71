"""`prelabel label-studio fit`, `names` and `demo` against a real Label Studio."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from PIL import Image

from prelabel.label_studio.model_version import is_own
from prelabel.label_studio.project_home import open_folder
from support.label_studio_server import COMMAND, TOKEN, Server
from support.places import require
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


def test_demo__everything_runs_and_ctrl_c_stops_it(tmp_path: Path) -> None:
    """What `make label-studio` does, with a backbone that needs no weights."""
    require("label-studio", COMMAND.exists(), f"no {COMMAND}: make label-studio-server")
    pytest.importorskip("skimage")
    folder = tmp_path / "demo"
    words = ("label-studio", "demo", "--command", str(COMMAND), "--folder", str(folder))
    process = subprocess.Popen(
        [*PRELABEL, *words, "--backbone", "color-texture"],
        env={**os.environ, "PRELABEL_HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    printed = ""
    try:
        for line in process.stdout:
            printed += line
            if "Ctrl-C stops" in line:
                break
        assert "33 got a prediction" in printed, printed
        coco = json.loads((folder / "export" / "coco" / "instances.json").read_text())
        assert len(coco["images"]) == 33
        assert coco["annotations"]
        rows = dict(row.split(maxsplit=1) for row in printed.splitlines() if " " in row.strip())
        page, backend = rows["open"], rows["backend"].split()[0]
        login = json.loads((folder / "label-studio" / "login.json").read_text())
        assert login["password"] in printed
        token = {"Authorization": f"Token {login['token']}"}
        server = page.partition("/projects")[0]
        (model,) = httpx.get(f"{server}/api/ml?project=1", headers=token).json()
        assert model["state"] == "CO"
        assert model["url"] == backend
        assert httpx.get(f"{backend}/").status_code == 401

        # One home, one model: the command finds what backend and demo have fitted together.
        names = subprocess.run(
            [*PRELABEL, "label-studio", "names", "--project", "1", "--url", server],
            env={**os.environ, "PRELABEL_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
        )
        assert "not named yet" in names.stdout, names.stderr
        assert len(list((tmp_path / "home").rglob("model.json"))) == 1
        versions = httpx.get(f"{server}/api/projects/1/model-versions", headers=token).json()
        assert [n for version, n in versions.items() if is_own(version)] == [33]
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(30)
    assert code == 0
    for address in (server, backend):
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{address}/health", timeout=2)
    assert (folder / "label-studio" / "login.json").stat().st_mode & 0o077 == 0
