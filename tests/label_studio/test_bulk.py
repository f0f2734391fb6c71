"""`prelabel label-studio predict` against a real Label Studio."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from prelabel.data.brush import decode_brush
from prelabel.errors import UserError
from prelabel.label_studio import bulk, prediction_writer
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.errors import ServerFault
from prelabel.label_studio.api.photos import Fetcher
from prelabel.label_studio.bulk import Options, Totals
from prelabel.label_studio.model_version import is_own
from prelabel.label_studio.project_folder import ProjectFolder
from support.label_studio_server import TOKEN, Server
from support.small_photos import scene, tiny_config

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


def _photos() -> list[tuple[str, bytes]]:
    return [(f"{i}.png", _png(i)) for i in range(N - 1)] + [("rotated.jpg", _rotated(N))]


def _run(
    label_studio: Server,
    project: int,
    folder: Path,
    *overrides: str,
    token: str = TOKEN,
    **options: Any,
) -> Totals:
    with Client(label_studio.url, token, attempts=2, wait=0.05) as client:
        fetcher = Fetcher(client, folder / "photos")
        config = tiny_config(*overrides)
        return bulk.predict_project(
            client,
            fetcher,
            project,
            ProjectFolder(folder / str(project)),
            config,
            Options(**options),
        )


def _own(task: dict[str, Any]) -> list[dict[str, Any]]:
    return [p for p in task["predictions"] if is_own(p["model_version"])]


def test_bulk__every_task_once_and_nothing_twice(label_studio: Server, tmp_path: Path) -> None:
    project = label_studio.project(BRUSH)
    label_studio.upload(project, _photos())
    label_studio.upload(project, [("broken.jpg", _rotated(9)[:400])])
    first = label_studio.tasks(project)[0]["id"]
    label_studio.annotate(first, [])

    tried = _run(label_studio, project, tmp_path, dry_run=True)
    assert (tried.imported, tried.labelled, len(tried.failed)) == (N - 1, 1, 1)
    assert not any(task["predictions"] for task in label_studio.tasks(project))

    totals = _run(label_studio, project, tmp_path)
    assert totals.tasks == N + 1
    assert (totals.labelled, totals.imported, len(totals.failed)) == (1, N - 1, 1)
    assert "cannot be decoded" in next(iter(totals.failed.values()))
    tasks = label_studio.tasks(project)
    assert [len(_own(task)) for task in tasks] == [0] + [1] * (N - 1) + [0]
    assert sum(len(_own(t)[0]["result"]) for t in tasks[1:N]) == totals.regions > 0
    assert tasks[0]["total_annotations"] == 1

    again = _run(label_studio, project, tmp_path)
    assert (again.current, again.imported) == (N - 1, 0)
    assert [len(_own(task)) for task in label_studio.tasks(project)] == [0] + [1] * (N - 1) + [0]


def _next(label_studio: Server, project: int) -> list[str]:
    """The versions of the predictions that an annotator's next task comes with."""
    task = label_studio.json("GET", f"/api/projects/{project}/next")
    return [p["model_version"] for p in task["predictions"]]


def test_bulk__the_label_stream_shows_what_was_predicted(
    label_studio: Server, tmp_path: Path
) -> None:
    project = label_studio.project(BRUSH)
    label_studio.upload(project, _photos())
    kept = _run(label_studio, project, tmp_path, keep_project_settings=True)
    assert (kept.shown, _next(label_studio, project)) == ("", [])
    totals = _run(label_studio, project, tmp_path)
    assert (totals.imported, totals.current) == (0, N)
    assert totals.model_version in totals.shown
    assert _next(label_studio, project) == [totals.model_version]

    # New names make a new version, which is shown instead, and the old one goes in one request.
    task = label_studio.tasks(project)[0]
    named = [
        {**item, "origin": "prediction", "value": {**item["value"], "brushlabels": ["dog"]}}
        for item in _own(task)[0]["result"]
    ]
    label_studio.annotate(task["id"], named)
    again = _run(label_studio, project, tmp_path, replace_own=True, labelled=True)
    assert again.model_version != totals.model_version
    assert (again.imported, again.removed) == (N, N)
    assert _next(label_studio, project) == [again.model_version]
    tasks = label_studio.tasks(project)
    assert [task["total_predictions"] for task in tasks] == [1] * N
    assert [[p["model_version"] for p in _own(t)] for t in tasks] == [[again.model_version]] * N

    # What is doubled, however it came about, is mended by the next run.
    doubles = [
        {"task": t["id"], "result": [], "model_version": v, "score": 0.5}
        for t in tasks
        for v in (again.model_version, totals.model_version)
    ]
    label_studio.json("POST", f"/api/projects/{project}/import/predictions", json=doubles)
    assert _run(label_studio, project, tmp_path).removed == 2 * N
    assert [[p["id"] for p in _own(t)] for t in label_studio.tasks(project)] == [
        [p["id"] for p in _own(t)] for t in tasks
    ]


