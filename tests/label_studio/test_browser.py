"""The whole way in a real Label Studio and a real browser: connect, retrieve, look, correct, learn,
point, export. The tests build on each other, in this order."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

import builders
from prelabel.data.masks import encode_rle
from prelabel.label_studio.create import Backend
from prelabel.label_studio.demo import demo
from prelabel.label_studio.format.items import decode_item, encode_regions
from prelabel.label_studio.format.label_config import Control, Label, parse_label_config
from prelabel.label_studio.format.labels import is_unnamed
from prelabel.label_studio.format.new_config import new_label_config
from prelabel.label_studio.format.unnamed_labels import add_labels
from prelabel.label_studio.model_version import is_own
from support.browser import LabelStudioTab, chromium
from support.label_studio_server import TOKEN, Server
from support.shapes import Kind, Mask, Shape, as_png, as_png_with_alpha, as_rotated_jpeg, shape

LABELS: tuple[Kind, ...] = ("ball", "box")
SETTINGS = ["--backbone", "color-texture", "--recipe", "fast", "--set", "features.size=224"]
SETTINGS += ["--unnamed", "add"]
BOTH = """<View><Image name="image" value="$image"/>
<BitmaskLabels name="mask" toName="image"><Label value="ball"/><Label value="box"/></BitmaskLabels>
<PolygonLabels name="line" toName="image" model_skip="false"><Label value="ball"/>
<Label value="box"/></PolygonLabels>
</View>"""
SHAPES = {
    **{f"{kind}-{i}.png": shape(kind, i) for i in range(8) for kind in LABELS},
    "ring.png": shape("ring", 16),
    "rotated.jpg": shape("ball", 17, width=150, height=200),
    "alpha.png": shape("box", 18),
    "local.png": shape("ball", 19),
}
WRITERS = {"rotated.jpg": as_rotated_jpeg, "alpha.png": as_png_with_alpha}
BROKEN = "broken.jpg"
CORRECTED = "ball-0.png"

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Stage:
    """All that runs. ``project``: with brushes and all photos, not connected yet."""

    server: Server
    backend: Backend
    tab: LabelStudioTab
    project: int

    def tasks(self) -> dict[str, dict[str, Any]]:
        """The project's tasks by the photo's name."""
        names = [*SHAPES, BROKEN]
        return {
            next(n for n in names if task["data"]["image"].endswith(n)): task
            for task in self.server.tasks(self.project)
        }


@pytest.fixture(scope="module")
def stage(label_studio: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("browser")
    photos = label_studio.files / "photos"
    photos.mkdir(parents=True)
    (photos / "local.png").write_bytes(as_png(SHAPES["local.png"]))
    with chromium() as browser, demo.backend(label_studio, folder, SETTINGS) as backend:
        tab = LabelStudioTab(browser, label_studio, folder)
        yield Stage(label_studio, backend, tab, _project(label_studio, photos))


def _project(server: Server, local: Path) -> int:
    """Uploads, one of them broken, and a local file."""
    project = server.project(new_label_config(LABELS))
    server.upload(project, [(n, _file(n)) for n in SHAPES if n != "local.png"])
    server.upload(project, [(BROKEN, as_rotated_jpeg(shape("box", 20))[:900])])
    storage = {"project": project, "path": str(local), "title": "local", "use_blob_urls": True}
    server.json("POST", "/api/storages/localfiles", json=storage)
    task = {"data": {"image": "/data/local-files/?d=photos/local.png"}}
    server.json("POST", f"/api/projects/{project}/import", json=[task])
    return project


def _file(name: str) -> bytes:
    return WRITERS.get(name, as_png)(SHAPES[name])


def _mask(item: dict[str, Any]) -> Mask:
    found = decode_item(item, height=item["original_height"], width=item["original_width"])
    assert found is not None
    return found


def _iou(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


def _own(task: dict[str, Any]) -> list[dict[str, Any]]:
    return [p for p in task["predictions"] if is_own(p["model_version"])]


def _labels(task: dict[str, Any]) -> list[str]:
    """Of the first region of its newest prediction of this tool."""
    own = sorted(_own(task), key=lambda prediction: int(prediction["id"]))
    items = own[-1]["result"] if own else []
    return list(items[0]["value"]["brushlabels"]) if items else []


def _middle(of: Shape) -> tuple[int, int]:
    y, x = np.nonzero(of.mask)
    return int(x.mean()), int(y.mean())


def _command(stage: Stage, *words: str) -> str:
    """What a command of ``prelabel label-studio`` prints."""
    place = ["--project", str(stage.project), "--url", stage.server.url]
    return _prelabel("label-studio", *words, *place)


def _prelabel(*words: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "prelabel", *words],
        env={**os.environ, "LABEL_STUDIO_API_KEY": TOKEN},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Connect ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def connected(stage: Stage) -> Stage:
    """Through the page; a wrong password first."""
    status, page = stage.tab.connect(stage.project, stage.backend.url, "label-studio", "wrong")
    stage.tab.save("1-wrong-password")
    assert status == 400
    assert "401 Client Error: Unauthorized" in page
    assert stage.server.json("GET", "/api/ml", params={"project": stage.project}) == []
    status, _ = stage.tab.connect(
        stage.project, stage.backend.url, stage.backend.user, stage.backend.password
    )
    stage.tab.save("2-connected")
    assert status == 201
    return stage


def test_connect__password_counts(connected: Stage) -> None:
    [row] = connected.server.json("GET", "/api/ml", params={"project": connected.project})
    assert (row["readable_state"], row["is_interactive"]) == ("Connected", True)


# Retrieve -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def retrieved(connected: Stage) -> Stage:
    connected.tab.retrieve(connected.project)
    connected.tab.save("3-retrieved")
    return connected


def test_retrieve__one_prediction_each_and_nothing_twice(retrieved: Stage) -> None:
    first = retrieved.tasks()
    assert {name: len(task["predictions"]) for name, task in first.items()} == {
        **dict.fromkeys(SHAPES, 1),
        BROKEN: 0,
    }
    assert len({p["model_version"] for task in first.values() for p in task["predictions"]}) == 1
    retrieved.tab.retrieve(retrieved.project)
    again = retrieved.tasks()
    for name, task in first.items():
        assert [p["id"] for p in again[name]["predictions"]] == [
            p["id"] for p in task["predictions"]
        ]


def test_retrieve__masks_are_the_things(retrieved: Stage) -> None:
    tasks = retrieved.tasks()
    ious = []
    for name, made in SHAPES.items():
        [item] = _own(tasks[name])[0]["result"]
        ious.append(_iou(_mask(item), made.mask))
    assert min(ious) > 0.9
    assert np.mean(ious) > 0.97


# Look ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ring.png", "rotated.jpg", "alpha.png", "local.png"])
def test_page__draws_masks_where_they_were_predicted(retrieved: Stage, name: str) -> None:
    task = retrieved.tasks()[name]
    [item] = _own(task)[0]["result"]
    [region] = retrieved.tab.open(retrieved.project, task["id"])
    assert (region["id"], region["type"]) == (item["id"], "brushregion")
    tinted, seen, plain = retrieved.tab.drawn([item["id"]])
    retrieved.tab.save(f"4-{Path(name).stem}")

    mask = _mask(item)
    assert tinted.shape == mask.shape
    assert seen.mean() > 0.8
    assert (tinted == mask)[seen].mean() > 0.995
    if name != "alpha.png":  # what shows through is the page's own colour
        assert np.abs(plain - SHAPES[name].pixels)[seen].mean() < 8
    if name == "ring.png":
        x, y = _middle(SHAPES[name])
        hole = np.s_[y - 5 : y + 6, x - 5 : x + 6]
        assert seen[hole].all()
        assert not mask[hole].any()
        assert not tinted[hole].any()
        assert tinted[SHAPES[name].mask & seen].mean() > 0.95
        assert not tinted[:, :8].any()


# Correct ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corrected(retrieved: Stage) -> Stage:
    """One region is called a ball, made larger with the brush, smaller with the eraser."""
    task = retrieved.tasks()[CORRECTED]
    x, y = _middle(SHAPES[CORRECTED])
    left = int(np.flatnonzero(SHAPES[CORRECTED].mask[y])[0])
    tab = retrieved.tab
    [region] = tab.open(retrieved.project, task["id"])
    assert all(is_unnamed(label) for label in region["labels"])
    tab.select_region()
    tab.label(0, "ball")
    tab.drag("brush-tool", (left + 5, y), (left - 15, y))
    tab.drag("eraser", (x - 10, y), (x + 10, y))
    tab.save("5-corrected")
    tab.submit()
    tab.save("6-submitted")
    return retrieved


def test_correction__is_stored_as_it_was_drawn(corrected: Stage) -> None:
    task = corrected.tasks()[CORRECTED]
    [annotation] = task["annotations"]
    [item] = annotation["result"]
    assert item["origin"] == "prediction-changed"
    assert item["value"]["brushlabels"] == ["ball"]
    [predicted] = _own(task)[0]["result"]
    assert item["id"] == predicted["id"]
    before, after = _mask(predicted), _mask(item)
    x, y = _middle(SHAPES[CORRECTED])
    left = int(np.flatnonzero(SHAPES[CORRECTED].mask[y])[0])
    assert after[y, left - 14 : left].all()
    assert not after[y, x - 8 : x + 9].any()
    strokes = np.zeros_like(before)  # nothing has changed but near them
    strokes[y - 8 : y + 9, left - 25 : left + 15] = True
    strokes[y - 8 : y + 9, x - 20 : x + 21] = True
    np.testing.assert_array_equal(before[~strokes], after[~strokes])


# Names --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def named(corrected: Stage) -> Stage:
    """The name has reached the other tasks, without a command and without retrieving."""
    began = time.monotonic()
    while not any(_labels(task) == ["ball"] for task in corrected.tasks().values()):
        assert time.monotonic() - began < 60
        time.sleep(0.5)
    print(f"the name reached other tasks in {time.monotonic() - began:.0f} s")
    assert "ball (1)" in _command(corrected, "names")
    while any(len(_own(task)) > 1 for task in corrected.tasks().values()):
        assert time.monotonic() - began < 200
        time.sleep(1)
    return corrected


def test_names__a_named_class_is_named_elsewhere(named: Stage) -> None:
    tasks = named.tasks()
    labels = {name: _labels(tasks[name]) for name in SHAPES if name != CORRECTED}
    balls = [name for name, own in labels.items() if own == ["ball"]]
    assert balls
    assert all(SHAPES[name].kind != "box" for name in balls)
    others = [label for name in labels if name not in balls for label in labels[name]]
    assert all(is_unnamed(label) for label in others)
    [region] = named.tab.open(named.project, tasks[balls[0]]["id"])
    named.tab.save("7-named")
    assert region["labels"] == ["ball"]


def test_names__backend_and_bulk_agree(named: Stage) -> None:
    before = {name: [p["id"] for p in task["predictions"]] for name, task in named.tasks().items()}
    named.tab.retrieve(named.project)
    after = {name: [p["id"] for p in task["predictions"]] for name, task in named.tasks().items()}
    assert {n: p for n, p in after.items() if n != CORRECTED} == {
        n: p for n, p in before.items() if n != CORRECTED
    }


# Point --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "control", "name"),
    [("key-point-tool", 1, "box-1.png"), ("rectangle-tool", 2, "box-3.png")],
)
def test_smart__finds_what_was_pointed_at(
    retrieved: Stage, tool: str, control: int, name: str
) -> None:
    tab, made = retrieved.tab, SHAPES[name]
    tab.open(retrieved.project, retrieved.tasks()[name]["id"])
    tab.delete_region()
    assert tab.regions() == []
    tab.smart(tool)
    tab.label(control, "box")
    if tool == "key-point-tool":
        tab.answered(_middle(made), _middle(made))
    else:
        y, x = np.nonzero(made.mask)
        tab.answered((x.min() - 6, y.min() - 6), (x.max() + 6, y.max() + 6))
    [region] = tab.regions()
    assert (region["type"], region["labels"]) == ("brushregion", ["box"])
    tinted, seen, _ = tab.drawn([region["id"]])
    tab.save(f"8-{tool}")
    assert _iou(tinted, made.mask & seen) > 0.9


# Export -------------------------------------------------------------------------------------------


def test_export__is_what_was_drawn_and_true(named: Stage, tmp_path: Path) -> None:
    # What has no name yet is kept and called by its name; the rest stays as it was predicted.
    for name, task in named.tasks().items():
        for item in _own(task)[0]["result"] if name != BROKEN else ():
            if name != CORRECTED and all(map(is_unnamed, item["value"]["brushlabels"])):
                label = "box" if SHAPES[name].kind == "box" else "ball"
                kept = {**item, "value": {**item["value"], "brushlabels": [label]}}
                named.server.annotate(task["id"], [{**kept, "origin": "prediction"}])

    place = ["--project", str(named.project), "--url", named.server.url]
    out = ["--format", "coco", "--out", str(tmp_path / "out")]
    printed = _prelabel("export", *place, *out, "--what", "both")
    assert str(len(SHAPES)) in printed
    coco = COCO(tmp_path / "out" / "coco" / "instances.json")
    ids = {Path(image["file_name"]).name: image["id"] for image in coco.imgs.values()}
    assert set(SHAPES) <= set(ids)
    masks = {}
    for name, made in SHAPES.items():
        [annotation] = coco.imgToAnns[ids[name]]
        masks[name] = coco.annToMask(annotation).astype(bool)
        category = coco.cats[annotation["category_id"]]["name"]
        assert category == ("box" if made.kind == "box" else "ball")
    stored = named.tasks()[CORRECTED]["annotations"][0]["result"][0]
    np.testing.assert_array_equal(masks[CORRECTED], _mask(stored))
    ious = [_iou(masks[name], made.mask) for name, made in SHAPES.items()]
    assert min(ious) > 0.9

    # And measured, against what was drawn when the photos were made.
    exported = tmp_path / "out" / "coco" / "instances.json"
    truth = {
        "images": [coco.imgs[ids[name]] for name in SHAPES],
        "categories": [{"id": 1, "name": "ball"}, {"id": 2, "name": "box"}],
        "annotations": [
            {
                "id": number,
                "image_id": ids[name],
                "category_id": 2 if made.kind == "box" else 1,
                "segmentation": encode_rle(made.mask),
            }
            for number, (name, made) in enumerate(SHAPES.items(), start=1)
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    result = tmp_path / "evaluation"
    named_alike = ["--classes", "by-name", "--out", str(result)]
    printed = _prelabel("evaluate", str(exported), str(tmp_path / "truth.json"), *named_alike)
    assert "foreground IoU" in printed
    figures = json.loads((result / "evaluation.json").read_text())
    assert figures["foreground_iou"] == pytest.approx(np.mean(ious), abs=1e-3)
    assert figures["mean_iou"] > 0.9


# Other controls -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both(stage: Stage) -> Stage:
    """Another project: bitmasks and polygons, fewer photos, connected."""
    names = ["ring.png", "rotated.jpg", *list(SHAPES)[:8]]
    project = stage.server.project(BOTH)
    stage.server.upload(project, [(n, _file(n)) for n in names])
    stage.server.connect(
        project,
        stage.backend.url,
        auth_method="BASIC_AUTH",
        basic_auth_user=stage.backend.user,
        basic_auth_pass=stage.backend.password,
    )
    return replace(stage, project=project)


def test_opening__predicts_a_task_of_a_project_that_was_never_fitted(both: Stage) -> None:
    task = both.tasks()["rotated.jpg"]
    assert task["predictions"] == []
    both.tab.open(both.project, task["id"])
    [prediction] = both.tasks()["rotated.jpg"]["predictions"]
    assert prediction["model_version"].startswith("image-level-")
    _compare(both, prediction["result"], "9-image-level")


CONTROLS = {
    "brush": "BrushLabels",
    "bitmask": "BitmaskLabels",
    "polygon": "PolygonLabels",
    "rectangle": "RectangleLabels",
}
SEEN = 0.04
"""Of all colours: how much a label of an unnamed class must change a photo's, in the mean of the
mask's pixels."""


