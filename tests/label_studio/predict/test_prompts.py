"""What smart mode sends, read, and the answer to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import builders
from prelabel.data.records import Region
from prelabel.errors import UserError
from prelabel.interactive.prompts import Prompts
from prelabel.label_studio.format.items import decode_item
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.format.photos import TaskPhoto
from prelabel.label_studio.predict.prompts import build_result, read_request

CONFIG = """<View><Image name="img" value="$image"/><Image name="side" value="$side"/>
<PolygonLabels name="poly" toName="img"><Label value="cat"/><Label value="bird"/></PolygonLabels>
<BrushLabels name="brush" toName="img"><Label value="cat"/><Label value="dog"/></BrushLabels>
<BrushLabels name="other" toName="side"><Label value="cat"/></BrushLabels>
<KeyPointLabels name="click" toName="img,side" smart="true"><Label value="cat"/></KeyPointLabels>
<RectangleLabels name="box" toName="img" smart="true"><Label value="cat"/></RectangleLabels>
<KeyPointLabels name="eye" toName="img"><Label value="left"/></KeyPointLabels></View>"""
LABEL_CONFIG = parse_label_config(CONFIG)


def click(x: float, y: float, label: str = "cat", **more: Any) -> dict[str, Any]:
    value = {"x": x, "y": y, "width": 0.3, "keypointlabels": [label] if label else []}
    item = {"type": "keypointlabels", "from_name": "click", "to_name": "img", "value": value}
    return {**item, "is_positive": True, **more}


def box(x: float, y: float, w: float, h: float, label: str = "cat") -> dict[str, Any]:
    value = {"x": x, "y": y, "width": w, "height": h, "rectanglelabels": [label]}
    return {"type": "rectanglelabels", "from_name": "box", "to_name": "img", "value": value}


def context(*items: Any) -> dict[str, Any]:
    return {"result": list(items)}


def test_read_request__a_click_in_fractions() -> None:
    found = read_request(context(click(25, 50)), LABEL_CONFIG)
    assert found.prompts == Prompts(points=((0.25, 0.5, True),))
    assert (found.key, found.item_index, found.label) == ("image", 0, "cat")


@pytest.mark.parametrize("no", [0, False])
def test_read_request__negative_clicks(no: object) -> None:
    found = read_request(context(click(25, 50), click(75, 50, is_positive=no)), LABEL_CONFIG)
    assert found.prompts.points == ((0.25, 0.5, True), (0.75, 0.5, False))


@pytest.mark.parametrize("yes", [1, True, None])
def test_read_request__other_clicks_are_positive(yes: object) -> None:
    assert read_request(context(click(25, 50, is_positive=yes)), LABEL_CONFIG).prompts.points[0][2]


def test_read_request__a_box_by_its_corners() -> None:
    found = read_request(context(box(10, 20, 30, 40), click(25, 50)), LABEL_CONFIG)
    assert found.prompts.boxes[0] == pytest.approx((0.1, 0.2, 0.4, 0.6))
    assert found.prompts.points == ((0.25, 0.5, True),)


@pytest.mark.parametrize(
    ("label", "holder"), [("cat", "brush"), ("dog", "brush"), ("bird", "poly"), ("yak", "brush")]
)
def test_read_request__the_finest_control_that_has_the_label_holds_the_answer(
    label: str, holder: str
) -> None:
    assert read_request(context(click(1, 1, label)), LABEL_CONFIG).control.name == holder


def test_read_request__no_label_chosen() -> None:
    found = read_request(context(click(1, 1, "")), LABEL_CONFIG)
    assert (found.label, found.control.name) == ("", "brush")


def test_read_request__the_newest_says_which_photo_and_label() -> None:
    first, second = click(10, 10, "dog"), click(20, 20, to_name="side")
    found = read_request(context(first, second), LABEL_CONFIG)
    assert (found.key, found.label, found.control.name) == ("side", "cat", "other")
    assert found.prompts.points == ((0.2, 0.2, True),)
    found = read_request(context(second, first), LABEL_CONFIG)
    assert (found.key, found.label, found.prompts.points) == ("image", "dog", ((0.1, 0.1, True),))


def test_read_request__only_the_photo_of_the_list_that_the_newest_is_on() -> None:
    label_config = parse_label_config(CONFIG.replace('name="img" value', 'name="img" valueList'))
    items = [click(10, 10, item_index=0), click(20, 20, item_index=2), click(30, 30, item_index=2)]
    found = read_request(context(*items), label_config)
    assert (found.item_index, found.prompts.points) == (2, ((0.2, 0.2, True), (0.3, 0.3, True)))
    assert read_request(context(click(1, 1)), label_config).item_index == 0


def test_read_request__ignores_tags_that_are_not_smart() -> None:
    eye = click(90, 90, from_name="eye")
    stroke = {"type": "brushlabels", "from_name": "brush", "to_name": "img", "value": {"rle": [1]}}
    found = read_request(context(stroke, eye, click(25, 50), None, "text"), LABEL_CONFIG)
    assert found.prompts.points == ((0.25, 0.5, True),)


@pytest.mark.parametrize(
    "result", [None, 5, "click", {"x": 1}, [], [3], [click(1, 1, to_name="x")]]
)
def test_read_request__nothing_pointed_at_says_so(result: Any) -> None:
    with pytest.raises(UserError, match="no prompt"):
        read_request({"result": result}, LABEL_CONFIG)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "here",
        {},
        {"x": 1},
        {"y": 1},
        {"x": "left", "y": 1},
        {"x": float("nan"), "y": 1},
        {"x": 1e999, "y": 1},
        {"x": 10**400, "y": 1},
        {"x": None, "y": 1},
    ],
)
def test_read_request__a_click_without_a_place_says_so(value: Any) -> None:
    with pytest.raises(UserError, match="x and y in percent"):
        read_request(context(click(1, 1, value=value)), LABEL_CONFIG)


def test_read_request__an_image_that_no_control_is_for() -> None:
    label_config = parse_label_config(
        CONFIG.replace('name="other" toName="side"', 'name="other" toName="img"')
    )
    with pytest.raises(UserError, match="click points at side, for which no tag holds masks"):
        read_request(context(click(1, 1, to_name="side")), label_config)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {"from_name": st.just("click"), "to_name": st.just("img")},
        optional={
            "value": json_like
            | st.fixed_dictionaries(
                {"x": st.just(5), "y": st.just(5)},
                optional={"keypointlabels": json_like, "labels": json_like},
            ),
            "type": json_like | st.just("keypointlabels"),
            "item_index": json_like,
            "is_positive": json_like,
        },
    )
)
def test_read_request__whatever_comes_is_read_or_refused(item: dict[str, Any]) -> None:
    try:
        found = read_request(context(item), LABEL_CONFIG)
    except UserError:
        return
    assert all(np.isfinite(found.prompts.points[0][:2]))
    assert isinstance(found.label, str)


def region() -> Region:
    return builders.region(builders.box(10, 2, 5, 6, photo=(20, 40)), score=0.7, cluster=-1)


def test_build_result__the_object_with_its_label_and_a_new_id_each_time() -> None:
    request = read_request(context(click(30, 20, "dog")), LABEL_CONFIG)
    photo = TaskPhoto(9, "image", None, "/a.png")
    once, twice = (build_result(request, region(), photo) for _ in range(2))
    (item,) = once
    assert item["id"] != twice[0]["id"]
    assert (item["from_name"], item["to_name"], item["type"]) == ("brush", "img", "brushlabels")
    assert item["value"]["brushlabels"] == ["dog"]
    assert (item["original_width"], item["original_height"], item["score"]) == (40, 20, 0.7)
    mask = decode_item(item, height=20, width=40)
    assert mask is not None
    assert mask.sum() == 30
    assert mask[2:8, 10:15].all()


def test_build_result__nothing_there_is_an_empty_answer() -> None:
    request = read_request(context(click(30, 20)), LABEL_CONFIG)
    assert build_result(request, None, TaskPhoto(9, "image", None, "/a.png")) == []


def test_build_result__says_which_photo_of_a_list() -> None:
    label_config = parse_label_config(CONFIG.replace('name="img" value', 'name="img" valueList'))
    request = read_request(context(click(30, 20, item_index=3)), label_config)
    (item,) = build_result(request, region(), TaskPhoto(9, "image", 3, "/a.png"))
    assert item["item_index"] == 3
