"""One prediction of a task from its photos' regions; masks are boxes, scores given by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import builders
from builders import box, prediction
from prelabel.data.records import Region
from prelabel.label_studio.format.items import decode_item
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.format.labels import item_label
from prelabel.label_studio.format.photos import task_photos
from prelabel.label_studio.format.unnamed_labels import add_labels
from prelabel.label_studio.predict.task_prediction import (
    NamedRegions,
    ResultOptions,
    TaskPrediction,
    build_task_prediction,
    name_regions,
)
from prelabel.steps.exemplars import Exemplar, Likeliest, Names
from support.small_photos import tiny_config

HEIGHT, WIDTH = 20, 40
IMAGE = '<Image name="img" value="$image"/>'
BRUSH = (
    '<BrushLabels name="brush" toName="img"><Label value="cat"/><Label value="dog"/></BrushLabels>'
)
LEAVE = ResultOptions(unnamed="leave")
FIRST = ResultOptions()
CLASSES = ("object 1", "object 2", "object 3")


def region(x: int, y: int, w: int, h: int, *, score: float, cluster: int = -1) -> Region:
    mask = box(x, y, w, h, photo=(HEIGHT, WIDTH))
    return builders.region(mask, score=score, cluster=cluster)


def answered(
    xml: str,
    *regions: Region,
    names: tuple[str | None, ...] = (),
    options: ResultOptions | None = None,
    data: dict[str, Any] | None = None,
    likeliest: Likeliest = Likeliest(),  # noqa: B008
) -> TaskPrediction:
    """``names``: what people called the regions' classes; without them, only the config counts."""
    label_config = parse_label_config(f"<View>{xml}</View>")
    photos = task_photos(9, data or {"image": "/a.png"}, label_config)
    found = [
        NamedRegions(
            photo,
            prediction(photo.name, *regions, size=(HEIGHT, WIDTH)),
            names or [None] * len(regions),
            [bool(names)] * len(regions),
            [likeliest] * len(regions),
        )
        for photo in photos
    ]
    return build_task_prediction(found, label_config, CLASSES, options or LEAVE)


def shown(found: TaskPrediction) -> list[tuple[str, str, object]]:
    return [(i["from_name"], i["to_name"], i["value"][i["type"]]) for i in found.result]


def test_build_task_prediction__score_is_the_mean_of_the_regions() -> None:
    regions = [region(x, 0, 5, 5, score=s, cluster=0) for x, s in ((0, 0.9), (10, 0.5), (20, 0.1))]
    found = answered(IMAGE + BRUSH, *regions)
    assert found.score == pytest.approx(0.5)
    assert [item["score"] for item in found.result] == [0.9, 0.5, 0.1]
    assert found.to_json("abc-1") == {
        "result": found.result,
        "score": found.score,
        "model_version": "abc-1",
    }


def test_build_task_prediction__a_photo_without_regions_is_answered_as_empty() -> None:
    found = answered(IMAGE + BRUSH)
    assert found.to_json("abc-1") == {"result": [], "score": 0.0, "model_version": "abc-1"}


def test_build_task_prediction__those_below_the_threshold_count_in_no_score() -> None:
    regions = [region(0, 0, 5, 5, score=0.9), region(10, 0, 5, 5, score=0.3)]
    asked = answered(IMAGE + BRUSH, *regions, options=ResultOptions(min_score=0.5))
    config = answered(
        IMAGE + BRUSH.replace('toName="img"', 'toName="img" model_score_threshold="0.5"'), *regions
    )
    for found in (asked, config):
        assert (found.score, found.n_regions, found.losses.below_threshold) == (0.9, 1, 1)


def test_build_task_prediction__max_regions_counts_over_all_controls() -> None:
    other = '<BrushLabels name="second" toName="img"><Label value="bird"/></BrushLabels>'
    regions = [
        region(10 * i, 0, 5, 5, score=s, cluster=i) for i, s in enumerate((0.2, 0.8, 0.5, 0.9))
    ]
    found = answered(
        IMAGE + BRUSH + other,
        *regions,
        names=("cat", "bird", "dog", "bird"),
        options=ResultOptions(max_regions=3),
    )
    # The best three of both, not three each: 0.9 and 0.8 are birds, 0.5 is a dog.
    assert shown(found) == [
        ("brush", "img", ["dog"]),
        ("second", "img", ["bird"]),
        ("second", "img", ["bird"]),
    ]
    assert found.score == pytest.approx((0.9 + 0.8 + 0.5) / 3)
    assert (found.n_regions, found.losses.over_limit) == (3, 1)


def test_build_task_prediction__a_region_has_one_shape_the_finest_with_its_label() -> None:
    boxes = '<RectangleLabels name="box" toName="img"><Label value="cat"/></RectangleLabels>'
    boxes = boxes.replace("</R", '<Label value="cow"/></R')
    regions = [region(0, 0, 5, 5, score=0.8, cluster=0), region(10, 2, 8, 4, score=0.4, cluster=1)]
    found = answered(IMAGE + BRUSH + boxes, *regions, names=("cow", "dog"))
    assert shown(found) == [("brush", "img", ["dog"]), ("box", "img", ["cow"])]
    assert found.n_regions == 2
    assert found.score == pytest.approx(0.6)