@pytest.mark.parametrize("kind", CONTROLS)
def test_contrast__a_region_is_seen_before_it_is_named(stage: Stage, kind: str) -> None:
    """Named, with the label of an unnamed class, with a guess, and as it was: without a label."""
    grey = np.full_like(SHAPES["ball-1.png"].pixels, 110)  # neither like a colour nor like none
    made = replace(SHAPES["ball-1.png"], pixels=grey)
    tag = CONTROLS[kind]
    plain = (
        f'<View><Image name="image" value="$image"/><{tag} name="label" toName="image">'
        f'<Label value="ball"/><Label value="box"/></{tag}></View>'
    )
    project = stage.server.project(add_labels(plain, ["object 1", "object 2"]))
    stage.server.upload(project, [("grey.png", as_png(made))])
    [task] = stage.server.tasks(project)
    [control] = parse_label_config(plain).controls
    found = builders.prediction("photo", builders.region(made.mask, score=0.9))
    items: dict[str, list[dict[str, Any]]] = {}
    for label in ("ball", "object 1", "object 2", None):  # in one place, and shown one by one
        encoded, _ = encode_regions(found, {0: label}, _with_label(control, label))
        items[str(label)] = [
            {**item, "id": f"{label}-{n}".replace(" ", "-")} for n, item in enumerate(encoded)
        ]
    predicted = {"task": task["id"], "result": list(chain(*items.values()))}
    stage.server.json("POST", f"/api/projects/{project}/import/predictions", json=[predicted])
    stage.tab.open(project, task["id"])
    before = stage.tab.colours([])
    contrasts = {}
    for label, shown in items.items():
        changed = np.abs(stage.tab.colours([item["id"] for item in shown]) - before).mean(axis=2)
        contrasts[label] = float(changed[_inside(made, kind)].mean()) / 255
        stage.tab.save(f"contrast-{kind}-{label}")
    print(kind, {label: round(value, 3) for label, value in contrasts.items()})
    unnamed = [contrasts["object 1"], contrasts["object 2"]]
    assert min(unnamed) > max(SEEN, 2 * contrasts["None"])
    assert contrasts["ball"] > contrasts["None"]  # a colour that Label Studio has chosen


