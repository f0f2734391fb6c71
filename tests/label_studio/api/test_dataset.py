"""`prelabel export --project` and tasks.json against a real Label Studio."""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from typer.testing import Result

from builders import box, prediction, region
from prelabel.data.dataset import ExportContext
from prelabel.data.masks import Mask, decode_rle
from prelabel.label_studio.format.items import ResultItem, encode_regions
from prelabel.label_studio.format.label_config import Control
from prelabel.label_studio.format.shapes import Kind
from prelabel.runs.datasets import open_dataset
from prelabel.strategies import registry
from support.command_line import cli
from support.label_studio_server import TOKEN, Server
from support.small_photos import scene

pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.timeout(600),
]

HEIGHT, WIDTH = 64, 96
KINDS: tuple[Kind, ...] = ("brush", "bitmask", "polygon", "rectangle")
CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image">
<Label value="zebra"/><Label value="cat"/><Label value="dog"/></BrushLabels>
<BitmaskLabels name="bitmask" toName="image"><Label value="dog"/></BitmaskLabels>
<PolygonLabels name="polygon" toName="image"><Label value="dog"/></PolygonLabels>
<RectangleLabels name="rectangle" toName="image"><Label value="cat"/></RectangleLabels></View>"""


_mask = partial(box, photo=(HEIGHT, WIDTH))
RING = _mask(10, 10, 30, 30) & ~_mask(20, 20, 10, 10)
SPECKLED = _mask(50, 5, 20, 20) | _mask(80, 50, 1, 1) | _mask(90, 60, 2, 1)
SQUARE = _mask(4, 45, 12, 12)
TALL = box(5, 60, 20, 30, photo=(WIDTH, HEIGHT))


def _item(mask: Mask, kind: Kind, label: str) -> ResultItem:
    drawn = prediction("x", region(mask, score=0.75))
    control = Control(kind, kind, "image", "image", labels=())
    (item,), _ = encode_regions(drawn, {0: label}, control, tolerance=0)
    return item


def _photo(seed: int, *, turned: bool = False) -> bytes:
    """With ``turned``: stored lying, shown upright."""
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    Image.fromarray(scene(seed, WIDTH, HEIGHT)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def _predicted(
    project: int, label_studio: Server, task: int, version: str, *items: ResultItem
) -> None:
    label_studio.json(
        "POST",
        "/api/predictions/",
        json={"task": task, "result": list(items), "score": 0.5, "model_version": version},
    )


@pytest.fixture(scope="module")
def project(label_studio: Server) -> int:
    """Five photos: annotated; turned by EXIF and annotated; predicted only; nothing at all; skipped.
    The first two have one name."""
    number = label_studio.project(CONFIG)
    names = ["same.jpg", "same.jpg", "a_b.jpg", "nothing.jpg", "skipped.jpg"]
    label_studio.upload(number, [(n, _photo(i, turned=i in (1, 3))) for i, n in enumerate(names)])
    one, two, three, _, five = (task["id"] for task in label_studio.tasks(number))
    label_studio.annotate(
        one, [_item(SQUARE, "brush", "zebra")]
    )  # an older one, which does not count
    label_studio.annotate(
        one,
        [
            _item(RING, "brush", "cat"),
            _item(SPECKLED, "bitmask", "dog"),
            _item(SQUARE, "polygon", "dog"),
            _item(SQUARE, "rectangle", "cat"),
        ],
    )
    label_studio.annotate(two, [_item(TALL, "brush", "dog")])
    _predicted(number, label_studio, one, "m-1", _item(SQUARE, "brush", "zebra"))
    _predicted(number, label_studio, three, "m-1", _item(SQUARE, "brush", "cat"))
    _predicted(number, label_studio, three, "m-2", _item(SPECKLED, "brush", "dog"))
    label_studio.json(
        "POST", f"/api/tasks/{five}/annotations/", json={"result": [], "was_cancelled": True}
    )
    return number


def _export(label_studio: Server, project: int, out: Path, *more: object) -> Result:
    place = ("--project", project, "--url", label_studio.url, "--token", TOKEN)
    return cli("export", *place, "--out", out, "--format", "coco", *more)


def _photos(coco: COCO) -> dict[str, list[tuple[str, Mask]]]:
    names = {c["id"]: c["name"] for c in coco.dataset["categories"]}
    return {
        image["file_name"]: [
            (names[a["category_id"]], _drawn(coco, a))
            for a in coco.loadAnns(coco.getAnnIds(image["id"]))
        ]
        for image in coco.dataset["images"]
    }


def _drawn(coco: COCO, annotation: dict[str, Any]) -> Mask:
    """Its mask; of a rectangle, which has none, the box."""
    if annotation["segmentation"]:
        return np.asarray(coco.annToMask(annotation), dtype=np.bool_)
    image = coco.imgs[annotation["image_id"]]
    x, y, width, height = annotation["bbox"]
    found = np.zeros((image["height"], image["width"]), dtype=np.bool_)
    found[y : y + height, x : x + width] = True
    return found


def _same(found: list[tuple[str, Mask]], expected: list[tuple[str, Mask]]) -> bool:
    return len(found) == len(expected) and all(
        a == b and np.array_equal(x, y) for (a, x), (b, y) in zip(found, expected, strict=True)
    )


ANNOTATED = [("cat", RING), ("dog", SPECKLED), ("dog", SQUARE), ("cat", SQUARE)]


def test_annotations__every_pixel_of_every_region(
    label_studio: Server, project: int, tmp_path: Path
) -> None:
    result = _export(label_studio, project, tmp_path / "out", "--with-untouched")
    assert result.exit_code == 0, result.output
    coco = COCO(tmp_path / "out" / "coco" / "instances.json")
    found = _photos(coco)
    assert len(found) == 5
    one, two, *rest = sorted(found, key=lambda name: -len(found[name]))
    assert one == "same.jpg"
    assert two.endswith("/same.jpg")
    assert _same(found[one], ANNOTATED)
    assert _same(found[two], [("dog", TALL)])
    assert sorted(rest) == ["a_b.jpg", "nothing.jpg", "skipped.jpg"]
    assert not any(found[name] for name in rest)
    sizes = {i["file_name"]: (i["width"], i["height"]) for i in coco.dataset["images"]}
    upright = {name for name, size in sizes.items() if size == (HEIGHT, WIDTH)}
    assert upright == {two, "nothing.jpg"}
    assert [c["name"] for c in coco.dataset["categories"]] == ["zebra", "cat", "dog"]
    assert "photos   5" in result.stdout
    assert "regions  5" in result.stdout


def test_annotations__photos_that_nobody_has_annotated_stay_out(
    label_studio: Server, project: int, tmp_path: Path
) -> None:
    result = _export(label_studio, project, tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = _photos(COCO(tmp_path / "out" / "coco" / "instances.json"))
    assert sorted(len(regions) for regions in found.values()) == [1, 4]
    assert "2 of 5 photos are annotated" in result.output


def test_predictions_and_both(label_studio: Server, project: int, tmp_path: Path) -> None:
    assert _export(label_studio, project, tmp_path / "p", "--what", "predictions").exit_code == 0
    coco = COCO(tmp_path / "p" / "coco" / "instances.json")
    found = _photos(coco)
    assert _same(found["same.jpg"], [("zebra", SQUARE)])
    assert _same(found["a_b.jpg"], [("dog", SPECKLED)])
    assert {(a["model_version"], a["score"]) for a in coco.dataset["annotations"]} == {
        ("m-1", 0.75),
        ("m-2", 0.75),
    }
    assert _export(label_studio, project, tmp_path / "b", "--what", "both").exit_code == 0
    found = _photos(COCO(tmp_path / "b" / "coco" / "instances.json"))
    assert _same(found["same.jpg"], ANNOTATED)
    assert _same(found["a_b.jpg"], [("dog", SPECKLED)])


def test_photos_into__under_their_names(label_studio: Server, project: int, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    whole = ("--with-untouched", "--photos-into", photos)
    assert _export(label_studio, project, tmp_path / "a", *whole).exit_code == 0
    data = json.loads((tmp_path / "a" / "coco" / "instances.json").read_text())
    for image in data["images"]:
        with Image.open(photos / image["file_name"]) as opened:
            lying = opened.getexif().get(0x0112) == 6
            assert opened.size == (WIDTH, HEIGHT)
        size = (HEIGHT, WIDTH) if lying else (WIDTH, HEIGHT)
        assert (image["width"], image["height"]) == size
    assert _export(label_studio, project, tmp_path / "a", *whole).exit_code == 0
    (photos / "nothing.jpg").write_bytes(b"mine")
    refused = _export(label_studio, project, tmp_path / "a", *whole)
    assert refused.exit_code == 2
    assert "is there and is another photo" in refused.stderr
    assert (photos / "nothing.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize("kind", ["JSON", "JSON_MIN"])
def test_own_exports__are_read_alike(
    kind: str, label_studio: Server, project: int, tmp_path: Path
) -> None:
    answer = label_studio.http.get(
        f"/api/projects/{project}/export",
        params={"exportType": kind, "download_all_tasks": "true"},
    )
    file = tmp_path / "export.json"
    file.write_bytes(answer.content)
    (tmp_path / "label_config.xml").write_text(CONFIG)
    assert _export(label_studio, project, tmp_path / "out").exit_code == 0
    exported = _photos(COCO(tmp_path / "out" / "coco" / "instances.json"))
    dataset = open_dataset(file)
    assert dataset.classes == ("zebra", "cat", "dog")
    read = {
        p.photo: [(dataset.classes[r.cluster], decode_rle(r.rle)) for r in p.regions]
        for p in dataset.stream()
    }
    assert len(read) == 2  # the others have no region, so no size
    assert all(_same(read[name], exported[name]) for name in read)


@pytest.mark.parametrize("kind", KINDS)
def test_tasks_json__is_imported_as_it_is_and_comes_back(
    kind: Kind, label_studio: Server, tmp_path: Path
) -> None:
    photos = [
        prediction("a/ü 1.jpg", region(RING, 1), region(SQUARE)),
        prediction("nothing.jpg", size=(HEIGHT, WIDTH)),
    ]
    exporter = registry.make("exporter", "label-studio", {"kind": kind, "tolerance": 0})
    context = ExportContext(Path("photos"), ("dog", "cat"), "m-1")
    file = exporter.write(photos, tmp_path, context)
    project = label_studio.project((tmp_path / "label_config.xml").read_text())
    answer = label_studio.json(
        "POST", f"/api/projects/{project}/import", json=json.loads(file.read_bytes())
    )
    assert (answer["task_count"], answer["prediction_count"]) == (2, 2)
    first, second = label_studio.tasks(project)
    written = json.loads(file.read_bytes())
    assert first["predictions"][0]["result"] == written[0]["predictions"][0]["result"]
    assert first["predictions"][0]["model_version"] == "m-1"
    assert second["predictions"][0]["result"] == []
    assert first["data"] == written[0]["data"]

    result = _export(label_studio, project, tmp_path / "out", "--what", "predictions")
    assert result.exit_code == 0, result.output
    found = _photos(COCO(tmp_path / "out" / "coco" / "instances.json"))
    assert list(found) == ["a/ü 1.jpg", "nothing.jpg"]
    around = _mask(10, 10, 30, 30)  # the ring, without its hole
    ring = RING if kind in ("brush", "bitmask") else around
    assert _same(found["a/ü 1.jpg"], [("cat", ring), ("dog", SQUARE)])


def test_faults__nothing_is_written(label_studio: Server, project: int, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "has no project 987654" in _export(label_studio, 987654, out).stderr
    place = ("--url", label_studio.url, "--out", out, "--format", "coco")
    refused = cli("export", "--project", project, "--token", "0" * 40, *place)
    assert refused.exit_code == 2
    assert not out.exists()
