"""Why Label Studio refuses predictions; the SDK, by which it checks them, agrees."""

from __future__ import annotations

from typing import Any

from label_studio_sdk.label_interface import LabelInterface

from builders import RING, item
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.format.unknown_labels import unknown_labels

XML = """<View><Image name="img" value="$image"/>
<BrushLabels name="brush" toName="img"><Label value="Red box" alias="red_1"/><Label value="cat "/>
</BrushLabels><Polygon name="poly" toName="img"/>
<Labels name="what" toName="img"><Label value="dog"/></Labels></View>"""


def _polygon(label: str) -> list[dict[str, Any]]:
    value = {"points": [[0, 0], [5, 0], [5, 5]]}
    named = {**value, "labels": [label]}
    return [
        item(RING, id=label, type="polygon", from_name="poly", value=value),
        item(RING, id=label, type="labels", from_name="what", value=named),
    ]


def test_unknown_labels__what_the_server_would_refuse() -> None:
    config, sdk = parse_label_config(XML), LabelInterface(XML)
    for items, expected in (
        ([item(RING, "red_1"), item(RING, "cat "), item(RING, None), *_polygon("dog")], []),
        ([item(RING, "Red box")], ["label 'Red box' in 'brush'"]),
        ([item(RING, "cat"), item(RING, "cat")], ["label 'cat' in 'brush'"]),
        (_polygon("yak"), ["label 'yak' in 'what'"]),
        ([item(RING, from_name="gone")], ["tag 'gone'"]),
    ):
        assert unknown_labels(items, config) == expected
        refused = not sdk.validate_prediction({"model_version": "m", "result": items})
        assert refused == bool(expected)


def test_unknown_labels__any_where_they_come_from_the_task() -> None:
    own = '<BrushLabels name="brush" toName="img" value="$labels"/>'
    config = parse_label_config(f'<View><Image name="img" value="$image"/>{own}</View>')
    assert unknown_labels([item(RING, "yak")], config) == []
