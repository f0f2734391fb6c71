"""Reading labeling interfaces; the SDK says what names and labels they have."""

from __future__ import annotations

import pickle

import pytest
from label_studio_sdk.label_interface import LabelInterface

from prelabel.errors import UserError
from prelabel.label_studio.format.label_config import (
    Control,
    Label,
    Prompt,
    parse_label_config,
)
from prelabel.label_studio.format.shapes import Kind

IMAGE = '<Image name="image" value="$photo"/>'
BRUSH = '<BrushLabels name="b" toName="image"><Label value="Dog"/></BrushLabels>'


def _view(*tags: str) -> str:
    return f"<View>{''.join(tags)}</View>"


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        ("BrushLabels", "brush"),
        ("BitmaskLabels", "bitmask"),
        ("PolygonLabels", "polygon"),
        ("VectorLabels", "vector"),
        ("RectangleLabels", "rectangle"),
        ("EllipseLabels", "ellipse"),
    ],
)
def test_parse_label_config__each_tag_and_what_the_sdk_reads_in_it(tag: str, kind: Kind) -> None:
    labels = (
        '<Label value="Dog &amp; cat" background="#800000" predicted_values="object 1, Object 2,"/>'
        '<View><Label value="été"/></View>'
    )
    xml = _view(IMAGE, f'<{tag} name="tag" toName="image">{labels}</{tag}>')
    (control,) = parse_label_config(xml).controls
    dog = Label("Dog & cat", "#800000", ("object 1", "Object 2"))
    assert control == Control(kind, "tag", "image", "photo", (dog, Label("été")))
    sdk = LabelInterface(xml)
    assert sdk.get_control("tag").to_name == [control.to_name]
    assert sdk.get_control("tag").labels == [label.value for label in control.labels]
    assert sdk.get_object("image").value_name == control.image_key


def test_parse_label_config__several_images_and_controls_in_order() -> None:
    config = parse_label_config(
        _view(
            '<PolygonLabels name="p" toName="left, right"><Label value="A"/><Label value="B"/>',
            "</PolygonLabels>",
            '<Image name="left" value="$l"/><Image name="right" valueList="$many"/>',
            '<Choices name="c" toName="left"><Choice value="no"/></Choices>',
            '<BrushLabels name="b" toName="left"><Label value="B"/><Label value="C"/></BrushLabels>',
        )
    )
    assert [(c.kind, c.name, c.to_name, c.image_key, c.is_list) for c in config.controls] == [
        ("polygon", "p", "left", "l", False),
        ("polygon", "p", "right", "many", True),
        ("brush", "b", "left", "l", False),
    ]
    assert config.label_names == ("A", "B", "C")
    assert (config.interactive, config.score_threshold) == ((), 0.0)


def test_parse_label_config__an_alias_is_what_is_stored_and_spaces_count() -> None:
    xml = _view(
        IMAGE,
        '<BrushLabels name="b" toName="image"><Label value="Red box " alias="red_1"/>',
        '<Label value=" Blue disc"/><Label alias="green"/><Label value="red_1" alias=""/>',
        "</BrushLabels>",
    )
    config = parse_label_config(xml)
    assert config.label_names == ("red_1", " Blue disc", "green")
    assert list(LabelInterface(xml).get_control("b").labels) == list(config.label_names)
    (control,) = config.controls
    stored = [control.stored(label) for label in ("red_1", "Red box ", "Red box", "Blue disc")]
    assert stored == ["red_1", "red_1", None, None]
    assert control.label_for("Red box ") == control.label_for("red_1") == "red_1"
    assert [config.stored(label) for label in ("Red box ", "other")] == ["red_1", "other"]


