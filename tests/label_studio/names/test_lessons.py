"""Lessons from annotations; masks are boxes, counted by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

import builders
from builders import prediction, region
from prelabel.data.brush import encode_brush
from prelabel.data.masks import Mask, encode_rle, rle_area
from prelabel.label_studio.format.items import encode_regions
from prelabel.label_studio.format.label_config import LabelConfig, parse_label_config
from prelabel.label_studio.format.photos import find_photo, task_photos
from prelabel.label_studio.format.regions import Drawing, DrawnRegion
from prelabel.label_studio.names.lessons import Lesson, find_lessons, read_drawing
from prelabel.storage.json import JsonObject
from support.label_studio_exports import read_export

HEIGHT, WIDTH = 20, 30
LABEL_XML = """<View><Image name="img" value="$image"/><Image name="side" value="$side"/>
<BrushLabels name="brush" toName="img"><Label value="Cat"/><Label value="Dog"/></BrushLabels>
<PolygonLabels name="poly" toName="img"><Label value="Cat"/></PolygonLabels>
<RectangleLabels name="box" toName="img"><Label value="Cat"/><Label value="Dog"/></RectangleLabels>
<BrushLabels name="other" toName="side"><Label value="Cat"/></BrushLabels>
<Choices name="weather" toName="img"><Choice value="Sun"/></Choices></View>"""
LABEL_CONFIG = parse_label_config(LABEL_XML)
LIST = parse_label_config(LABEL_XML.replace('value="$image"', 'valueList="$image"'))
DATA = {"image": "/a.jpg", "side": "/b.jpg"}


def box(x: int, y: int, width: int, height: int) -> Mask:
    return builders.box(x, y, width, height, photo=(HEIGHT, WIDTH))


def brush(mask: Mask, *labels: str, name: str = "brush", **more: Any) -> dict[str, Any]:
    value: dict[str, Any] = {"format": "rle", "rle": encode_brush(mask)}
    if labels:
        value["brushlabels"] = list(labels)
    to_name = "side" if name == "other" else "img"
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    where = {"from_name": name, "to_name": to_name}
    return {"id": "x", "type": "brushlabels", **where, "value": value, **size, **more}


def rectangle(x: int, y: int, w: int, h: int, *labels: str, **more: Any) -> dict[str, Any]:
    value = {"x": x * 100 / WIDTH, "width": w * 100 / WIDTH, "rectanglelabels": list(labels)}
    value |= {"y": y * 100 / HEIGHT, "height": h * 100 / HEIGHT, "rotation": 0}
    where = {"from_name": "box", "to_name": "img"}
    return {"id": "y", "type": "rectanglelabels", **where, "value": value, **more}


def draw(
    *items: JsonObject,
    label_config: LabelConfig = LABEL_CONFIG,
    data: JsonObject = DATA,
    key: str = "image",
    index: int | None = None,
) -> Drawing:
    photos = task_photos(1, data, label_config)
    photo = find_photo(photos, key, index)
    assert photo is not None
    annotation = {"result": json.loads(json.dumps(items))}
    return read_drawing(annotation, photo, photos, (WIDTH, HEIGHT), label_config)


def seen(drawing: Drawing) -> list[tuple[int, str]]:
    """Pixels and label of each region."""
    return [(rle_area(region.rle), region.label) for region in drawing.regions]


def drawing(*pairs: tuple[Mask, str], unreadable: int = 0) -> Drawing:
    return Drawing(
        tuple(DrawnRegion("brush", encode_rle(m), label, None) for m, label in pairs), unreadable
    )


def taught(found: list[Lesson]) -> list[tuple[int, str, int | None]]:
    return [(int(lesson.mask.sum()), lesson.name, lesson.predicted) for lesson in found]


def test_read_drawing__reads_masks_and_labels() -> None:
    found = draw(brush(box(2, 3, 4, 5), "Dog"), rectangle(15, 3, 6, 7, "Cat"))
    assert seen(found) == [(20, "Dog"), (42, "Cat")]
    assert found.unreadable == 0
    assert [region.rle for region in found.regions] == [
        encode_rle(box(2, 3, 4, 5)),
        encode_rle(box(15, 3, 6, 7)),
    ]


def test_read_drawing__the_finest_shapes_first() -> None:
    items = (
        rectangle(15, 3, 6, 7, "Cat"),
        brush(box(2, 3, 4, 5), "Dog"),
        rectangle(0, 9, 2, 2, "Cat"),
    )
    assert seen(draw(*items)) == [(20, "Dog"), (42, "Cat"), (4, "Cat")]


def test_read_drawing__a_label_that_no_control_has_does_not_count() -> None:
    assert seen(draw(brush(box(0, 0, 2, 2)))) == [(4, "")]
    assert seen(draw(brush(box(0, 0, 2, 2), "Yak"))) == [(4, "")]
    assert seen(draw(brush(box(0, 0, 2, 2), "Dog", "Cat"))) == [(4, "Dog")]


def test_read_drawing__a_control_without_labels_takes_any() -> None:
    dynamic = parse_label_config(
        '<View><Image name="img" value="$image"/><BrushLabels name="brush" toName="img" '
        'value="$labels"/></View>'
    )
    assert seen(draw(brush(box(0, 0, 2, 2), "Yak"), label_config=dynamic)) == [(4, "Yak")]


def test_read_drawing__other_photos_and_tags_are_passed_over() -> None:
    choice = {"type": "choices", "from_name": "weather", "to_name": "img", "value": {"choices": []}}
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    text = {"type": "textarea", "from_name": "brush", "to_name": "img", "value": {"text": ["hm"]}}
    other = brush(box(0, 0, 2, 3), "Cat", name="other")
    items = (choice, relation, text, other, brush(box(0, 0, 2, 2), "Cat"))
    assert draw(*items) == draw(items[-1])
    assert seen(draw(*items, key="side")) == [(6, "Cat")]


def test_read_drawing__a_photo_of_a_list() -> None:
    data = {"image": ["/a.jpg", "/b.jpg", "/c.jpg"]}
    first, second = brush(box(0, 0, 2, 2), "Cat"), brush(box(0, 0, 3, 3), "Dog", item_index=1)
    for index, found in ((0, [(4, "Cat")]), (1, [(9, "Dog")]), (2, [])):
        assert seen(draw(first, second, label_config=LIST, data=data, index=index)) == found


def test_read_drawing__ignores_what_was_erased() -> None:
    assert draw(brush(box(0, 0, 0, 0), "Cat")) == Drawing(())


def test_read_drawing__a_region_drawn_twice_is_the_finer() -> None:
    # A cross fills 36 of its box's 100 pixels: their masks have an IoU of 0.36, their boxes of 1.
    cross = box(4, 2, 2, 10) | box(0, 6, 10, 2)
    twice = rectangle(0, 2, 10, 10, "Cat"), brush(cross, "Cat")
    assert seen(draw(*twice)) == [(36, "Cat")]
    # Boxes of 10 × 10, the one 2 further: 80 of 120 pixels. 1 further: 90 of 110.
    assert seen(draw(rectangle(2, 2, 10, 10, "Cat"), brush(cross, "Cat"))) == [
        (36, "Cat"),
        (100, "Cat"),
    ]
    assert seen(draw(rectangle(1, 2, 10, 10, "Cat"), brush(cross, "Cat"))) == [(36, "Cat")]


def test_read_drawing__two_labels_in_one_place_are_two() -> None:
    items = brush(box(0, 0, 4, 4), "Cat"), rectangle(0, 0, 4, 4, "Dog")
    assert seen(draw(*items)) == [(16, "Cat"), (16, "Dog")]


def test_read_drawing__overlapping_regions_of_one_tool_stay_two() -> None:
    # However alike: 16 and 20 pixels, 16 in common. Only another tool repeats a region.
    assert seen(draw(brush(box(0, 0, 4, 4), "Cat"), brush(box(0, 0, 4, 5), "Cat"))) == [
        (16, "Cat"),
        (20, "Cat"),
    ]


# Exporting and learning read the same items. Where they once differed:

SQUARE = box(4, 4, 6, 6)
GOOD = brush(box(20, 10, 5, 5), "Dog", id="good")


@pytest.mark.parametrize(
    "unreadable",
    [
        brush(np.ones((4, 4), dtype=np.bool_), "Cat"),
        brush(SQUARE, "Cat", value={"rle": [1, 2]}),
        brush(SQUARE, "Cat", value=None),
        brush(SQUARE, "Cat", original_width=HEIGHT, original_height=WIDTH),
        rectangle(0, 0, 4, 4, "Cat", original_width=WIDTH + 1, original_height=HEIGHT),
        rectangle(4, 4, 6, 6, "Cat", type="ellipselabels"),
        brush(SQUARE, "Cat", from_name="renamed", value=None),
    ],
)
def test_both_readers__leave_out_what_cannot_be_read(
    unreadable: dict[str, Any], tmp_path: Path
) -> None:
    found = draw(unreadable, GOOD)
    assert (seen(found), found.unreadable) == ([(25, "Dog")], 1)
    # It may have been the predicted region: nothing counts as deleted.
    assert taught(find_lessons(found, [region(SQUARE)])) == [(25, "Dog", None)]
    assert exported(tmp_path, unreadable, GOOD) == [(25, "Dog")]


@pytest.mark.parametrize(
    "same",
    [
        brush(SQUARE, "Cat", from_name="renamed"),  # a tag that the config had once
        brush(SQUARE, "Cat", to_name="renamed"),
        brush(SQUARE, "Cat", from_name="poly"),  # a tag that was of another kind once
        {**brush(SQUARE), "value": {"rle": encode_brush(SQUARE), "brushlabels": ["Cat", "Dog"]}},
        brush(SQUARE, "Cat", type="brush"),
        brush(SQUARE, "Cat", original_width="30", original_height=None),  # states no size
        brush(SQUARE, "Cat", original_width=float(WIDTH), image_rotation=None),
        brush(SQUARE, "Cat", item_index=7),  # on a photo that is not one of a list
        {**brush(SQUARE, "Cat"), "value": {"rle": encode_brush(SQUARE), "brushlabels": "Cat"}},
    ],
)
def test_both_readers__give_the_same_region(same: dict[str, Any], tmp_path: Path) -> None:
    label = "" if same["value"].get("brushlabels") == "Cat" else "Cat"
    assert seen(draw(same, GOOD)) == [(36, label), (25, "Dog")]
    assert exported(tmp_path, same, GOOD) == [(36, label), (25, "Dog")]


def test_both_readers__take_the_label_of_a_labels_tag(tmp_path: Path) -> None:
    drawn = brush(SQUARE, type="brush")
    named = {
        "id": "x",
        "type": "labels",
        "from_name": "l",
        "to_name": "img",
        "value": {"labels": ["Cat"]},
    }
    for items in ((drawn, named), (named, drawn)):
        assert seen(draw(*items)) == exported(tmp_path, *items) == [(36, "Cat")]


def test_both_readers__a_polygon_of_two_corners_draws_nothing(tmp_path: Path) -> None:
    value = {"points": [[0, 0], [50, 50]], "polygonlabels": ["Cat"]}
    line = brush(SQUARE, type="polygonlabels", from_name="poly", value=value)
    assert draw(line, GOOD) == draw(GOOD)
    assert exported(tmp_path, line, GOOD) == [(25, "Dog")]


def exported(folder: Path, *items: dict[str, Any]) -> list[tuple[int, str]]:
    """Pixels and label of each region of the first photo, as exporting reads them."""
    task = {"id": 1, "data": DATA, "annotations": [{"id": 2, "result": list(items)}]}
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "a.jpg")
    dataset = read_export(folder, [task], LABEL_XML, photos=str(folder))
    photo = next(dataset.stream())
    return [
        (region.area, dataset.classes[region.cluster] if region.cluster >= 0 else "")
        for region in photo.regions
    ]


def test_find_lessons__a_drawn_region_teaches_its_label() -> None:
    found = find_lessons(drawing((box(0, 0, 4, 4), "Cat"), (box(9, 9, 2, 2), "")), [])
    assert taught(found) == [(16, "Cat", None)]
    np.testing.assert_array_equal(found[0].mask, box(0, 0, 4, 4))


def test_find_lessons__an_unchanged_region_is_the_predicted_one() -> None:
    predicted = [region(box(0, 0, 4, 4)), region(box(10, 10, 4, 4))]
    left = drawing((box(10, 10, 4, 4), "Dog"), (box(0, 0, 4, 4), "Cat"))
    assert taught(find_lessons(left, predicted)) == [(16, "Dog", 1), (16, "Cat", 0)]


def test_find_lessons__nearly_unchanged_and_changed() -> None:
    predicted = [region(box(0, 0, 10, 10))]
    assert taught(
        find_lessons(drawing((box(0, 0, 10, 10) & ~box(0, 0, 5, 1), "Cat")), predicted)
    ) == [(95, "Cat", 0)]
    assert taught(
        find_lessons(drawing((box(0, 0, 10, 10) & ~box(0, 0, 6, 1), "Cat")), predicted)
    ) == [(94, "Cat", None)]


def test_find_lessons__a_predicted_region_is_found_again_once() -> None:
    both = drawing((box(0, 0, 10, 10) & ~box(0, 0, 1, 1), "Cat"), (box(0, 0, 10, 10), "Dog"))
    found = find_lessons(both, [region(box(0, 0, 10, 10))])
    assert taught(found) == [(99, "Cat", None), (100, "Dog", 0)]


def test_find_lessons__a_region_is_deleted_if_less_than_a_tenth_is_drawn() -> None:
    predicted = [region(box(0, 0, 10, 10))]
    # 9 of 100 pixels, by two drawings together; then 10.
    few = drawing((box(0, 0, 5, 1), "Cat"), (box(5, 0, 4, 1), ""))
    assert taught(find_lessons(few, predicted)) == [(5, "Cat", None), (100, "", 0)]
    more = drawing((box(0, 0, 5, 1), "Cat"), (box(5, 0, 5, 1), ""))
    assert taught(find_lessons(more, predicted)) == [(5, "Cat", None)]


def test_find_lessons__an_empty_annotation_deletes_all() -> None:
    predicted = [region(box(0, 0, 4, 4)), region(box(0, 0, 0, 0)), region(box(9, 9, 2, 2))]
    assert taught(find_lessons(Drawing(()), predicted)) == [(16, "", 0), (4, "", 2)]


def test_find_lessons__nothing_is_deleted_if_something_could_not_be_read() -> None:
    left = drawing((box(20, 0, 4, 4), "Cat"), unreadable=1)
    assert taught(find_lessons(left, [region(box(0, 0, 4, 4))])) == [(16, "Cat", None)]


def test_find_lessons__a_region_kept_without_a_label_teaches_nothing() -> None:
    assert find_lessons(drawing((box(0, 0, 4, 4), "")), [region(box(0, 0, 4, 4))]) == []


@pytest.mark.parametrize("tag", ["BrushLabels", "BitmaskLabels", "PolygonLabels"])
@given(masks=st.lists(hnp.arrays(np.bool_, (3, 4)), max_size=4))
def test_find_lessons__an_imported_region_that_was_kept_is_the_predicted_one(
    tag: str, masks: list[Mask]
) -> None:
    """Predicted regions, as this tool imports them: each is found again, whatever the tag."""
    config = parse_label_config(
        LABEL_XML.replace("<BrushLabels", f"<{tag}").replace("</BrushLabels", f"</{tag}")
    )
    config = LabelConfig(controls=config.controls[:1])
    predicted = []
    for i, small in enumerate(masks):  # side by side, one part without holes
        mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
        mask[4:8, 6 * i : 6 * i + 6] = True
        mask[5:8, 6 * i + 1 : 6 * i + 5] |= small
        predicted.append(region(mask))
    photo = prediction("p", *predicted, size=(HEIGHT, WIDTH))
    items, _ = encode_regions(photo, {0: "Dog"}, config.controls[0], tolerance=0)
    found = find_lessons(draw(*items, label_config=config, data={"image": "/a.jpg"}), predicted)
    assert [(lesson.name, lesson.predicted) for lesson in found] == [
        ("Dog", i) for i in range(len(predicted))
    ]
