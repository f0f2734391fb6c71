"""`prelabel label-studio prelabel` against a real Label Studio."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import require
from label_studio_server import COMMAND, TOKEN, Server
from PIL import Image
from small_photos import scene, tiny_config

from prelabel.errors import UserError
from prelabel.label_studio import bulk
from prelabel.label_studio.bulk import Options, Totals, is_own
from prelabel.label_studio.client import Client
from prelabel.label_studio.fetch import Fetcher
from prelabel.masks import decode_brush

BRUSH = """<View><Image name="image" value="$image"/>
<BrushLabels name="label" toName="image">
<Label value="cat" predicted_values="object 1"/><Label value="dog"/></BrushLabels></View>"""
BOXES = """<View><Image name="image" value="$image"/>
<RectangleLabels name="box" toName="image"><Label value="cat"/></RectangleLabels></View>"""
N = 6

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(600)]


def _png(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(scene(seed)).save(file, "PNG")
    return file.getvalue()


def _rotated(seed: int) -> bytes:
    """Stored lying, shown upright: 64 × 96 after EXIF."""
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(scene(seed)).save(file, "JPEG", exif=exif, quality=95)
    return file.getvalue()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    require("label-studio", COMMAND.exists(), f"no {COMMAND}: make label-studio-server")
    started = Server(tmp_path_factory.mktemp("label-studio"))
    try:
        started.start()
        yield started
    finally:
        started.stop()


def _photos() -> list[tuple[str, bytes]]:
    return [(f"{i}.png", _png(i)) for i in range(N - 1)] + [("rotated.jpg", _rotated(N))]


def _run(
    server: Server, project: int, home: Path, *overrides: str, token: str = TOKEN, **options: Any
) -> Totals:
    with Client(server.url, token, attempts=2, wait=0.05) as client:
        fetcher = Fetcher(client, home / "photos")
        config = tiny_config(*overrides)
        return bulk.prelabel_project(
            client, fetcher, project, home / "model", config, Options(**options)
        )


def _own(task: dict[str, Any]) -> list[dict[str, Any]]:
    return [p for p in task["predictions"] if is_own(p["model_version"])]


def test_bulk__every_task_once_and_nothing_twice(server: Server, tmp_path: Path) -> None:
    project = server.project(BRUSH)
    server.upload(project, _photos())
    server.upload(project, [("broken.jpg", _rotated(9)[:400])])
    first = server.tasks(project)[0]["id"]
    server.annotate(first, [])

    tried = _run(server, project, tmp_path, dry_run=True)
    assert (tried.imported, tried.labelled, len(tried.failed)) == (N - 1, 1, 1)
    assert not any(task["predictions"] for task in server.tasks(project))

    totals = _run(server, project, tmp_path)
    assert totals.tasks == N + 1
    assert (totals.labelled, totals.imported, len(totals.failed)) == (1, N - 1, 1)
    assert "cannot be decoded" in next(iter(totals.failed.values()))
    tasks = server.tasks(project)
    assert [len(_own(task)) for task in tasks] == [0] + [1] * (N - 1) + [0]
    assert sum(len(_own(t)[0]["result"]) for t in tasks[1:N]) == totals.regions > 0
    assert tasks[0]["total_annotations"] == 1

    again = _run(server, project, tmp_path)
    assert (again.current, again.imported) == (N - 1, 0)
    assert [len(_own(task)) for task in server.tasks(project)] == [0] + [1] * (N - 1) + [0]


def test_bulk__masks_arrive_as_they_were_found(server: Server, tmp_path: Path) -> None:
    from prelabel.model import FittedModel
    from prelabel.photos import PhotoSet
    from prelabel.pipeline import predict
    from prelabel.records import Photo

    project = server.project(BRUSH)
    server.upload(project, _photos())
    _run(server, project, tmp_path)
    model = FittedModel.load(tmp_path / "model")
    rotated = tmp_path / "rotated.jpg"
    rotated.write_bytes(_rotated(N))
    wanted = next(predict(model, PhotoSet(tmp_path, (Photo("rotated.jpg", rotated),))))
    stored = _own(server.tasks(project)[-1])[0]
    assert (wanted.width, wanted.height) == (64, 96)
    assert len(stored["result"]) == len(wanted.regions) > 0
    for item, region in zip(stored["result"], wanted.regions, strict=True):
        assert (item["original_width"], item["original_height"]) == (64, 96)
        mask = decode_brush(item["value"]["rle"], 96, 64)
        assert int(mask.sum()) == region.area
        # The first class has a name in the config, the others wait for one.
        assert item["value"]["brushlabels"] == (["cat"] if region.cluster == 0 else [])
        assert item["score"] == pytest.approx(region.score)
    assert stored["score"] == pytest.approx(np.mean([r.score for r in wanted.regions]))


def test_bulk__replace_own_and_nobody_elses(server: Server, tmp_path: Path) -> None:
    project = server.project(BOXES)
    server.upload(project, _photos())
    first = server.tasks(project)[0]["id"]
    somebodys = {"task": first, "result": [], "score": 0.5, "model_version": "yolo 8"}
    answer = server.http.post(f"/api/projects/{project}/import/predictions", json=[somebodys])
    assert answer.is_success

    old = _run(server, project, tmp_path)
    kept = _run(server, project, tmp_path, "levels.dataset_k=[4]", refit=True)
    assert kept.model_version != old.model_version
    assert (kept.earlier, kept.imported) == (N, 0)
    new = _run(server, project, tmp_path, replace_own=True)
    assert new.model_version == kept.model_version
    assert (new.imported, new.removed) == (N, N)
    for task in server.tasks(project):
        assert [p["model_version"] for p in _own(task)] == [new.model_version]
        assert all(item["type"] == "rectanglelabels" for item in _own(task)[0]["result"])
    left = [p["model_version"] for p in server.tasks(project)[0]["predictions"]]
    assert sorted(left) == sorted(["yolo 8", new.model_version])


def test_command__says_what_became_of_every_task(server: Server, tmp_path: Path) -> None:
    project = server.project(BRUSH)
    server.upload(project, [*_photos(), ("broken.jpg", _rotated(9)[:400])])
    command = [sys.executable, "-c", "from prelabel.cli import main; main()"]
    command += ["label-studio", "prelabel", "--project", str(project), "--url", server.url]
    command += ["--backbone", "color-texture", "--recipe", "fast", "--strict"]
    done = subprocess.run(
        command,
        env={**os.environ, "LABEL_STUDIO_API_KEY": TOKEN},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr  # a photo failed, and --strict was given
    assert f"{N} got a prediction" in done.stdout
    assert "cannot be decoded" in done.stdout
    assert TOKEN not in done.stdout + done.stderr
    assert sum(len(_own(task)) for task in server.tasks(project)) == N


def test_bulk__what_the_user_can_mend(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="project"):
        _run(server, 10**6, tmp_path)
    empty = server.project(BRUSH)
    with pytest.raises(UserError, match="no tasks"):
        _run(server, empty, tmp_path)
    with pytest.raises(UserError, match="token") as refused:
        _run(server, empty, tmp_path, token="f" * 40)
    assert "f" * 40 not in str(refused.value)
    choices = """<View><Image name="image" value="$image"/>
<Choices name="c" toName="image"><Choice value="a"/><Choice value="b"/></Choices></View>"""
    with pytest.raises(UserError, match="BrushLabels"):
        _run(server, server.project(choices), tmp_path)


def test_bulk__goes_on_after_the_server_stopped(server: Server, tmp_path: Path) -> None:
    project = server.project(BRUSH)
    server.upload(project, _photos())
    imported = Client.import_predictions

    def stops(client: Client, project_id: int, predictions: Any) -> int:
        server.stop()
        return imported(client, project_id, predictions)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "import_predictions", stops)
        with pytest.raises(UserError, match=r"cannot be reached|goes on"):
            _run(server, project, tmp_path)
    server.start()
    assert not any(task["predictions"] for task in server.tasks(project))
    assert _run(server, project, tmp_path).imported == N
    assert all(len(_own(task)) == 1 for task in server.tasks(project))