def test_parse_label_config__labels_apart_from_the_shapes() -> None:
    config = parse_label_config(
        _view(
            IMAGE,
            '<Brush name="b" toName="image"/><Polygon name="p" toName="image"/>',
            '<Labels name="what" toName="image"><Label value="Car"/><Label value="Bus"/></Labels>',
            '<Labels name="text" toName="words"><Label value="Noun"/></Labels>',
            '<Labels name="mood" toName="image"><Label value="Good"/></Labels>',
            '<Text name="words" value="$words"/>',
        )
    )
    what, mood = (Label("Car"), Label("Bus")), (Label("Good"),)
    assert config.controls == (
        Control("brush", "b", "image", "photo", what, labels_tag="what"),
        Control("brush", "b", "image", "photo", mood, labels_tag="mood"),
        Control("polygon", "p", "image", "photo", what, labels_tag="what"),
        Control("polygon", "p", "image", "photo", mood, labels_tag="mood"),
    )
    assert config.label_names == ("Car", "Bus", "Good")
    (bare,) = parse_label_config(_view(IMAGE, '<Brush name="b" toName="image"/>')).controls
    assert (bare.labels_tag, bare.stored("Car"), bare.accepts("")) == ("", None, False)


def test_parse_label_config__categories_attributes_and_skipped_tags() -> None:
    config = parse_label_config(
        _view(
            IMAGE,
            '<BrushLabels name="b" toName="image" model_skip="True"><Label value="Dog" category="7"/>'
            '<Label value="Cat" category="x"/><Label value="Cow" alias="cow" category="3"/>'
            "</BrushLabels>",
            '<PolygonLabels name="p" toName="image" model_skip="false"><Label value="Dog"/>'
            "</PolygonLabels>",
            '<Choices name="c" toName="image" perRegion="true"><Choice value="a"/></Choices>',
            '<TextArea name="t" toName="image" perRegion="TRUE"/>',
            '<Choices name="whole" toName="image"><Choice value="a"/></Choices>',
        )
    )
    assert config.categories == {"Dog": 7, "cow": 3}
    assert config.attributes == (("c", "choices"), ("t", "textarea"))
    assert [control.skip for control in config.controls] == [True, False]
    with pytest.raises(UserError, match='without model_skip="true"'):
        parse_label_config(_view(IMAGE, BRUSH.replace("toName", 'model_skip="true" toName')))


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-16", "latin-1", "unknown-9"])
def test_parse_label_config__a_declaration_with_an_encoding(encoding: str) -> None:
    xml = _view(IMAGE, BRUSH.replace("Dog", "été"))
    for before in ("", "\ufeff", "\n  "):
        text = f'{before}<?xml version="1.0" encoding="{encoding}"?>{xml}'
        assert parse_label_config(text).label_names == ("été",)


def test_parse_label_config__smart_tags_are_prompts() -> None:
    points = (
        '<KeyPointLabels name="k" toName="image" smart="true"><Label value="A"/></KeyPointLabels>'
    )
    boxes = '<RectangleLabels name="r" toName="image" smart="True"/>'
    dull = '<KeyPointLabels name="dull" toName="image"/>'
    config = parse_label_config(_view(IMAGE, points, boxes, dull, BRUSH))
    assert config.interactive == (
        Prompt("keypoint", "k", "image", "photo", (Label("A"),)),
        Prompt("rectangle", "r", "image", "photo", ()),
    )
    assert [c.name for c in config.controls] == ["b"]
    apart = '<Labels name="l" toName="image"><Label value="A"/></Labels><Rectangle name="r" smart="true" toName="image"/>'
    config = parse_label_config(_view(IMAGE, apart, '<Brush name="b" toName="image"/>'))
    assert config.interactive == (Prompt("rectangle", "r", "image", "photo", (Label("A"),)),)
    assert [c.name for c in config.controls] == ["b"]
    assert [c.name for c in parse_label_config(_view(IMAGE, boxes)).controls] == ["r"]


def test_parse_label_config__a_smart_brush_is_a_control() -> None:
    config = parse_label_config(
        _view(IMAGE, BRUSH.replace("<BrushLabels", '<BrushLabels smart="true"'))
    )
    assert (len(config.controls), config.interactive) == (1, ())


