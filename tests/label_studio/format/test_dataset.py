"""Label Studio's JSON written and read: whose labels count, which photo they are on, and faults."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from label_studio_sdk.converter import Converter, brush
from label_studio_sdk.label_interface import LabelInterface
from PIL import Image

from prelabel.data.brush import encode_brush
from prelabel.data.dataset import Dataset, ExportContext
from prelabel.data.masks import Mask, decode_rle, encode_rle, rle_area, rle_box
from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.label_studio.format import task_file
from prelabel.label_studio.format.photo_names import UniqueNames, photo_name
from prelabel.runs.datasets import open_dataset
from prelabel.strategies import registry

# pycocotools does not know numpy 2's `copy` yet: harmless, but pytest keeps every warning.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

HEIGHT, WIDTH = 8, 10
CONTEXT = ExportContext(Path("/data/photos"), classes=("dog", "cat", "tree"), model_version="m-1")
CONFIG = """<View><Image name="img" value="$image"/>
<BrushLabels name="brush" toName="img"><Label value="tree"/><Label value="cat"/></BrushLabels>
<PolygonLabels name="poly" toName="img"><Label value="cat"/></PolygonLabels>
<RectangleLabels name="box" toName="img"><Label value="cat"/><Label value="dog"/></RectangleLabels>
<BitmaskLabels name="bits" toName="img"><Label value="cat"/></BitmaskLabels></View>"""


def _box(x: int, y: int, w: int, h: int) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    mask[y : y + h, x : x + w] = True
    return mask


RING = _box(2, 1, 5, 5) & ~_box(3, 3, 3, 1)
PARTS = _box(0, 7, 10, 1) & (np.arange(WIDTH) % 2 == 0)


def _region(mask: Mask, *, cluster: int = 0, score: float = 0.5, crowd: bool = False) -> Region:
    rle = encode_rle(mask)
    return Region(rle, rle_box(rle), rle_area(rle), score, cluster, crowd)


def _prediction(photo: str, *regions: Region) -> Prediction:
    height, width = regions[0].rle["size"] if regions else (HEIGHT, WIDTH)
    return Prediction(photo, "", width, height, regions, 0.0, 0, "m-1")


def _item(mask: Mask, label: str | None = "cat", **more: Any) -> dict[str, Any]:
    """A brush region as the SDK writes one."""
    rle = brush.mask2rle(mask.astype(np.uint8) * 255)
    value = {"format": "rle", "rle": rle, "brushlabels": [label] if label else []}
    item = {
        "id": "r1",
        "type": "brushlabels",
        "from_name": "brush",
        "to_name": "img",
        "original_width": mask.shape[1],
        "original_height": mask.shape[0],
        "image_rotation": 0,
        "value": value,
    }
    return item | more


def _shape(kind: str, value: dict[str, Any], label: str = "cat", **more: Any) -> dict[str, Any]:
    value = {**value, kind: [label]}
    return _item(RING, type=kind, from_name=kind, value=value, id="r2") | more


def _task(*items: Any, number: int = 1, **more: Any) -> dict[str, Any]:
    annotation = {"id": 10 * number, "updated_at": "2026-01-01T00:00:00Z", "result": list(items)}
    return {
        "id": number,
        "data": {"image": f"/data/upload/1/0a1b2c3d-{number}.jpg"},
        "annotations": [annotation],
        "predictions": [],
    } | more


def _write(folder: Path, tasks: Sequence[Any], config: str = "") -> Path:
    file = folder / "export.json"
    file.write_text(json.dumps(tasks, indent=2), encoding="utf-8")
    if config:
        (folder / "label_config.xml").write_text(config, encoding="utf-8")
    return file


def _read(folder: Path, tasks: Sequence[Any], config: str = "", **own: Any) -> Dataset:
    reader = registry.make("exporter", "label-studio", own)
    dataset = reader.read(_write(folder, tasks, config))
    assert isinstance(dataset, Dataset)
    return dataset


def _masks(prediction: Prediction) -> list[Mask]:
    return [decode_rle(region.rle) for region in prediction.regions]


def _labels(dataset: Dataset) -> list[list[str | None]]:
    return [
        [dataset.classes[r.cluster] if r.cluster >= 0 else None for r in p.regions]
        for p in dataset.stream()
    ]


def _written(folder: Path, photos: Sequence[Prediction], **own: Any) -> list[dict[str, Any]]:
    exporter = registry.make("exporter", "label-studio", own)
    tasks: list[dict[str, Any]] = json.loads(exporter.write(photos, folder, CONTEXT).read_bytes())
    return tasks


# Writing


@pytest.mark.parametrize(
    ("kind", "tag"),
    [
        ("brush", "BrushLabels"),
        ("bitmask", "BitmaskLabels"),
        ("polygon", "PolygonLabels"),
        ("rectangle", "RectangleLabels"),
    ],
)
def test_write__every_kind_of_tag_as_the_sdk_wants_it(kind: str, tag: str, tmp_path: Path) -> None:
    photo = _prediction("x.jpg", _region(RING, cluster=2), _region(PARTS))
    (task,) = _written(tmp_path, [photo], kind=kind)
    config = LabelInterface((tmp_path / "label_config.xml").read_text())
    assert config.get_control("label").tag == tag
    (prediction,) = task["predictions"]
    assert config.validate_prediction(prediction, return_errors=True) == []
    # PARTS are five single pixels: five polygons, else one region.
    assert len(prediction["result"]) == (6 if kind == "polygon" else 2)
    assert {item["type"] for item in prediction["result"]} == {f"{kind}labels"}


def test_write__what_a_kind_cannot_hold_is_counted(tmp_path: Path) -> None:
    def lines(kind: str) -> list[str]:
        context = ExportContext(Path("p"), ("dog",), "m-1")
        photo = _prediction("x.jpg", _region(RING), _region(PARTS, crowd=True))
        registry.make("exporter", "label-studio", {"kind": kind}).write([photo], tmp_path, context)
        return context.problems.lines()

    crowd = "1 crowds left out, which Label Studio has not (x.jpg)"
    assert lines("brush") == [crowd]
    assert lines("polygon") == [crowd, "1 holes filled, which polygons have not (x.jpg)"]
    assert lines("rectangle") == [crowd, "1 regions of which the box alone is kept (x.jpg)"]


def test_write__the_project_s_own_label_config_decides(tmp_path: Path) -> None:
    config = tmp_path / "own.xml"
    config.write_text(
        """<View><Image name="img" valueList="$pages"/>
        <BrushLabels name="a" toName="img"><Label value="Hund" predicted_values="dog"/></BrushLabels>
        <BrushLabels name="b" toName="img"><Label value="cat"/></BrushLabels>
        <RectangleLabels name="box" toName="img"><Label value="cat"/></RectangleLabels></View>"""
    )
    photo = _prediction(
        "x.jpg",
        _region(RING, cluster=0, score=0.9),
        _region(RING, cluster=1, score=0.8),
        _region(PARTS, cluster=2, score=0.7),
    )
    (tmp_path / "out").mkdir()
    (task,) = _written(tmp_path / "out", [photo], label_config=str(config))
    assert list(task["data"]) == ["pages"]
    assert task["data"]["pages"] == ["/data/local-files/?d=photos/x.jpg"]
    found = [
        (item["from_name"], item["value"][item["type"]], item["item_index"])
        for item in task["predictions"][0]["result"]
    ]
    # The tree has no label anywhere: it goes to the first tag of a kind, without one.
    assert sorted(found[:3]) == [("a", [], 0), ("a", ["Hund"], 0), ("b", ["cat"], 0)]
    assert sorted(found[3:]) == [("box", [], 0), ("box", [], 0), ("box", ["cat"], 0)]
    assert (tmp_path / "out" / "label_config.xml").read_text() == config.read_text()


def test_write__a_label_config_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone.xml: no label config that can be read"):
        _written(tmp_path, [], label_config=str(tmp_path / "gone.xml"))
    assert not list(tmp_path.iterdir())


# Round trips

AWKWARD = ["plain.jpg", "a/b c.d.png", "#?%20&.jpg", "new\nline.jpg", "ü 🐕.webp"]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        hnp.arrays(np.bool_, st.just((HEIGHT, WIDTH))).filter(lambda m: bool(m.any())), max_size=3
    ),
    st.sampled_from(["brush", "bitmask"]),
    st.data(),
)
def test_round_trip__brush_and_bitmask_lose_nothing(
    tmp_path_factory: pytest.TempPathFactory, masks: list[Mask], kind: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    regions = [
        _region(
            mask,
            cluster=data.draw(st.integers(-1, 2)),
            score=data.draw(st.floats(0, 1)),
        )
        for mask in masks
    ]
    regions.sort(key=lambda region: -region.score)
    photos = [_prediction(name, *regions) for name in AWKWARD]
    exporter = registry.make("exporter", "label-studio", {"kind": kind})
    first = exporter.write(photos, folder, CONTEXT).read_bytes()
    dataset = exporter.read(folder)
    assert (dataset.classes, dataset.model_version) == (CONTEXT.classes, "m-1")
    found = list(dataset.stream())
    assert [p.photo for p in found] == AWKWARD
    assert all((p.width, p.height) == (WIDTH, HEIGHT) for p in found)
    assert all(p.regions == tuple(regions) for p in found)
    context = ExportContext(CONTEXT.photos, dataset.classes, dataset.model_version)
    assert exporter.write(dataset.stream(), folder, context).read_bytes() == first


def test_round_trip__photos_without_regions_keep_their_size(tmp_path: Path) -> None:
    exporter = registry.make("exporter", "label-studio", {})
    exporter.write([_prediction("a/nothing.jpg")], tmp_path, CONTEXT)
    (found,) = open_dataset(tmp_path).stream()
    assert (found.photo, found.width, found.height, found.regions) == ("a/nothing.jpg", 10, 8, ())


# Reading: whose labels count


def _predicted(label: str, version: str, created: str, score: float = 0.5) -> dict[str, Any]:
    return {
        "id": 1,
        "model_version": version,
        "created_at": created,
        "score": score,
        "result": [_item(PARTS, label)],
    }


def test_what__annotations_predictions_or_both(tmp_path: Path) -> None:
    predictions = [
        _predicted("tree", "m-2", "2026-02-02T00:00:00Z", score=0.25),
        _predicted("dog", "m-1", "2026-01-01T00:00:00Z"),
    ]
    tasks = [
        _task(_item(RING, "cat"), predictions=predictions),
        _task(number=2, annotations=[], predictions=predictions),
        _task(number=3, predictions=predictions),  # annotated: there is nothing
    ]
    people = _read(tmp_path, tasks, what="annotations")
    # Task 2 has no region that counts, so its size is unknown; task 3 as well.
    assert _labels(people) == [["cat"]]
    assert people.model_version == ""
    machine = _read(tmp_path, tasks, what="predictions")
    assert _labels(machine) == [["tree"]] * 3
    assert machine.model_version == "m-2"
    assert [r.score for p in machine.stream() for r in p.regions] == [0.25] * 3
    assert {p.model_version for p in machine.stream()} == {"m-2"}
    both = _read(tmp_path, tasks, what="both")
    assert _labels(both) == [["cat"], ["tree"]]
    assert [p.model_version for p in both.stream()] == ["", "m-2"]
    assert [r.score for p in both.stream() for r in p.regions] == [1.0, 0.25]
    assert "1 tasks that nobody has annotated, taken from predictions" in both.problems.lines()


def test_what__the_newest_annotation_that_was_not_skipped(tmp_path: Path) -> None:
    def annotation(label: str, updated: str, **more: Any) -> dict[str, Any]:
        return {"id": 1, "updated_at": updated, "result": [_item(RING, label)]} | more

    annotations = [
        annotation("old", "2026-01-01T00:00:00Z"),
        annotation("new", "2026-03-01T00:00:00Z"),
        annotation("skipped", "2026-04-01T00:00:00Z", was_cancelled=True),
    ]
    assert _labels(_read(tmp_path, [_task(annotations=annotations)])) == [["new"]]


def test_what__predictions_that_are_numbers_only_are_said(tmp_path: Path) -> None:
    tasks = [_task(_item(RING), predictions=[4, 5])]
    dataset = _read(tmp_path, tasks, what="predictions", photos=str(tmp_path))
    assert not list(dataset.stream())
    assert "numbers only in this export" in dataset.problems.lines()[0]


# Reading: regions


def test_read__brush_bitmask_polygon_and_rectangle(tmp_path: Path) -> None:
    square = [[20, 25], [60, 25], [60, 75], [20, 75]]  # percents of 10 × 8: x 2–6, y 2–6
    exporter = registry.make("exporter", "label-studio", {"kind": "bitmask"})
    (bits,) = json.loads(
        exporter.write([_prediction("x", _region(RING))], tmp_path, CONTEXT).read_text()
    )
    bitmask = bits["predictions"][0]["result"][0]["value"]["imageDataURL"]
    (tmp_path / "label_config.xml").unlink()
    items = [
        _item(RING, "a"),
        _shape("polygonlabels", {"points": square, "closed": True}, "b"),
        _shape("rectanglelabels", {"x": 0, "y": 0, "width": 30, "height": 12.5}, "c"),
        _shape("bitmasklabels", {"imageDataURL": bitmask}, "d"),
    ]
    (found,) = (dataset := _read(tmp_path, [_task(*items)])).stream()
    assert dataset.classes == ("a", "b", "c", "d")
    assert [r.cluster for r in found.regions] == [0, 1, 2, 3]
    expected = [RING, _box(2, 2, 4, 4), _box(0, 0, 3, 1), RING]
    for mask, wanted in zip(_masks(found), expected, strict=True):
        assert np.array_equal(mask, wanted)
    assert [r.score for r in found.regions] == [1.0] * 4
    union = RING | _box(2, 2, 4, 4) | _box(0, 0, 3, 1)
    assert found.foreground == union.sum() / 80
    assert dataset.problems.lines() == []


def test_read__one_region_with_holes_and_parts_stays_one(tmp_path: Path) -> None:
    (found,) = _read(tmp_path, [_task(_item(RING | PARTS))]).stream()
    (mask,) = _masks(found)
    assert np.array_equal(mask, RING | PARTS)


def test_read__labels_of_a_tag_of_their_own(tmp_path: Path) -> None:
    drawn = _item(RING, type="brush")
    del drawn["value"]["brushlabels"]
    named = _item(RING, type="labels", value={"labels": ["cat"]})
    assert _labels(_read(tmp_path, [_task(drawn, named)])) == [["cat"]]


def test_read__label_config_gives_the_order_and_unlabelled_regions_none(tmp_path: Path) -> None:
    items = [_item(RING, "cat"), _item(PARTS, None), _item(_box(0, 0, 1, 1), "former")]
    dataset = _read(tmp_path, [_task(*items)], CONFIG)
    assert dataset.classes == ("tree", "cat", "dog", "former")
    assert _labels(dataset) == [["cat", None, "former"]]
    assert len(dataset.problems.lines()) == 1
    assert dataset.problems.lines()[0].startswith("1 regions without a label (")


def test_read__a_region_drawn_by_two_tags_is_one(tmp_path: Path) -> None:
    around = {"x": 20, "y": 12.5, "width": 50, "height": 62.5}  # RING's box
    box = _shape("rectanglelabels", around)
    dataset = _read(tmp_path, [_task(box, _item(RING))], CONFIG)
    (found,) = dataset.stream()
    assert [np.array_equal(mask, RING) for mask in _masks(found)] == [True]
    assert dataset.problems.counts == {"regions drawn twice, the finer kept": 1}
    other = _shape("rectanglelabels", around, "dog")
    assert _labels(_read(tmp_path, [_task(other, _item(RING))], CONFIG)) == [["dog", "cat"]]
    assert _labels(_read(tmp_path, [_task(_item(RING), _item(RING))])) == [["cat", "cat"]]


def test_read__several_labels_and_other_tags(tmp_path: Path) -> None:
    two = _item(RING)
    two["value"]["brushlabels"] = ["dog", "cat"]
    choice = _item(RING, type="choices", value={"choices": ["sunny"]})
    ellipse = _item(RING, type="ellipselabels", value={"x": 1, "ellipselabels": ["cat"]})
    relation = {"type": "relation", "from_id": "a", "to_id": "b"}
    dataset = _read(tmp_path, [_task(two, choice, ellipse, relation)])
    assert _labels(dataset) == [["dog"]]
    assert dataset.problems.counts == {
        "regions with several labels, the first of which is kept": 1,
        "regions that are no area (ellipses, points), left out": 1,
    }


# Reading: photos


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/data/upload/1/0a1b2c3d-IMG 7.jpg", "IMG 7.jpg"),
        ("http://host:8080/data/upload/12/0a1b2c3d-x%20y.png", "x y.png"),
        ("/data/upload/1/not-a-prefix.jpg", "not-a-prefix.jpg"),
        ("/data/local-files/?d=photos/sub%20folder/x.jpg", "photos/sub folder/x.jpg"),
        ("/data/local-files/?d=../../etc/passwd", "etc/passwd"),
        ("/data/local-files/?d=/data/x.jpg", "data/x.jpg"),
        ("https://example.com/a/../../b/x.jpg?size=2", "a/b/x.jpg"),
        ("https://example.com/%2e%2e/%2e%2e/x.jpg", "x.jpg"),
        ("s3://bucket/a/b.jpg", "a/b.jpg"),
        ("gs://bucket/b.jpg", "b.jpg"),
        ("https://example.com/", "task-7"),
        ("data:image/jpeg;base64,AAAA", "task-7.jpg"),
        ("data:image/png;base64,AAAA", "task-7.png"),
        ("http://[broken", "task-7"),
        ("sub/x#1.jpg", "sub/x#1.jpg"),
    ],
)
def test_photo_name__from_every_kind_of_address(uri: str, name: str) -> None:
    assert photo_name(uri, 7) == name


@given(st.text(max_size=40))
def test_photo_name__never_leads_out_of_a_folder(text: str) -> None:
    for uri in (
        text,
        f"/data/local-files/?d={text}",
        f"https://h/{text}",
        f"/data/upload/1/{text}",
    ):
        parts = photo_name(uri, 7).split("/")
        assert not {"", ".", ".."} & set(parts)
        assert "\0" not in "".join(parts)


def test_unique_names__equal_names_get_the_task_before_them() -> None:
    names = UniqueNames()
    taken = [names.take(n, t) for n, t in [("x.jpg", 1), ("X.jpg", 2), ("x.jpg", 2), ("x.jpg", 2)]]
    assert taken == ["x.jpg", "task-2/X.jpg", "_task-2/x.jpg", "task-2/_task-2/x.jpg"]


def test_read__several_photos_in_a_task(tmp_path: Path) -> None:
    config = """<View><Image name="img" valueList="$pages"/><Image name="side" value="$side"/>
    <BrushLabels name="brush" toName="img"><Label value="cat"/></BrushLabels>
    <BrushLabels name="other" toName="side"><Label value="dog"/></BrushLabels></View>"""
    task = _task(
        _item(RING, item_index=1),
        _item(PARTS, "dog", from_name="other", to_name="side"),
        _item(_box(0, 0, 1, 1)),  # without an index: the first
        _item(_box(0, 0, 1, 1), item_index=5),
        data={"pages": ["/data/upload/1/a.jpg", "/data/upload/1/b.jpg"], "side": "s3://b/c.jpg"},
    )
    dataset = _read(tmp_path, [task], config)
    found = {p.photo: _masks(p) for p in dataset.stream()}
    assert list(found) == ["a.jpg", "b.jpg", "c.jpg"]
    assert np.array_equal(found["a.jpg"], [_box(0, 0, 1, 1)])
    assert np.array_equal(found["b.jpg"], [RING])
    assert np.array_equal(found["c.jpg"], [PARTS])
    assert [(n, "which photo" in k) for k, n in dataset.problems.counts.items()] == [(1, True)]


def test_read__sizes_from_the_photos_where_they_are(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "a").mkdir(parents=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(photos / "a" / "5.jpg")
    (photos / "notes.txt").write_text("no photo")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, shown upright
    Image.new("RGB", (WIDTH, HEIGHT)).save(photos / "1.jpg", exif=exif)
    Image.new("RGB", (WIDTH, HEIGHT)).save(photos / "2.jpg")
    upright = np.ones((WIDTH, HEIGHT), dtype=np.bool_)
    tasks = [
        _task(_item(upright), _item(RING)),
        _task(number=2),
        _task(_item(RING), number=3),
        _task(number=4),
    ]
    dataset = open_dataset(_write(tmp_path, tasks), photos=photos)
    found = list(dataset.stream())
    assert [(p.photo, p.width, p.height, len(p.regions)) for p in found] == [
        ("1.jpg", 8, 10, 1),
        ("2.jpg", 10, 8, 0),
        ("3.jpg", 10, 8, 1),
    ]
    another, gone, unknown, reverse = dataset.problems.lines()
    assert "1 regions drawn on a photo of another size, left out" in another
    assert "task 1, region 'r1': 10 × 8, the photo has 8 × 10" in another
    assert "1 photos that are not there, whose labels are kept" in gone
    assert "task 3: " in gone
    assert "1 photos left out" in unknown
    assert "task 4: 4.jpg" in unknown
    assert reverse == f"1 photos in the folder that no task has ({photos / 'a' / '5.jpg'})"


def test_read__without_a_region_or_the_photo_there_is_no_size(tmp_path: Path) -> None:
    dataset = _read(tmp_path, [_task(), _task(_item(RING), number=2)])
    assert [p.photo for p in dataset.stream()] == ["2.jpg"]
    (line,) = dataset.problems.lines()
    assert line.startswith("1 photos without a region left out, since nothing tells their size")
    assert "task 1: 1.jpg" in line


# JSON_MIN


def test_json_min__of_the_sdk_gives_the_same_regions(tmp_path: Path) -> None:
    square = [[20, 25], [60, 25], [60, 75]]
    tasks = [
        _task(
            _item(RING, "tree"),
            _shape("polygonlabels", {"points": square}, from_name="poly"),
            _shape(
                "rectanglelabels",
                {"x": 0, "y": 0, "width": 30, "height": 50, "rotation": 0},
                "dog",
                from_name="box",
            ),
        ),
        _task(_item(PARTS), number=2),
    ]
    file = _write(tmp_path, tasks, CONFIG)
    Converter(CONFIG, str(tmp_path)).convert_to_json_min(str(file), str(tmp_path), is_dir=False)
    minimal = tmp_path / "result.json"
    assert "data" not in json.loads(minimal.read_text())[0]
    assert task_file.looks_like_tasks(minimal)
    whole, less = open_dataset(file), open_dataset(minimal)
    assert less.classes == whole.classes
    assert list(less.stream()) == list(whole.stream())


def test_json_min__two_annotations_of_a_task_are_two_rows_of_one(tmp_path: Path) -> None:
    def row(task: int, annotation: int | None, mask: Mask, updated: str) -> dict[str, Any]:
        value = _item(mask)["value"] | {"original_width": 10, "original_height": 8}
        return {
            "image": f"/data/upload/1/0a1b2c3d-{task}.jpg",
            "id": task,
            "label": [value],
            "annotator": 1,
            "annotation_id": annotation,
            "updated_at": updated,
        }

    rows = [
        row(1, 10, RING, "2026-02-01T00:00:00Z"),
        row(1, 11, PARTS, "2026-01-01T00:00:00Z"),
        row(2, 12, PARTS, "2026-01-01T00:00:00Z"),
        row(3, None, PARTS, ""),
    ]
    found = {p.photo: _masks(p) for p in _read(tmp_path, rows).stream()}
    assert list(found) == ["1.jpg", "2.jpg"]
    assert np.array_equal(found["1.jpg"], [RING])


# Faults


def test_fault__cut_off_anywhere_is_one_error(tmp_path: Path) -> None:
    file = _write(tmp_path, [_task(_item(RING)), _task(_item(PARTS), number=2)])
    whole = file.read_text()
    for end in {1, 2, len(whole) // 4, len(whole) // 2, len(whole) - 30, len(whole) - 1}:
        file.write_text(whole[:end])
        with pytest.raises(UserError, match=r"export.json: cut off in item \d"):
            open_dataset(file, format="label-studio")


def test_fault__cut_off_while_it_is_convertible_is_recognized(tmp_path: Path) -> None:
    file = _write(tmp_path, [_task(_item(RING))])
    file.write_text(file.read_text()[:200])
    with pytest.raises(UserError, match="cut off in item 1: export it again"):
        open_dataset(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"id": 1, "data": {"image": oh}}' + " " * 99 + "]", "damaged in item 1"),
        ('[{"id": 1, "data": {}} {"id": 2}' + " " * 99 + "]", "damaged in item 2 .',' wanted"),
        ('[{"id": 1, "data": {}}] more', "holds more behind the end"),
        ('{"id": 1, "data": {}}', "no list of tasks"),
        ("", "no list of tasks"),
        ('[{"id": 1}]', "item 1 is no task of Label Studio"),
        ('[{"id": 1, "data": {}}, 5]', "item 2 is no task but 5"),
        ("[" * 100_000, "no JSON in UTF-8"),
        ('[{"id": 1, "data": "\xff"}]', "item 1 is no task|no JSON in UTF-8"),
    ],
)
def test_fault__no_tasks(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=f"x.json: .*({said})"):
        open_dataset(file, format="label-studio")


def test_json_tasks__tasks_larger_than_what_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [_task(_item(RING), number=n, note="ü" * 7 * n) for n in range(30)]
    file = _write(tmp_path, tasks)
    for size in (1, 2, 3, 64, 1000):
        monkeypatch.setattr(task_file, "_CHUNK", size)
        assert list(task_file.json_tasks(file)) == tasks


def _damaged(**value: Any) -> dict[str, Any]:
    item = _item(RING)
    return item | {"value": item["value"] | value}


@pytest.mark.parametrize(
    ("item", "kind", "said"),
    [
        (_damaged(rle=encode_brush(RING)[:-4]), "cannot be read", "brush RLE ends after"),
        (
            _damaged(rle=encode_brush(np.ones((9, 10), np.bool_))),
            "cannot be read",
            "360 values, expected 320",
        ),
        (_damaged(rle="AAAA"), "cannot be read", "'r1'"),
        (_item(RING, value=None), "cannot be read", "'r1'"),
        (_item(np.zeros((8, 10), np.bool_)), "without a pixel", "'r1'"),
        (_item(RING, original_width=11), "another size", "11 × 8, the photo has 10 × 8"),
        (_item(RING, image_rotation=90), "turned photo", "'r1'"),
        (
            _shape("polygonlabels", {"points": [[0, 0], [50, 50]]}),
            "polygons with fewer than 3 corners",
            "'r2'",
        ),
        (
            _shape("polygonlabels", {"points": [[0, 0], ["a", 50], [1, 1]]}),
            "cannot be read",
            "'r2'",
        ),
        (_shape("rectanglelabels", {"x": 1, "y": 1, "width": 9}), "cannot be read", "no 'height'"),
    ],
)
def test_fault__of_one_region_costs_that_region(
    item: dict[str, Any], kind: str, said: str, tmp_path: Path
) -> None:
    good = [_item(PARTS, "dog", id="good"), _item(_box(0, 0, 2, 2), "dog", id="good")]
    dataset = _read(tmp_path, [_task(item, *good)])
    assert _labels(dataset) == [["dog", "dog"]]
    (line,) = dataset.problems.lines()
    assert line.startswith("1 ")
    assert kind in line
    assert "export.json, task 1" in line
    assert said in line


def test_fault__a_polygon_that_crosses_itself_is_filled_and_said(tmp_path: Path) -> None:
    bow = [[0, 0], [100, 100], [100, 0], [0, 100]]
    dataset = _read(tmp_path, [_task(_shape("polygonlabels", {"points": bow}))])
    (found,) = dataset.stream()
    assert 30 <= found.regions[0].area <= 50  # two triangles, half of the photo
    assert dataset.problems.counts == {
        "polygons that cross themselves, filled by the even-odd rule": 1
    }


@pytest.mark.parametrize(
    "size", [(0, 8), (-10, -8), ("10", "8"), (10.5, 8), (None, None), (10**9, 10**9), (True, None)]
)
def test_fault__a_size_that_cannot_be(size: tuple[Any, Any], tmp_path: Path) -> None:
    item = _item(RING, original_width=size[0], original_height=size[1])
    assert list(_read(tmp_path, [_task(item)]).stream()) == []


def test_fault__ids_used_twice_and_tasks_without_a_photo(tmp_path: Path) -> None:
    tasks = [_task(_item(RING)), _task(_item(PARTS)), _task(number=2, data={"text": "hello"})]
    dataset = _read(tmp_path, tasks)
    assert [p.photo for p in dataset.stream()] == ["1.jpg", "task-1/1.jpg"]
    assert dataset.problems.counts == {
        "task ids used twice, both kept": 1,
        "tasks without a photo, left out": 1,
    }


def test_problems__are_counted_anew_with_each_stream(tmp_path: Path) -> None:
    dataset = _read(tmp_path, [_task(_item(RING, None))])
    for _ in range(3):
        list(dataset.stream())
        assert dataset.problems.counts == {"regions without a label": 1}


def test_recognizes__tasks_and_nothing_else(tmp_path: Path) -> None:
    reader = registry.make("exporter", "label-studio", {})
    for text in ("", "[", "[]", "{}", "[1]", '{"images": []}', '[{"image_id": 1}]', "\xff\xfe"):
        file = tmp_path / "x.json"
        file.write_text(text, encoding="latin-1")
        assert not reader.recognizes(file)
    assert not reader.recognizes(tmp_path)
    assert not reader.recognizes(tmp_path / "gone")
    assert reader.recognizes(_write(tmp_path, [_task()]))
    reader.write([], tmp_path, CONTEXT)
    assert reader.recognizes(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_brush_rle__four_times_as_fast_as_the_sdk(noise: float) -> None:
    """Both in one run, in turns: whatever else the machine does slows both."""
    y, x = np.mgrid[:960, :1280]
    mask = np.hypot(y - 480, x - 640) < 300
    mask ^= np.random.default_rng(0).random(mask.shape) < noise
    picture = mask.astype(np.uint8) * 255
    assert encode_brush(mask) == brush.mask2rle(picture)
    own, sdk = [], []
    for _ in range(5):
        moments = [time.perf_counter()]
        for encode in (lambda: encode_brush(mask), lambda: brush.mask2rle(picture)):
            encode()
            moments.append(time.perf_counter())
        own.append(moments[1] - moments[0])
        sdk.append(moments[2] - moments[1])
    assert min(sdk) >= 4 * min(own)


@pytest.mark.slow
def test_read__memory_stays_flat(tmp_path: Path) -> None:
    def peak(n: int) -> int:
        file = _write(tmp_path, [_task(_item(RING), number=i) for i in range(n)])
        tracemalloc.start()
        for _ in open_dataset(file).stream():
            pass
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    peak(10)
    # Part of the file is in memory in any case: both are larger than that.
    assert peak(4_000) - peak(2_000) < 2_000 * 1_000  # bytes
