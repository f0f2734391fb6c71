"""Labels for classes without a name, added to a label config and taken out again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_studio_sdk.label_interface import LabelInterface

from builders import box, item
from prelabel.label_studio.format.annotations import stamp
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.format.labels import item_label
from prelabel.label_studio.format.unnamed_labels import add_labels, has_labels, remove_labels

NAMES = ["object 1", "object 2", "object 12"]
CONFIG = """<View><!-- Größe > 3 -->
  <Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image">
    <Label value="Hütte"/>
    <Label value='say "hi"' background="red"/>
  </BrushLabels>
  <PolygonLabels toName="image" name="line"><Label value="a"/><Label value="b"/></PolygonLabels>
  <RectangleLabels name="one" toName="image"><Label value="a"></Label></RectangleLabels>
  <KeyPointLabels name="click" toName="image" smart="true"><Label value="a"/><Label value="b"/></KeyPointLabels>
</View>"""


def test_add_labels__in_every_tag_that_regions_go_to_and_nowhere_else() -> None:
    added = add_labels(CONFIG, NAMES)
    controls = {c.name: c for c in parse_label_config(added).controls}
    assert [label.value for label in controls["brush"].labels] == ["Hütte", 'say "hi"', *NAMES]
    assert [label.value for label in controls["line"].labels] == ["a", "b", *NAMES]
    assert [label.value for label in controls["one"].labels] == ["a"]  # it gives its only label
    [click] = parse_label_config(added).interactive
    assert [label.value for label in click.labels] == ["a", "b"]
    colors = [label.color for label in controls["brush"].labels[2:]]
    assert len(set(colors)) == 3
    assert all(color and color.startswith("#") for color in colors)
    LabelInterface(added).validate()  # Label Studio's own opinion


def test_add_labels__are_labels_but_no_names() -> None:
    before, after = parse_label_config(CONFIG), parse_label_config(add_labels(CONFIG, NAMES))
    assert after.label_names == before.label_names
    assert after.controls[0].accepts("object 12")
    # What was learned from an annotation is not learned anew because of them.
    annotation = {"id": 3, "updated_at": "2026-01-02T03:04:05Z", "result": []}
    assert stamp(annotation, before) == stamp(annotation, after)


def test_add_labels__adds_only_what_is_missing() -> None:
    added = add_labels(CONFIG, NAMES[:1])
    assert add_labels(added, NAMES[:1]) == added
    assert add_labels(added, NAMES) == add_labels(CONFIG, NAMES)


@pytest.mark.parametrize("tag", ["Labels", "labels"])
def test_add_labels__to_a_labels_tag_beside_a_brush(tag: str) -> None:
    config = (
        f'<View><Image name="image" value="$image"/><{tag} name="l" toName="image">'
        f'<Label value="a"/><Label value="b"/></{tag}>'
        '<BrushLabels name="brush" toName="image"><Label value="a"/><Label value="b"/>'
        "</BrushLabels></View>"
    )
    assert add_labels(config, ["object 1"]).count('value="object 1"') == 2


@given(st.lists(st.integers(1, 60), unique=True, min_size=1), st.sampled_from(["\n", "\r\n"]))
def test_remove_labels__gives_back_the_config(numbers: list[int], newline: str) -> None:
    config = CONFIG.replace("\n", newline)
    added = add_labels(config, [f"object {n}" for n in numbers])
    assert has_labels(added)
    assert remove_labels(added) == config
    assert not has_labels(config)


def test_remove_labels__leaves_those_that_a_person_has_written() -> None:
    own = CONFIG.replace('"Hütte"', '"object 7"')
    assert remove_labels(add_labels(own, NAMES)) == own
    # Another program may have written the config anew, with other spaces and end tags.
    again = add_labels(CONFIG, NAMES).replace('choose its label"/>', 'choose its label" ></Label>')
    assert remove_labels(again) == CONFIG


def test_item_label__object_3_of_an_annotation_is_no_name() -> None:
    kept = item(box(1, 1, 3, 3), "object 3")
    assert item_label(kept, {}) == ""
    assert item_label(kept, {}, predicted=True) == "object 3"
    assert item_label(item(box(1, 1, 3, 3), "cat"), {}) == "cat"