def test_parse_label_config__the_largest_threshold_counts() -> None:
    first = '<BrushLabels name="a" toName="image" model_score_threshold="0.25"/>'
    second = '<PolygonLabels name="p" toName="image" model_score_threshold="0.5"/>'
    assert parse_label_config(_view(IMAGE, first, second, BRUSH)).score_threshold == 0.5


def test_parse_label_config__tags_for_other_things_are_passed_over() -> None:
    video = '<Video name="v" value="$v"/><RectangleLabels name="r" toName="v"/>'
    assert [c.name for c in parse_label_config(_view(IMAGE, video, BRUSH)).controls] == ["b"]


@pytest.mark.parametrize(
    ("xml", "found"),
    [
        ("", "well-formed XML"),
        ("<View><Image></View>", "well-formed XML .mismatched tag"),
        (_view("\ud800"), "well-formed XML"),
        (_view(IMAGE), "found View, Image; expected BrushLabels"),
        (_view(IMAGE, '<Choices name="c" toName="image"/>'), "found View, Image, Choices"),
        (_view('<Video name="v" value="$v"/><RectangleLabels name="r" toName="v"/>'), "no tag"),
        (_view(IMAGE, BRUSH.replace('"image"', '"img"')), 'toName="img".* are named image;'),
        (_view(IMAGE, '<BrushLabels name="b"/>'), 'toName=""'),
        (_view(BRUSH), "there are none"),
        (_view(IMAGE, '<BrushLabels toName="image"/>'), "BrushLabels has no name"),
        (_view('<Image name="image" value="photo"/>', BRUSH), 'value="photo", expected a key'),
        (_view('<Image name="image"/>', BRUSH), 'value="", expected a key'),
        (_view(IMAGE, BRUSH.replace(" toName", ' model_score_threshold="x" toName')), '="x"'),
        (_view(IMAGE, BRUSH.replace(" toName", ' model_score_threshold="nan" toName')), "nan"),
        (_view(IMAGE, BRUSH.replace(" toName", ' model_score_threshold="50" toName')), "0 to 1"),
    ],
)
def test_parse_label_config__says_what_is_wrong_on_one_line(xml: str, found: str) -> None:
    with pytest.raises(UserError, match=found) as error:
        parse_label_config(xml)
    assert "\n" not in str(error.value)
    assert "value=" in str(error.value) or "0 to 1" in str(error.value)


def test_parse_label_config__a_doctype_is_not_read() -> None:
    entities = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    for doctype in (entities, '<!DOCTYPE x SYSTEM "file:///etc/passwd">'):
        with pytest.raises(UserError, match="DOCTYPE"):
            parse_label_config(doctype + _view(IMAGE, BRUSH))
    # In a comment it is harmless.
    assert parse_label_config(_view("<!-- <!DOCTYPE x> -->", IMAGE, BRUSH)).controls


def test_label_for__predicted_values_go_before_the_label_s_own_name() -> None:
    labels = (Label("object 1"), Label("Dog", None, ("Object 1", "object 2")), Label("Cat"))
    control = Control("brush", "b", "image", "photo", labels)
    assert control.label_for(" OBJECT 1 ") == "Dog"
    assert control.label_for("object 2") == "Dog"
    assert control.label_for("Cat") == "Cat"
    assert control.label_for("cat") is None
    assert control.label_for("object 3") is None
    assert control.label_for("") is None


def test_accepts__its_own_labels_or_any_if_it_has_none() -> None:
    own = Control("brush", "b", "image", "photo", (Label("Dog"), Label("Cat")))
    assert [own.accepts(label) for label in ("Dog", "Cat", "dog", "")] == [True, True, False, False]
    assert Control("brush", "b", "image", "photo", ()).accepts("Yak")


def test_label_config__travels_to_other_processes() -> None:
    config = parse_label_config(_view(IMAGE, BRUSH))
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(AttributeError):
        config.score_threshold = 0.5  # type: ignore[misc]
