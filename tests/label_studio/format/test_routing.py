"""Which control the regions of a class go to."""

from __future__ import annotations

from dataclasses import replace

from builders import box, prediction, region
from prelabel.label_studio.format.items import Losses
from prelabel.label_studio.format.label_config import Control, Label
from prelabel.label_studio.format.routing import (
    Route,
    choose_route,
    control_groups,
    encode_routed,
    finest_control,
)
from prelabel.label_studio.format.shapes import Kind


def control(kind: Kind, name: str, *labels: str, key: str = "image") -> Control:
    return Control(kind, name, "img", key, tuple(map(Label, labels)))


CAT, DOG = control("brush", "a", "cat"), control("brush", "b", "dog", "cat")
POLYGON, BOX = control("polygon", "p", "cat"), control("rectangle", "r", "dog")
SIDE = control("brush", "s", "cat", key="side")


def test_control_groups__an_object_has_one_shape_the_finest() -> None:
    assert control_groups((BOX, CAT, SIDE, POLYGON, DOG), "image") == [[CAT, DOG, POLYGON, BOX]]
    assert control_groups((BOX, SIDE), "side") == [[SIDE]]
    assert control_groups((BOX,), "other") == []
    bare = replace(DOG, labels=(), labels_tag="")
    assert control_groups((bare, BOX), "image") == [[BOX, bare]]


def test_control_groups__others_as_well_if_the_config_says_so() -> None:
    again, never = replace(BOX, skip=False), replace(POLYGON, skip=True)
    assert control_groups((again, CAT, never, DOG), "image") == [[CAT, DOG], [again]]
    assert control_groups((again, never), "image") == [[again]]


def test_choose_route__the_first_that_has_a_label() -> None:
    assert choose_route([CAT, DOG], [None, "dog"], note="object 1") == Route(DOG, "dog")
    assert choose_route([CAT, DOG], ["cat", "cat"]) == Route(CAT, "cat")
    assert choose_route([CAT, DOG], [None, None], note="object 1") == Route(
        CAT, None, "object 1", named=False
    )
    assert not choose_route([CAT], ["object 3"]).named  # a label, but no name


def test_finest_control__that_has_the_label() -> None:
    controls = [BOX, POLYGON, CAT]
    assert finest_control(controls, "cat") == CAT
    assert finest_control(controls, "dog") == BOX
    assert finest_control(controls, "yak") == finest_control(controls, "") == CAT
    any_label = control("polygon", "any")
    assert finest_control([*controls, any_label], "yak") == any_label


def test_encode_routed__every_region_once_where_its_cluster_goes() -> None:
    regions = [region(box(x, 0, 2, 2), cluster=x % 3, score=1 - x / 10) for x in range(6)]
    photo = prediction("x.jpg", *regions, region(box(0, 0, 0, 0), cluster=0))
    routes = {0: Route(CAT, "cat"), 1: Route(DOG, "dog"), 2: Route(CAT, None, "object 3")}
    found = list(
        encode_routed(photo, routes, [CAT, DOG], tolerance=1.0, max_points=0, item_index=4)
    )
    assert [(own, losses) for own, _, losses in found] == [
        (CAT, Losses(unnamed=2, empty=1)),
        (DOG, Losses()),
    ]
    items = [item for _, own, _ in found for item in own]
    assert [(i["from_name"], i["value"]["brushlabels"], i["score"]) for i in items] == [
        ("a", ["cat"], 1.0),
        ("a", [], 0.8),
        ("a", ["cat"], 0.7),
        ("a", [], 0.5),
        ("b", ["dog"], 0.9),
        ("b", ["dog"], 0.6),
    ]
    assert {item["item_index"] for item in items} == {4}
    notes = [item["meta"]["text"] for item in items if "meta" in item]
    assert notes == [["object 3"]] * 2