def test_bulk__masks_arrive_as_they_were_found(label_studio: Server, tmp_path: Path) -> None:
    from prelabel.data.records import ImageFile
    from prelabel.pipeline import predict
    from prelabel.steps.photos import PhotoSet

    project = label_studio.project(BRUSH)
    label_studio.upload(project, _photos())
    _run(label_studio, project, tmp_path)
    model = ProjectFolder(tmp_path / str(project)).newest_model()
    assert model is not None
    rotated = tmp_path / "rotated.jpg"
    rotated.write_bytes(_rotated(N))
    expected = next(predict(model, PhotoSet(tmp_path, (ImageFile("rotated.jpg", rotated),))))
    stored = _own(label_studio.tasks(project)[-1])[0]
    assert (expected.width, expected.height) == (64, 96)
    assert len(stored["result"]) == len(expected.regions) > 0
    for item, region in zip(stored["result"], expected.regions, strict=True):
        assert (item["original_width"], item["original_height"]) == (64, 96)
        mask = decode_brush(item["value"]["rle"], 96, 64)
        assert int(mask.sum()) == region.area
        # The first class has a name in the config, the others wait for one.
        assert item["value"]["brushlabels"] == (["cat"] if region.cluster == 0 else [])
        assert item["score"] == pytest.approx(region.score)
    assert stored["score"] == pytest.approx(np.mean([r.score for r in expected.regions]))


def test_bulk__replace_own_leaves_predictions_of_others(
    label_studio: Server, tmp_path: Path
) -> None:
    project = label_studio.project(BOXES)
    label_studio.upload(project, _photos())
    first = label_studio.tasks(project)[0]["id"]
    somebodys = {"task": first, "result": [], "score": 0.5, "model_version": "yolo 8"}
    answer = label_studio.http.post(f"/api/projects/{project}/import/predictions", json=[somebodys])
    assert answer.is_success

    old = _run(label_studio, project, tmp_path)
    kept = _run(label_studio, project, tmp_path, "levels.dataset_k=[4]", refit=True)
    assert kept.model_version != old.model_version
    assert (kept.earlier, kept.imported) == (N, 0)
    new = _run(label_studio, project, tmp_path, replace_own=True)
    assert new.model_version == kept.model_version
    assert (new.imported, new.removed) == (N, N)
    for task in label_studio.tasks(project):
        assert [p["model_version"] for p in _own(task)] == [new.model_version]
        assert all(item["type"] == "rectanglelabels" for item in _own(task)[0]["result"])
    left = [p["model_version"] for p in label_studio.tasks(project)[0]["predictions"]]
    assert sorted(left) == sorted(["yolo 8", new.model_version])


def test_command__says_what_became_of_every_task(label_studio: Server, tmp_path: Path) -> None:
    project = label_studio.project(BRUSH)
    label_studio.upload(project, [*_photos(), ("broken.jpg", _rotated(9)[:400])])
    command = [sys.executable, "-m", "prelabel"]
    command += ["label-studio", "predict", "--project", str(project), "--url", label_studio.url]
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
    assert sum(len(_own(task)) for task in label_studio.tasks(project)) == N


def test_bulk__errors_that_users_can_correct(label_studio: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="project"):
        _run(label_studio, 10**6, tmp_path)
    empty = label_studio.project(BRUSH)
    with pytest.raises(UserError, match="no tasks"):
        _run(label_studio, empty, tmp_path)
    with pytest.raises(UserError, match="token") as refused:
        _run(label_studio, empty, tmp_path, token="f" * 40)
    assert "f" * 40 not in str(refused.value)
    choices = """<View><Image name="image" value="$image"/>
<Choices name="c" toName="image"><Choice value="a"/><Choice value="b"/></Choices></View>"""
    with pytest.raises(UserError, match="BrushLabels"):
        _run(label_studio, label_studio.project(choices), tmp_path)