def _with_label(control: Control, label: str | None) -> Control:
    known = [*control.labels, *([Label(label)] if label else [])]
    return replace(control, labels=tuple(known))


def _inside(made: Shape, kind: str) -> Mask:
    """The pixels of a region; of a box, those of the box."""
    if kind != "rectangle":
        return made.mask
    y, x = np.nonzero(made.mask)
    box = np.zeros_like(made.mask)
    box[y.min() : y.max() + 1, x.min() : x.max() + 1] = True
    return box


def test_bitmask_and_polygon__are_drawn_where_they_were_predicted(both: Stage) -> None:
    printed = _command(both, "predict", "--replace-own", *SETTINGS)
    assert re.search(r"\b(9|10) got a prediction", printed)  # one was opened, then fitted anew
    task = both.tasks()["ring.png"]
    [prediction] = task["predictions"]
    both.tab.open(both.project, task["id"])
    _compare(both, prediction["result"], "9-ring")
    masks = {item["type"]: _mask(item) for item in prediction["result"]}
    x, y = _middle(SHAPES["ring.png"])
    assert not masks["bitmasklabels"][y, x]
    assert masks["polygonlabels"][y, x]  # a polygon has no holes


def _compare(stage: Stage, result: list[dict[str, Any]], shot: str) -> None:
    """Each item by itself, with what the open page draws for it."""
    assert {item["type"] for item in result} == {"bitmasklabels", "polygonlabels"}
    for item in result:
        tinted, seen, _ = stage.tab.drawn([item["id"]])
        stage.tab.save(f"{shot}-{item['type']}")
        assert _iou(tinted, _mask(item) & seen) > 0.95, item["type"]
