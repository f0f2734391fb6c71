"""Regions as Label Studio's result items; the SDK checks them."""

from __future__ import annotations

from typing import Any

import pytest
from label_studio_sdk.label_interface import LabelInterface

from builders import RING, box, prediction, region
from prelabel.data.masks import Mask
from prelabel.errors import UserError
from prelabel.label_studio.format.items import Losses, ResultItem, decode_item, encode_regions
from prelabel.label_studio.format.label_config import Control, Label, parse_label_config
from prelabel.label_studio.format.labels import item_label, shared_labels
from prelabel.label_studio.format.shapes import SHAPES, Kind, Shape

KINDS = tuple(shape.kind for shape in SHAPES)


def control(kind: Kind, *labels: str) -> Control:
    return Control(kind, "tag", "image", "photo", tuple(map(Label, labels)))


def encode(mask: Mask, kind: Kind, **settings: Any) -> list[ResultItem]:
    photo = prediction("x.jpg", region(mask))
    return encode_regions(photo, {0: "Dog"}, control(kind, "Dog"), **settings)[0]


def test_encode_regions__every_field_of_a_rectangle() -> None:
    photo = prediction("x.jpg", region(box(2, 2, 5, 4), score=0.75))
    (item,), losses = encode_regions(photo, {0: "Dog"}, control("rectangle", "Dog"))
    assert losses == Losses()
    assert len(item["id"]) == 16
    assert {**item, "id": ""} == {
        "id": "",
        "type": "rectanglelabels",
        "from_name": "tag",
        "to_name": "image",
        "original_width": 10,
        "original_height": 8,
        "image_rotation": 0,
        "score": 0.75,
        "value": {
            "x": 20.0,
            "y": 25.0,
            "width": 50.0,
            "height": 50.0,
            "rotation": 0,
            "rectanglelabels": ["Dog"],
        },
    }


@pytest.mark.parametrize("shape", SHAPES, ids=KINDS)
def test_encode_regions__the_sdk_accepts_them(shape: Shape) -> None:
    if shape.tag:
        config = LabelInterface(
            f'<View><Image name="image" value="$photo"/><{shape.tag} name="tag" toName="image">'
            f'<Label value="Dog"/></{shape.tag}></View>'
        )
        found = {"model_version": "m", "score": 0.5, "result": encode(RING, shape.kind)}
        assert config.validate_prediction(found, return_errors=True) == []


@pytest.mark.parametrize("shape", SHAPES, ids=KINDS)
def test_encode_regions__labels_of_a_labels_tag_are_items_of_their_own(shape: Shape) -> None:
    xml = (
        '<View><Image name="image" value="$photo"/><Labels name="what" toName="image">'
        '<Label value="Dog"/><Label value="Red cat" alias="cat_1"/></Labels>'
        f'<{shape.bare_tag} name="tag" toName="image"/></View>'
    )
    (control,) = parse_label_config(xml).controls
    photo = prediction(
        "x.jpg", region(RING), region(box(0, 0, 2, 2), 1), region(box(0, 0, 1, 1), 2)
    )
    items, losses = encode_regions(photo, {0: "Dog", 1: "Red cat", 2: "Yak"}, control)
    assert losses.unnamed == 1
    assert [(i["type"], i["from_name"], i["value"].get("labels")) for i in items] == [
        (shape.kind, "tag", None),
        ("labels", "what", ["Dog"]),
        (shape.kind, "tag", None),
        ("labels", "what", ["cat_1"]),
        (shape.kind, "tag", None),
    ]
    assert items[0]["id"] == items[1]["id"]
    assert items[1]["value"].items() >= items[0]["value"].items()
    found = {"model_version": "m", "score": 0.5, "result": items}
    assert LabelInterface(xml).validate_prediction(found, return_errors=True) == []
    (other,) = encode_regions(prediction("y.jpg", region(RING)), {}, control)[0]
    for item, label in ((items[0], "Dog"), (items[2], "cat_1"), (other, "")):
        assert item_label(dict(item), shared_labels(map(dict, items))) == label


def test_encode_regions__sorted_and_every_loss_counted() -> None:
    regions = [
        region(box(n, 0, 1, 2), cluster=cluster, score=score)
        for n, (cluster, score) in enumerate(
            [(1, 0.9), (2, 0.8), (-1, 0.7), (0, 0.6), (3, 0.5), (9, 0.4)]
        )
    ]
    photo = prediction("x.jpg", *regions[::-1], region(box(0, 0, 0, 0), score=0.95))
    labels = {0: "Dog", 1: "Cat", 2: None, 3: "no such label"}
    items, losses = encode_regions(photo, labels, control("brush", "Dog", "Cat"))
    assert [item["score"] for item in items] == [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    # Unknown or none: there, without a label.
    found = [item["value"]["brushlabels"] for item in items]
    assert found == [["Cat"], [], [], ["Dog"], [], []]
    assert losses == Losses(unnamed=4, empty=1)


def test_encode_regions__a_control_without_labels_takes_any() -> None:
    (item,), losses = encode_regions(
        prediction("x.jpg", region(RING)), {0: "Yak"}, control("brush")
    )
    assert (item["value"]["brushlabels"], losses) == (["Yak"], Losses())


def test_encode_regions__notes_are_shown_in_the_details() -> None:
    photo = prediction("x.jpg", region(RING, cluster=0), region(~RING, cluster=1))
    first, second = encode_regions(photo, {}, control("brush"), notes={1: "object 2"})[0]
    assert "meta" not in first
    assert second["meta"] == {"text": ["object 2"]}


def test_encode_regions__nothing_found_and_a_photo_in_a_list() -> None:
    assert encode_regions(prediction("x.jpg"), {}, control("brush")) == ([], Losses())
    (item,) = encode(RING, "brush", item_index=3)
    assert item["item_index"] == 3
    assert "item_index" not in encode(RING, "brush")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_encode_regions__ids_follow_photo_mask_and_kind(kind: Kind) -> None:
    def identity(mask: Mask, name: str, cluster: int, kind: Kind = kind) -> str:
        photo = prediction(name, region(mask, cluster=cluster))
        return encode_regions(photo, {0: "A", 1: "B"}, control(kind))[0][0]["id"]

    first = identity(RING, "x.jpg", 0)
    assert identity(RING, "x.jpg", 1) == first
    others = [identity(RING, "no UTF-8 \udcff", 0), identity(~RING, "x.jpg", 0)]
    kinds = [identity(RING, "x.jpg", 0, other) for other in KINDS]
    assert len({first, *others, *kinds}) == len(others) + len(KINDS)


def test_encode_regions__a_tolerance_below_0() -> None:
    with pytest.raises(UserError, match=r"tolerance is -1\.0"):
        encode(RING, "polygon", tolerance=-1.0)


def test_losses__add_up() -> None:
    both = Losses(1, 2, 3, 4, 5, 6) + Losses(unnamed=1, hole_pixels=2)
    assert both == Losses(1, 3, 3, 4, 5, 8)


@pytest.mark.parametrize("kind", ["choices", "labels", "keypointlabels", "", None])
def test_decode_item__other_types_are_none(kind: str | None) -> None:
    assert decode_item({"type": kind, "value": {}}, height=8, width=10) is None
    assert decode_item({}, height=8, width=10) is None