def test_bulk__goes_on_after_the_server_stopped(label_studio: Server, tmp_path: Path) -> None:
    project = label_studio.project(BRUSH)
    label_studio.upload(project, _photos())
    imported = Client.import_predictions

    def stops(client: Client, project_id: int, predictions: Any) -> int:
        label_studio.stop()
        return imported(client, project_id, predictions)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "import_predictions", stops)
        with pytest.raises(UserError, match=r"cannot be reached|goes on"):
            _run(label_studio, project, tmp_path)
    label_studio.start()
    assert not any(task["predictions"] for task in label_studio.tasks(project))
    assert _run(label_studio, project, tmp_path).imported == N
    assert all(len(_own(task)) == 1 for task in label_studio.tasks(project))


def test_bulk__learns_names_from_what_is_annotated(label_studio: Server, tmp_path: Path) -> None:
    project = label_studio.project(BRUSH.replace(' predicted_values="object 1"', ""))
    label_studio.upload(project, _photos())
    first = _run(label_studio, project, tmp_path)
    assert first.losses.unnamed == first.regions > 0
    # A person keeps one photo's regions as cats and submits.
    task = label_studio.tasks(project)[0]
    prediction = _own(task)[0]
    kept = [
        {**item, "origin": "prediction", "value": {**item["value"], "brushlabels": ["cat"]}}
        for item in prediction["result"]
    ]
    label_studio.annotate(task["id"], kept)

    second = _run(label_studio, project, tmp_path, replace_own=True)
    assert second.learned_from == 1
    assert second.model_version == first.model_version.replace("-0", "-1")
    assert (second.imported, second.removed, second.labelled) == (N - 1, N - 1, 1)
    clusters = {item["id"] for item in prediction["result"]}
    assert clusters
    named = [
        item["value"]["brushlabels"]
        for other in label_studio.tasks(project)[1:]
        for item in _own(other)[0]["result"]
    ]
    assert ["cat"] in named
    assert all(labels in (["cat"], []) for labels in named)
    # Nothing new: nothing is learned, and nothing predicted again.
    third = _run(label_studio, project, tmp_path)
    assert (third.learned_from, third.current, third.imported) == (0, N - 1, 0)
    assert third.model_version == second.model_version


def test_bulk__a_task_with_two_images_and_lists_of_them(
    label_studio: Server, tmp_path: Path
) -> None:
    two = """<View><Image name="left" value="$a"/><Image name="right" value="$b"/>
<BrushLabels name="label" toName="left,right"><Label value="cat"/></BrushLabels></View>"""
    several = """<View><Image name="image" valueList="$all"/>
<BrushLabels name="label" toName="image"><Label value="cat"/></BrushLabels></View>"""
    place = label_studio.project(BRUSH)
    label_studio.upload(place, _photos())
    where = [task["data"]["image"] for task in label_studio.tasks(place)]

    pairs = label_studio.project(two)
    tasks = [
        {"data": {"a": where[0], "b": where[1]}},
        {"data": {"a": where[2], "b": "/data/upload/0/gone.png"}},
    ]
    label_studio.json("POST", f"/api/projects/{pairs}/import", json=tasks)
    totals = _run(label_studio, pairs, tmp_path / "two")
    assert (totals.imported, list(totals.failed)) == (1, [label_studio.tasks(pairs)[1]["id"]])
    assert "cannot be fetched" in next(iter(totals.failed.values()))
    items = _own(label_studio.tasks(pairs)[0])[0]["result"]
    assert {item["to_name"] for item in items} == {"left", "right"}
    assert len({item["id"] for item in items}) == len(items)

    lists = label_studio.project(several)
    label_studio.json("POST", f"/api/projects/{lists}/import", json=[{"data": {"all": where[:3]}}])
    totals = _run(label_studio, lists, tmp_path / "several")
    assert totals.imported == 1
    items = _own(label_studio.tasks(lists)[0])[0]["result"]
    assert {item["item_index"] for item in items} == {0, 1, 2}


