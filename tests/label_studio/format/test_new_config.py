"""The label config of a new project, and the list of labels that people give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_studio_sdk.label_interface import LabelInterface

from prelabel.errors import UserError
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.format.new_config import new_label_config, read_labels
from prelabel.label_studio.format.unnamed_labels import add_labels
from support.messages import assert_says


def test_label_config__has_masks_and_prompts_in_each_label() -> None:
    labels = ["cat", 'say "hi"', "a < b & c", "Größe", *(f"more {n}" for n in range(9))]
    xml = new_label_config(labels)
    config = parse_label_config(xml)
    [brush] = config.controls
    assert brush.kind == "brush"
    assert [label.value for label in brush.labels] == labels
    assert len({label.color for label in brush.labels}) == len(labels)
    assert [prompt.kind for prompt in config.interactive] == ["keypoint", "rectangle"]
    for prompt in config.interactive:  # one label, one colour
        assert [(p.value, p.color) for p in prompt.labels] == [
            (b.value, b.color) for b in brush.labels
        ]
    assert xml.count("hotkey=") == 10
    LabelInterface(xml).validate()


def test_label_config__classes_without_a_name_have_other_colours() -> None:
    xml = add_labels(new_label_config(["cat", "dog"]), ["object 1", "object 2", "object 3"])
    [brush] = parse_label_config(xml).controls
    assert len({label.color for label in brush.labels}) == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty name"),
        ("cat,,dog", "empty name"),
        ("cat, ", "empty name"),
        ("cat,dog,cat", "'cat' twice"),
        ("cat,d\x00g", "cannot be shown"),
        ("cat,object 3", "without a name is called"),
    ],
)
def test_read_labels__refuses_what_no_project_can_have(text: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        read_labels(text)
    assert_says(error.value, "--labels", says)
    assert "\n" not in str(error.value)


@given(st.text(max_size=40))
def test_read_labels__gives_what_can_be_written(text: str) -> None:
    try:
        labels = read_labels(text)
    except UserError:
        return
    [brush] = parse_label_config(new_label_config(labels)).controls
    assert [label.value for label in brush.labels] == labels
