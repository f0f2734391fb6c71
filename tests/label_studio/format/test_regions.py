"""Result items read as regions; what cannot be read costs that region."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import PARTS, RING, box, item, prediction, region
from prelabel.data.brush import encode_brush
from prelabel.label_studio.format.items import encode_regions
from prelabel.label_studio.format.label_config import Control
from support.label_studio_exports import (
    CONFIG,
    annotated,
    labels,
    masks,
    read_export,
    shape_item,
)


def test_read__brush_bitmask_polygon_and_rectangle(tmp_path: Path) -> None:
    square = [[20, 25], [60, 25], [60, 75], [20, 75]]  # percents of 10 × 8: x 2–6, y 2–6
    control = Control("bitmask", "bits", "img", "image", labels=())
    (bitmask,), _ = encode_regions(prediction("x", region(RING)), {}, control)
    items = [
        item(RING, "a"),
        shape_item("polygonlabels", {"points": square, "closed": True}, "b"),
        shape_item("rectanglelabels", {"x": 0, "y": 0, "width": 30, "height": 12.5}, "c"),
        shape_item("bitmasklabels", bitmask["value"], "d"),
    ]
    (found,) = (dataset := read_export(tmp_path, [annotated(*items)])).stream()
    assert dataset.classes == ("a", "b", "c", "d")
    assert [r.cluster for r in found.regions] == [0, 1, 2, 3]
    expected = [RING, box(2, 2, 4, 4), box(0, 0, 3, 1), RING]
    for mask, own in zip(masks(found), expected, strict=True):
        assert np.array_equal(mask, own)
    assert [r.score for r in found.regions] == [1.0] * 4
    assert [r.is_box for r in found.regions] == [False, False, True, False]
    union = RING | box(2, 2, 4, 4) | box(0, 0, 3, 1)
    assert found.foreground == union.sum() / 80
    assert dataset.problems.lines() == []


def test_read__a_turned_rectangle_is_more_than_its_box(tmp_path: Path) -> None:
    turned = {"x": 50, "y": 25, "width": 30, "height": 25, "rotation": 30}
    (found,) = read_export(tmp_path, [annotated(shape_item("rectanglelabels", turned))]).stream()
    assert [r.is_box for r in found.regions] == [False]


def test_read__ellipses_closed_paths_and_a_photo_turned_on_the_screen(tmp_path: Path) -> None:
    disc = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 25, "rotation": 0}  # radii of 2 pixels
    corners = [{"x": x, "y": y} for x, y in ((20, 25), (60, 25), (60, 75), (20, 75))]
    items = [
        shape_item("ellipselabels", disc, "a"),
        shape_item("vectorlabels", {"vertices": corners, "closed": True}, "b"),
        item(RING, "c", image_rotation=90),  # regions are kept as they are on the photo
    ]
    (found,) = (dataset := read_export(tmp_path, [annotated(*items)])).stream()
    circle = np.zeros((8, 10), dtype=np.bool_)
    circle[2:6, 3:7] = [[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]]
    assert [mask.tolist() for mask in masks(found)] == [
        circle.tolist(),
        box(2, 2, 4, 4).tolist(),
        RING.tolist(),
    ]
    assert dataset.problems.lines() == []


def test_read__one_region_with_holes_and_parts_stays_one(tmp_path: Path) -> None:
    (found,) = read_export(tmp_path, [annotated(item(RING | PARTS))]).stream()
    (mask,) = masks(found)
    assert np.array_equal(mask, RING | PARTS)


def test_read__labels_of_a_tag_of_their_own(tmp_path: Path) -> None:
    drawn = item(RING, type="brush")
    del drawn["value"]["brushlabels"]
    named = item(RING, type="labels", value={"labels": ["cat"]})
    assert labels(read_export(tmp_path, [annotated(drawn, named)])) == [["cat"]]


def test_read__a_region_drawn_by_two_tags_is_one(tmp_path: Path) -> None:
    around = {"x": 20, "y": 12.5, "width": 50, "height": 62.5}  # RING's box
    box = shape_item("rectanglelabels", around)
    dataset = read_export(tmp_path, [annotated(box, item(RING))], CONFIG)
    (found,) = dataset.stream()
    assert [np.array_equal(mask, RING) for mask in masks(found)] == [True]
    assert dataset.problems.counts == {"regions drawn twice, the finer kept": 1}
    other = shape_item("rectanglelabels", around, "dog")
    assert labels(read_export(tmp_path, [annotated(other, item(RING))], CONFIG)) == [["dog", "cat"]]
    assert labels(read_export(tmp_path, [annotated(item(RING), item(RING))])) == [["cat", "cat"]]


def test_read__several_labels_and_other_tags(tmp_path: Path) -> None:
    two = item(RING)
    two["value"]["brushlabels"] = ["dog", "cat"]
    choice = item(RING, type="choices", value={"choices": ["sunny"]})
    point = item(RING, type="keypointlabels", value={"x": 1, "y": 1, "keypointlabels": ["cat"]})
    line = item(RING, type="vectorlabels", value={"vertices": [], "vectorlabels": ["cat"]})
    relation = {"type": "relation", "from_id": "a", "to_id": "b"}
    dataset = read_export(tmp_path, [annotated(two, choice, point, line, relation)])
    assert labels(dataset) == [["dog"]]
    assert dataset.problems.counts == {
        "regions with several labels, the first of which is kept": 1,
        "regions of other shapes (points, open lines), left out": 2,
    }


def _damaged(**value: Any) -> dict[str, Any]:
    whole = item(RING)
    return whole | {"value": whole["value"] | value}


@pytest.mark.parametrize(
    ("broken", "kind", "reason"),
    [
        (_damaged(rle=encode_brush(RING)[:-4]), "cannot be read", "brush RLE ends after"),
        (
            _damaged(rle=encode_brush(np.ones((9, 10), np.bool_))),
            "cannot be read",
            "holds 360 values",
        ),
        (_damaged(rle="AAAA"), "cannot be read", "'r1'"),
        (item(RING, value=None), "cannot be read", "'r1'"),
        (item(np.zeros((8, 10), np.bool_)), "without a pixel", "'r1'"),
        (item(RING, original_width=11), "another size", "11 × 8, the photo has 10 × 8"),
        (
            shape_item("polygonlabels", {"points": [[0, 0], [50, 50]]}),
            "polygons with fewer than 3 corners",
            "'r2'",
        ),
        (
            shape_item("polygonlabels", {"points": [[0, 0], ["a", 50], [1, 1]]}),
            "cannot be read",
            "'r2'",
        ),
        (
            shape_item("rectanglelabels", {"x": 1, "y": 1, "width": 9}),
            "cannot be read",
            "no 'height'",
        ),
    ],
)
def test_fault__of_one_region_costs_that_region(
    broken: dict[str, Any], kind: str, reason: str, tmp_path: Path
) -> None:
    good = [item(PARTS, "dog", id="good"), item(box(0, 0, 2, 2), "dog", id="good")]
    dataset = read_export(tmp_path, [annotated(broken, *good)])
    assert labels(dataset) == [["dog", "dog"]]
    (line,) = dataset.problems.lines()
    assert line.startswith("1 ")
    assert kind in line
    assert "export.json, task 1" in line
    assert reason in line


def test_fault__a_polygon_that_crosses_itself_is_filled_and_noted(tmp_path: Path) -> None:
    bow = [[0, 0], [100, 100], [100, 0], [0, 100]]
    dataset = read_export(tmp_path, [annotated(shape_item("polygonlabels", {"points": bow}))])
    (found,) = dataset.stream()
    assert 30 <= found.regions[0].area <= 50  # two triangles, half of the photo
    assert dataset.problems.counts == {
        "polygons that cross themselves, filled by the even-odd rule": 1
    }


@pytest.mark.parametrize(
    "size", [(0, 8), (-10, -8), ("10", "8"), (10.5, 8), (None, None), (10**9, 10**9), (True, None)]
)
def test_fault__a_size_that_cannot_be(size: tuple[Any, Any], tmp_path: Path) -> None:
    sized = item(RING, original_width=size[0], original_height=size[1])
    assert list(read_export(tmp_path, [annotated(sized)]).stream()) == []