def test_build_task_prediction__a_tag_that_is_not_to_be_skipped_has_the_regions_again() -> None:
    boxes = (
        '<RectangleLabels name="box" toName="img" model_skip="false"><Label value="cat"/>'
        "</RectangleLabels>"
    )
    regions = [region(0, 0, 5, 5, score=0.8, cluster=0), region(10, 2, 8, 4, score=0.4, cluster=1)]
    found = answered(IMAGE + BRUSH + boxes, *regions, names=("cat", "dog"))
    assert shown(found) == [
        ("brush", "img", ["cat"]),
        ("brush", "img", ["dog"]),
        ("box", "img", ["cat"]),
        ("box", "img", []),
    ]
    assert len({item["id"] for item in found.result}) == 4
    assert found.n_regions == 2
    assert found.score == pytest.approx(0.6)
    masks = [decode_item(item, height=HEIGHT, width=WIDTH) for item in found.result]
    assert [np.count_nonzero(mask) for mask in masks if mask is not None] == [25, 32] * 2


def test_build_task_prediction__the_configs_default_names_a_class_until_people_do() -> None:
    labels = BRUSH.replace('"cat"', '"cat" predicted_values="object 2"')
    one = region(0, 0, 5, 5, score=0.8, cluster=1)
    assert shown(answered(IMAGE + labels, one))[0][2] == ["cat"]
    assert shown(answered(IMAGE + labels, one, names=("dog",)))[0][2] == ["dog"]
    assert shown(answered(IMAGE + labels, region(0, 0, 5, 5, score=0.8, cluster=0)))[0][2] == []
    # A name that is no longer in the config: the region is unnamed, which is counted.
    found = answered(IMAGE + labels, one, names=("bird",))
    assert (shown(found)[0][2], found.losses.unnamed) == ([], 1)


def test_build_task_prediction__labels_that_come_from_the_task() -> None:
    dynamic = '<BrushLabels name="brush" toName="img" value="$labels"/>'
    one = region(0, 0, 5, 5, score=0.8, cluster=1)
    # What people named is one of them; a class's own name is not.
    assert shown(answered(IMAGE + dynamic, one, names=("yak",)))[0][2] == ["yak"]
    found = answered(IMAGE + dynamic, one)
    assert (shown(found)[0][2], found.result[0]["meta"]) == ([], {"text": ["object 2"]})


# Regions that nobody has named --------------------------------------------------------------------


def test_unnamed__the_only_label_of_a_config_is_everyones() -> None:
    one = '<BrushLabels name="brush" toName="img"><Label value="cat"/></BrushLabels>'
    found = answered(IMAGE + one, region(0, 0, 5, 5, score=0.8, cluster=1), options=FIRST)
    assert shown(found) == [("brush", "img", ["cat"])]
    assert found.losses.unnamed == 0
    assert "meta" not in found.result[0]


def test_unnamed__the_label_of_the_class_is_shown_where_the_config_has_it() -> None:
    added = add_labels(f"<View>{IMAGE}{BRUSH}</View>", ["object 2"])
    regions = [region(0, 0, 5, 5, score=0.8, cluster=1), region(9, 0, 5, 5, score=0.7, cluster=0)]
    found = answered(added, *regions, options=ResultOptions(unnamed="add"))
    # The config lacks object 1: a guess, not a region that nobody sees.
    assert [labels for *_, labels in shown(found)] == [["object 2"], ["cat"]]
    assert found.losses.unnamed == 2
    # A class that people have named, with a region that is most like one that was deleted.
    [item] = answered(added, regions[0], names=(None,), options=FIRST).result
    assert item["value"]["brushlabels"] == ["object 2"]


@pytest.mark.parametrize(
    ("likeliest", "label"),
    [
        (Likeliest(), "cat"),  # nothing is known: the first
        (Likeliest(("dog", "cat"), (1,)), "dog"),  # what people named comes first
        (Likeliest(("yak",), (0, 2, 1)), "dog"),  # else the config's predicted_values
        (Likeliest(("yak",), (1, 2, 0)), "cat"),
    ],
)
def test_unnamed__the_likeliest_label_is_a_guess(likeliest: Likeliest, label: str) -> None:
    labels = BRUSH.replace('"cat"', '"cat" predicted_values="object 2"').replace(
        '"dog"', '"dog" predicted_values="object 3"'
    )
    one = region(0, 0, 5, 5, score=0.8, cluster=0)
    found = answered(IMAGE + labels, one, options=FIRST, likeliest=likeliest)
    assert shown(found)[0][2] == [label]
    assert found.losses.unnamed == 1
    [item] = found.result
    assert item["meta"] == {"text": [f"object 1: {label} is a guess"]}
    assert item_label(item, {}, predicted=True) == "object 1"  # no person has named it
    assert item_label(item, {}) == label  # a person has submitted it so


