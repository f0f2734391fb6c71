"""Answers about single regions: read, and written as items again."""

from __future__ import annotations

from typing import Any

import pytest
from label_studio_sdk.label_interface import LabelInterface
from msgspec import structs

from builders import RING, item, prediction, region
from prelabel.data.records import AttributeValue
from prelabel.label_studio.format.items import encode_regions
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.format.region_attributes import (
    Answers,
    Attributes,
    region_attributes,
)

XML = """<View><Image name="img" value="$image"/>
<BrushLabels name="brush" toName="img"><Label value="cat"/></BrushLabels>
<Choices name="c" toName="img" perRegion="true" choice="multiple"><Choice value="a"/>
<Choice value="b"/></Choices><TextArea name="t" toName="img" perRegion="true"/>
<Rating name="r" toName="img" perRegion="true"/><Number name="n" toName="img" perRegion="true"/>
<DateTime name="d" toName="img" perRegion="true"/>
<Taxonomy name="x" toName="img" perRegion="true"><Choice value="A"><Choice value="B"/></Choice>
</Taxonomy></View>"""


def said(kind: str, name: str, value: Any, number: str = "r1") -> dict[str, Any]:
    return {"id": number, "type": kind, "from_name": name, "to_name": "img", "value": value}


def test_region_attributes__of_every_kind() -> None:
    items = [
        item(RING),
        said("choices", "c", {"choices": ["a", "b"]}),
        said("textarea", "t", {"text": ["some text"]}),
        said("rating", "r", {"rating": 4}),
        said("number", "n", {"number": 2.5}),
        said("datetime", "d", {"datetime": "2026-01-01"}),
        said("taxonomy", "x", {"taxonomy": [["A", "B"]]}),
        said("choices", "whole photo", {"choices": ["sunny"]}, number="another"),
        said("choices", "broken", {"choices": True}),
        said("choices", "empty", {"choices": []}),
        said("choices", "", {"choices": ["a"]}),
        {"id": "r1", "type": "choices", "value": None},
    ]
    assert region_attributes(items) == {
        "r1": {
            "c": ["a", "b"],
            "t": "some text",
            "r": 4,
            "n": 2.5,
            "d": "2026-01-01",
            "x": "A/B",
        }
    }


def test_region_attributes__half_a_character() -> None:
    items = [item(RING), said("textarea", "t", {"text": ["a\ud800"]})]
    assert region_attributes(items) == {"r1": {"t": "a\ufffd"}}


ALL: Attributes = {"c": ["a", "b"], "t": "text", "r": 4, "n": 2.5, "d": "2026-01-01", "x": "A/B"}


def test_answers__are_items_that_read_back_and_the_sdk_takes() -> None:
    config = parse_label_config(XML)
    photo = prediction("x.jpg", structs.replace(region(RING), attributes=ALL))
    items, losses = encode_regions(
        photo, {0: "cat"}, config.controls[0], answers=Answers(dict(config.attributes))
    )
    assert losses.answers == 0
    (found,) = region_attributes(map(dict, items)).values()
    assert found == ALL
    whole = {"model_version": "m", "score": 0.5, "result": items}
    assert LabelInterface(XML).validate_prediction(whole, return_errors=True) == []


@pytest.mark.parametrize(
    ("tags", "attributes", "lost"),
    [
        ({}, {"t": "text"}, 1),
        ({"t": "rating"}, {"t": "text"}, 1),
        ({"t": "brushlabels"}, {"t": "text"}, 1),
        (None, {"t": "text", "n": 3}, 0),
    ],
)
def test_answers__without_a_tag_are_counted(
    tags: dict[str, str] | None, attributes: dict[str, AttributeValue], lost: int
) -> None:
    photo = prediction("x.jpg", structs.replace(region(RING), attributes=attributes))
    answers = Answers(tags)
    items, losses = encode_regions(photo, {}, parse_label_config(XML).controls[0], answers=answers)
    assert losses.answers == lost
    assert len(items) == 1 + len(attributes) - lost
    if tags is None:
        assert answers.tags == {"t": "textarea", "n": "number"}