def test_bulk__a_label_config_that_changed_since_the_fit(
    label_studio: Server, tmp_path: Path
) -> None:
    project = label_studio.project(BRUSH)
    label_studio.upload(project, _photos())
    old = _run(label_studio, project, tmp_path)
    label_studio.json("PATCH", f"/api/projects/{project}/", json={"label_config": BOXES})
    new = _run(label_studio, project, tmp_path)
    # The model stays, and what it has predicted is not made twice; asked for, boxes come.
    assert (new.model_version, new.current) == (old.model_version, N)
    _run(label_studio, project, tmp_path, "levels.dataset_k=[4]", refit=True, replace_own=True)
    for task in label_studio.tasks(project):
        assert {item["type"] for item in _own(task)[0]["result"]} <= {"rectanglelabels"}
        assert len(_own(task)) == 1


def test_bulk__a_server_that_fails_now_and_then(label_studio: Server, tmp_path: Path) -> None:
    """500 to the first import: it may be stored or not, so it is not repeated by itself."""
    project = label_studio.project(BRUSH)
    label_studio.upload(project, _photos())
    asked = Client.import_predictions
    calls = []

    def fails_once(client: Client, project_id: int, predictions: Any) -> int:
        calls.append(len(predictions))
        if len(calls) == 1:
            raise ServerFault(f"{client.url} answered 500: see the server's log", reason="500")
        return asked(client, project_id, predictions)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "import_predictions", fails_once)
        patch.setattr(prediction_writer, "_BATCH", 2)
        with pytest.raises(UserError, match="500"):
            _run(label_studio, project, tmp_path)
        assert _run(label_studio, project, tmp_path).imported == N
    assert all(len(_own(task)) == 1 for task in label_studio.tasks(project))


def test_bulk__a_token_that_is_revoked_half_way(label_studio: Server, tmp_path: Path) -> None:
    project = label_studio.project(BRUSH)
    label_studio.upload(project, _photos())
    imported = Client.import_predictions

    def revoked(client: Client, project_id: int, predictions: Any) -> int:
        done = imported(client, project_id, predictions)
        client._transport.token._token = "0" * 40
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "import_predictions", revoked)
        patch.setattr(prediction_writer, "_BATCH", 2)
        with pytest.raises(UserError, match="refuses the token"):
            _run(label_studio, project, tmp_path)
    assert sum(len(_own(task)) for task in label_studio.tasks(project)) == 2
    again = _run(label_studio, project, tmp_path)
    assert (again.current, again.imported) == (2, N - 2)
    assert all(len(_own(task)) == 1 for task in label_studio.tasks(project))


def test_command__two_at_once_fit_once_and_give_one_prediction_each(
    label_studio: Server, tmp_path: Path
) -> None:
    project = label_studio.project(BRUSH)
    label_studio.upload(project, _photos())
    command = [sys.executable, "-m", "prelabel"]
    command += ["label-studio", "predict", "--project", str(project), "--url", label_studio.url]
    command += ["--backbone", "color-texture", "--recipe", "fast"]
    environment = {**os.environ, "LABEL_STUDIO_API_KEY": TOKEN}
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    versions = {
        row.split()[-1] for text in printed for row in text.splitlines() if row[:5] == "model"
    }
    assert len(versions) == 1
    for task in label_studio.tasks(project):
        assert {p["model_version"] for p in _own(task)} == versions
        assert len(_own(task)) == task["total_predictions"] == 1


def test_bulk__addresses_that_are_no_photo_cost_their_task_only(
    label_studio: Server, tmp_path: Path
) -> None:
    project = label_studio.project(BRUSH)
    label_studio.upload(project, _photos())
    pages = ["/", "/projects", f"/projects/{project}/data", "/user/login/", "/api/projects/"]
    files = [
        "/data/upload/0/gone.png",
        "/data/local-files/?d=gone.png",
        "/tasks/1/resolve/?fileuri=x",
    ]
    tasks = [{"data": {"image": image}} for image in (*pages, *files)]
    label_studio.json("POST", f"/api/projects/{project}/import", json=tasks)
    totals = _run(label_studio, project, tmp_path)
    assert (totals.imported, len(totals.failed)) == (N, len(tasks))
    assert [len(_own(t)) for t in label_studio.tasks(project)] == [1] * N + [0] * len(tasks)
