"""The label-studio exporter: what it writes, which the SDK checks, and reads again."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from label_studio_sdk.label_interface import LabelInterface
from msgspec import structs

from builders import HEIGHT, PARTS, RING, WIDTH, prediction, region
from prelabel.data.dataset import ExportContext
from prelabel.data.masks import Mask
from prelabel.data.records import AttributeValue, Prediction
from prelabel.errors import UserError
from prelabel.runs.datasets import open_dataset
from prelabel.strategies import registry
from support.label_studio_exports import (
    annotated,
    write_export,
)

CONTEXT = ExportContext(Path("/data/photos"), classes=("dog", "cat", "tree"), model_version="m-1")


def _written(folder: Path, photos: Sequence[Prediction], **own: Any) -> list[dict[str, Any]]:
    exporter = registry.make("exporter", "label-studio", own)
    tasks: list[dict[str, Any]] = json.loads(exporter.write(photos, folder, CONTEXT).read_bytes())
    return tasks


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
    photo = prediction("x.jpg", region(RING, cluster=2), region(PARTS))
    (task,) = _written(tmp_path, [photo], kind=kind)
    config = LabelInterface((tmp_path / "label_config.xml").read_text())
    assert config.get_control("label").tag == tag
    (found,) = task["predictions"]
    assert config.validate_prediction(found, return_errors=True) == []
    # PARTS are five single pixels: five polygons, else one region.
    assert len(found["result"]) == (6 if kind == "polygon" else 2)
    assert {item["type"] for item in found["result"]} == {f"{kind}labels"}


def test_write__what_a_kind_cannot_hold_is_counted(tmp_path: Path) -> None:
    def lines(kind: str) -> list[str]:
        context = ExportContext(Path("p"), ("dog",), "m-1")
        photo = prediction("x.jpg", region(RING), region(PARTS, crowd=True))
        registry.make("exporter", "label-studio", {"kind": kind}).write([photo], tmp_path, context)
        return context.problems.lines()

    crowd = "1 crowds left out, which Label Studio does not have (x.jpg)"
    assert lines("brush") == [crowd]
    assert lines("polygon") == [crowd, "1 holes filled, since polygons have none (x.jpg)"]
    assert lines("rectangle") == [crowd, "1 regions of which only the box is kept (x.jpg)"]


def test_write__the_project_s_own_label_config_decides(tmp_path: Path) -> None:
    config = tmp_path / "own.xml"
    config.write_text(
        """<View><Image name="img" valueList="$pages"/>
        <BrushLabels name="a" toName="img"><Label value="Hund" predicted_values="dog"/></BrushLabels>
        <BrushLabels name="b" toName="img"><Label value="cat"/></BrushLabels>
        <RectangleLabels name="box" toName="img"><Label value="cat"/></RectangleLabels></View>"""
    )
    photo = prediction(
        "x.jpg",
        region(RING, cluster=0, score=0.9),
        region(RING, cluster=1, score=0.8),
        region(PARTS, cluster=2, score=0.7),
    )
    (tmp_path / "out").mkdir()
    (task,) = _written(tmp_path / "out", [photo], label_config=str(config))
    assert list(task["data"]) == ["pages"]
    assert task["data"]["pages"] == ["/data/local-files/?d=photos/x.jpg"]
    found = [
        (item["from_name"], item["value"][item["type"]], item["item_index"])
        for item in task["predictions"][0]["result"]
    ]
    # The tree has no label anywhere: it goes to the first of the finest tags, without one.
    assert sorted(found) == [("a", [], 0), ("a", ["Hund"], 0), ("b", ["cat"], 0)]
    assert (tmp_path / "out" / "label_config.xml").read_text() == config.read_text()


def test_write__a_label_config_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.xml: not a label config"):
        _written(tmp_path, [], label_config=str(tmp_path / "gone.xml"))
    assert not list(tmp_path.iterdir())


AWKWARD = ["plain.jpg", "a/b c.d.png", "#?%20&.jpg", "new\nline.jpg", "ü 🐕.webp"]


@pytest.mark.slow
@settings(max_examples=30)
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
        region(
            mask,
            cluster=data.draw(st.integers(-1, 2)),
            score=data.draw(st.floats(0, 1)),
        )
        for mask in masks
    ]
    regions.sort(key=lambda region: -region.score)
    photos = [prediction(name, *regions) for name in AWKWARD]
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
    exporter.write([prediction("a/nothing.jpg")], tmp_path, CONTEXT)
    (found,) = open_dataset(tmp_path).stream()
    assert (found.photo, found.width, found.height, found.regions) == ("a/nothing.jpg", 10, 8, ())


def test_recognizes__tasks_and_nothing_else(tmp_path: Path) -> None:
    reader = registry.make("exporter", "label-studio", {})
    for text in ("", "[", "[]", "{}", "[1]", '{"images": []}', '[{"image_id": 1}]', "\xff\xfe"):
        file = tmp_path / "x.json"
        file.write_text(text, encoding="latin-1")
        assert not reader.recognizes(file)
    assert not reader.recognizes(tmp_path)
    assert not reader.recognizes(tmp_path / "gone")
    assert reader.recognizes(write_export(tmp_path, [annotated()]))
    reader.write([], tmp_path, CONTEXT)
    assert reader.recognizes(tmp_path)


def test_attributes__go_to_coco_and_round_label_studio(tmp_path: Path) -> None:
    said: dict[str, AttributeValue] = {"state": "new", "parts": 3, "tags": ["a", "b"]}
    regions = [structs.replace(region(RING), attributes=said), region(PARTS)]
    written = prediction("x.jpg", *regions)
    for kind in ("brush", "bitmask"):
        out = tmp_path / kind
        out.mkdir()
        _written(out, [written], kind=kind)
        (found,) = open_dataset(out).stream()
        assert [r.attributes for r in found.regions] == [said, {}]
    coco = tmp_path / "coco"
    coco.mkdir()
    registry.make("exporter", "coco", {}).write([written], coco, CONTEXT)
    annotations = json.loads((coco / "instances.json").read_text())["annotations"]
    assert [a.get("attributes") for a in annotations] == [said, None]


def test_attributes__without_a_tag_in_the_project_s_label_config(tmp_path: Path) -> None:
    config = tmp_path / "own.xml"
    config.write_text(
        '<View><Image name="i" value="$i"/><BrushLabels name="b" toName="i"><Label value="dog"/>'
        '</BrushLabels><Choices name="state" toName="i" perRegion="true"><Choice value="new"/>'
        "</Choices></View>"
    )
    said: dict[str, AttributeValue] = {"state": "new", "parts": 3}
    photo = prediction("x.jpg", structs.replace(region(RING), attributes=said))
    context = ExportContext(Path("p"), ("dog",), "m-1")
    (tmp_path / "out").mkdir()
    exporter = registry.make("exporter", "label-studio", {"label_config": str(config)})
    exporter.write([photo], tmp_path / "out", context)
    assert context.problems.lines() == ["1 attributes that no tag can hold, left out (x.jpg)"]
    (found,) = open_dataset(tmp_path / "out").stream()
    assert found.regions[0].attributes == {"state": "new"}


def test_write__polygons_within_the_budget_and_what_it_costs_is_said(tmp_path: Path) -> None:
    y, x = np.indices((300, 300)) - 150
    star = np.hypot(x, y) < 90 + 40 * np.sin(11 * np.arctan2(y, x))
    context = ExportContext(Path("p"), ("dog",), "m-1")
    for most, expected in ((0, 60), (20, 0)):
        exporter = registry.make(
            "exporter", "label-studio", {"kind": "polygon", "max_points": most}
        )
        exporter.write([prediction("x.jpg", region(star))], tmp_path, context)
        (task,) = json.loads((tmp_path / "tasks.json").read_text())
        (item,) = task["predictions"][0]["result"]
        assert (len(item["value"]["points"]) > expected) or not most
        assert not most or len(item["value"]["points"]) <= most
    (*_, line) = context.problems.lines()
    assert re.fullmatch(
        r"1 outlines simplified, at a mean IoU of 0\.[6-9]\d\d with the exact ones", line
    )