def test_unnamed__a_name_that_another_tag_has_is_no_guess_here() -> None:
    boxes = '<RectangleLabels name="box" toName="img"><Label value="cat"/></RectangleLabels>'
    dog = region(0, 0, 5, 5, score=0.8, cluster=0)
    found = answered(IMAGE + BRUSH + boxes, dog, names=("dog",), options=FIRST)
    assert ("box", "img", ["cat"]) not in shown(found)
    # One that no tag has any more is.
    gone = answered(IMAGE + BRUSH, dog, names=("bird",), options=FIRST)
    assert (shown(gone)[0][2], gone.losses.unnamed) == (["cat"], 1)


def test_unnamed__guesses_of_different_classes_are_not_merged() -> None:
    parts = [region(0, 0, 10, 10, score=0.9, cluster=0), region(12, 0, 10, 5, score=0.3, cluster=2)]
    options = ResultOptions(gap=4)
    assert answered(IMAGE + BRUSH, *parts, options=options).n_regions == 2


def test_build_task_prediction__gap_merges_regions_of_one_label_whatever_their_class() -> None:
    parts = [
        region(0, 0, 10, 10, score=0.9, cluster=0),
        region(12, 0, 10, 5, score=0.3, cluster=2),
        region(24, 0, 5, 10, score=0.5, cluster=1),
    ]
    options = ResultOptions(gap=4)
    found = answered(IMAGE + BRUSH, *parts, names=("cat", "cat", "dog"), options=options)
    assert shown(found) == [("brush", "img", ["cat"]), ("brush", "img", ["dog"])]
    merged = (0.9 * 100 + 0.3 * 50) / 150
    assert [item["score"] for item in found.result] == pytest.approx([merged, 0.5])
    # Without labels, one class merges and two do not.
    same = [parts[0], region(12, 0, 10, 5, score=0.3, cluster=0), parts[2]]
    assert answered(IMAGE + BRUSH, *parts, options=options).n_regions == 3
    assert answered(IMAGE + BRUSH, *same, options=options).n_regions == 2


def test_build_task_prediction__gap_leaves_regions_without_a_class_alone() -> None:
    parts = [region(0, 0, 10, 10, score=0.9), region(12, 0, 10, 5, score=0.3)]
    assert answered(IMAGE + BRUSH, *parts, options=ResultOptions(gap=4)).n_regions == 2


def test_build_task_prediction__several_photos_add_up() -> None:
    second = '<Image name="side" value="$side"/>'
    polygons = '<PolygonLabels name="poly" toName="side"><Label value="cat"/></PolygonLabels>'
    photo = (HEIGHT, WIDTH)
    hole = box(5, 5, 4, 3, photo=photo)  # 12 pixels
    ring = builders.region(box(2, 2, 10, 10, photo=photo) & ~hole, score=0.8)
    low = region(20, 2, 4, 4, score=0.1)
    found = answered(
        IMAGE + second + BRUSH + polygons,
        ring,
        low,
        options=ResultOptions(min_score=0.2),
        data={"image": "/a.png", "side": "/b.png"},
    )
    assert [item[:2] for item in shown(found)] == [("brush", "img"), ("poly", "side")]
    losses = found.losses
    assert (losses.below_threshold, losses.unnamed, losses.holes, losses.hole_pixels) == (
        2,
        2,
        1,
        12,
    )
    assert found.n_regions == 2
    assert found.score == pytest.approx(0.8)


def test_build_task_prediction__photos_of_a_list_say_which_they_are() -> None:
    found = answered(
        IMAGE.replace("value", "valueList") + BRUSH,
        region(0, 0, 5, 5, score=0.8),
        data={"image": ["/a.png", "/b.png", "/c.png"]},
    )
    assert [item["item_index"] for item in found.result] == [0, 1, 2]
    assert len({item["id"] for item in found.result}) == 3


def test_name_regions__people_come_before_the_config() -> None:
    centroids = np.eye(3, dtype=np.float32)
    label_config = parse_label_config(f"<View>{IMAGE}{BRUSH}</View>")
    (photo,) = task_photos(9, {"image": "/a.png"}, label_config)
    vectors = np.eye(3, dtype=np.float32)[[0, 2]]
    regions = (
        region(0, 0, 5, 5, score=0.8, cluster=0),
        region(9, 0, 5, 5, score=0.8, cluster=2),
    )
    predicted = prediction("9/image", *regions)
    taught = Exemplar("1/image", None, centroids[2], "dog")
    names = Names([taught], centroids, clusterer=tiny_config().strategy("clusterer"))
    found = name_regions(photo, predicted, vectors, names)
    assert (list(found.names), list(found.known)) == ([None, "dog"], [False, True])
    alone = name_regions(photo, predicted, np.zeros((0, 0), dtype=np.float32), None)
    assert (list(alone.names), list(alone.known)) == ([None, None], [False, False])


def test_build__a_named_region_has_no_note_of_its_class() -> None:
    two = region(1, 1, 4, 4, score=0.9, cluster=0), region(9, 1, 4, 4, score=0.8, cluster=1)
    found = answered(IMAGE + BRUSH, *two, names=("bird", None))  # the config has no bird
    notes = [item.get("meta", {}).get("text") for item in found.result]
    assert notes == [None, ["object 2"]]
