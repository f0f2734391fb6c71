"""Lessons from annotations; masks are boxes, counted by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prelabel.data.brush import encode_brush
from prelabel.data.masks import Mask, decode_rle, encode_rle, rle_area, rle_box
from prelabel.data.records import Prediction, Region
from prelabel.label_studio import learn
from prelabel.label_studio.api.client import TaskGone
from prelabel.label_studio.format.annotations import newest_annotation, stamp
from prelabel.label_studio.format.items import encode_regions
from prelabel.label_studio.format.label_config import LabelConfig, parse_label_config
from prelabel.label_studio.format.regions import DrawnRegion
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.names.lessons import Drawing, Lesson, find_lessons, read_drawing
from prelabel.storage.progress import RunLog

HEIGHT, WIDTH = 20, 30
CONFIG = """<View><Image name="img" value="$image"/><Image name="side" value="$side"/>
<BrushLabels name="brush" toName="img"><Label value="Cat"/><Label value="Dog"/></BrushLabels>
<RectangleLabels name="box" toName="img"><Label value="Cat"/><Label value="Dog"/></RectangleLabels>
<BrushLabels name="other" toName="side"><Label value="Cat"/></BrushLabels>
<Choices name="weather" toName="img"><Choice value="Sun"/></Choices></View>"""
WANTED = parse_label_config(CONFIG)


def box(x: int, y: int, w: int, h: int) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    mask[y : y + h, x : x + w] = True
    return mask


def brush(mask: Mask, *labels: str, name: str = "brush", **more: Any) -> dict[str, Any]:
    value: dict[str, Any] = {"format": "rle", "rle": encode_brush(mask)}
    if labels:
        value["brushlabels"] = list(labels)
    to_name = "side" if name == "other" else "img"
    item = {"id": "x", "type": "brushlabels", "from_name": name, "to_name": to_name, "value": value}
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    return {**item, **size, **more}


def rectangle(x: int, y: int, w: int, h: int, label: str) -> dict[str, Any]:
    value = {"x": x * 100 / WIDTH, "width": w * 100 / WIDTH, "rectanglelabels": [label]}
    value |= {"y": y * 100 / HEIGHT, "height": h * 100 / HEIGHT, "rotation": 0}
    return {"type": "rectanglelabels", "from_name": "box", "to_name": "img", "value": value}


def draw(*items: dict[str, Any], wanted: LabelConfig = WANTED, **place: Any) -> Drawing:
    place = {"image_key": "image", "item_index": None, "height": HEIGHT, "width": WIDTH, **place}
    return read_drawing(json.loads(json.dumps(items)), wanted, **place)


def seen(drawing: Drawing) -> list[tuple[int, str]]:
    """Pixels and label of each region."""
    return [(int(decode_rle(region.rle).sum()), region.label) for region in drawing.regions]


def region(mask: Mask) -> Region:
    rle = encode_rle(mask)
    return Region(rle=rle, box=rle_box(rle), area=rle_area(rle), score=0.5)


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
    np.testing.assert_array_equal(decode_rle(found.regions[0].rle), box(2, 3, 4, 5))
    np.testing.assert_array_equal(decode_rle(found.regions[1].rle), box(15, 3, 6, 7))


def test_read_drawing__a_label_that_the_control_has_not_is_none() -> None:
    assert seen(draw(brush(box(0, 0, 2, 2)))) == [(4, "")]
    assert seen(draw(brush(box(0, 0, 2, 2), "Yak"))) == [(4, "")]
    assert seen(draw(brush(box(0, 0, 2, 2), "Dog", "Cat"))) == [(4, "Dog")]


def test_read_drawing__a_control_without_labels_takes_any() -> None:
    wanted = parse_label_config(
        '<View><Image name="img" value="$image"/><BrushLabels name="brush" toName="img" '
        'value="$labels"/></View>'
    )
    assert seen(draw(brush(box(0, 0, 2, 2), "Yak"), wanted=wanted)) == [(4, "Yak")]


def test_read_drawing__other_photos_and_tags_are_passed_over() -> None:
    choice = {"type": "choices", "from_name": "weather", "to_name": "img", "value": {"choices": []}}
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    text = {"type": "textarea", "from_name": "brush", "to_name": "img", "value": {"text": ["hm"]}}
    other = brush(box(0, 0, 2, 3), "Cat", name="other")
    items = (choice, relation, text, other, brush(box(0, 0, 2, 2), "Cat"))
    assert draw(*items) == draw(items[-1])
    assert seen(draw(*items, image_key="side")) == [(6, "Cat")]


def test_read_drawing__a_photo_of_a_list() -> None:
    wanted = parse_label_config(CONFIG.replace('value="$image"', 'valueList="$image"'))
    first, second = brush(box(0, 0, 2, 2), "Cat"), brush(box(0, 0, 3, 3), "Dog", item_index=1)
    for index, found in ((0, [(4, "Cat")]), (1, [(9, "Dog")]), (2, [])):
        assert seen(draw(first, second, wanted=wanted, item_index=index)) == found


@pytest.mark.parametrize(
    "broken",
    [
        brush(np.ones((4, 4), dtype=np.bool_), "Cat"),
        brush(box(0, 0, 2, 2), "Cat", value={"rle": [1, 2]}),
        brush(box(0, 0, 2, 2), "Cat", value=None),
        brush(box(0, 0, 2, 2), "Cat", original_width=HEIGHT, original_height=WIDTH),
        {**rectangle(0, 0, 4, 4, "Cat"), "original_width": WIDTH + 1},
    ],
)
def test_read_drawing__what_cannot_be_read_is_counted(broken: dict[str, Any]) -> None:
    found = draw(broken, brush(box(9, 9, 2, 2), "Dog"))
    assert (seen(found), found.unreadable) == ([(4, "Dog")], 1)


def test_read_drawing__what_was_erased_is_nothing() -> None:
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


def test_read_drawing__what_one_tool_has_drawn_are_two_regions() -> None:
    # However alike: 16 and 20 pixels, 16 in common. Only another tool repeats a region.
    assert seen(draw(brush(box(0, 0, 4, 4), "Cat"), brush(box(0, 0, 4, 5), "Cat"))) == [
        (16, "Cat"),
        (20, "Cat"),
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


def test_find_lessons__deleted_is_what_less_than_a_tenth_is_drawn_on() -> None:
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
def test_find_lessons__what_was_imported_and_kept_is_the_predicted(
    tag: str, masks: list[Mask]
) -> None:
    """Predicted regions, as this tool imports them: each is found again, whatever the tag."""
    wanted = parse_label_config(
        CONFIG.replace("<BrushLabels", f"<{tag}").replace("</BrushLabels", f"</{tag}")
    )
    wanted = LabelConfig(controls=wanted.controls[:1])
    predicted = []
    for i, small in enumerate(masks):  # side by side, one part without holes
        mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
        mask[4:8, 6 * i : 6 * i + 6] = True
        mask[5:8, 6 * i + 1 : 6 * i + 5] |= small
        predicted.append(region(mask))
    prediction = Prediction("p", "", WIDTH, HEIGHT, tuple(predicted), 0.0, 0, "")
    items, _ = encode_regions(prediction, {-1: "Dog"}, wanted.controls[0], tolerance=0)
    found = find_lessons(draw(*items, wanted=wanted), predicted)
    assert [(lesson.name, lesson.predicted) for lesson in found] == [
        ("Dog", i) for i in range(len(predicted))
    ]


def annotation(number: int, at: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "updated_at": at, "result": [], "was_cancelled": False, **more}


def newest(*annotations: Any) -> int | None:
    found = newest_annotation({"id": 1, "annotations": list(annotations)})
    return None if found is None else int(found["id"])


def test_newest_annotation__by_time_not_by_text() -> None:
    # As text, "…00Z" would come behind "…00.500000Z".
    early, late = "2024-05-01T10:00:00Z", "2024-05-01T10:00:00.500000Z"
    assert newest(annotation(1, late), annotation(2, early)) == 1
    assert newest(annotation(1, "2024-05-01T12:30:00+03:00"), annotation(2, early)) == 2
    assert newest(annotation(1, early), annotation(2, early)) == 2


def test_newest_annotation__ground_truth_first() -> None:
    truth = annotation(1, "2024-01-01T00:00:00Z", ground_truth=True)
    assert newest(truth, annotation(2, "2025-01-01T00:00:00Z")) == 1


def test_newest_annotation__skipped_ones_and_drafts_teach_nothing() -> None:
    skipped = annotation(2, "2025-01-01T00:00:00Z", was_cancelled=True)
    assert newest(annotation(1, "2024-01-01T00:00:00Z"), skipped) == 1
    assert newest(skipped) is None
    assert newest(7, annotation(1, "", result=None)) is None
    assert newest_annotation({"id": 1, "drafts": [annotation(1, "2024-01-01T00:00:00Z")]}) is None


def test_newest_annotation__without_a_time_is_the_oldest() -> None:
    assert newest(annotation(2, "yesterday"), annotation(1, "2024-01-01T00:00:00Z")) == 1


def test_stamp__changes_with_what_is_learned() -> None:
    one = annotation(1, "2024-01-01T00:00:00Z", result=[brush(box(0, 0, 2, 2), "Cat")])
    others = [
        {**one, "id": 2},
        {**one, "updated_at": "2024-01-02T00:00:00Z"},
        {**one, "result": [brush(box(0, 0, 2, 2), "Dog")]},
    ]
    stamps = [stamp(a, WANTED) for a in (one, *others)]
    stamps.append(stamp(one, parse_label_config(CONFIG.replace('"Dog"', '"Fox"'))))
    assert len(set(stamps)) == 5
    assert (
        stamp({**one, "lead_time": 3.5}, parse_label_config(CONFIG.replace("Sun", "Rain")))
        == stamps[0]
    )
    assert stamp(dict(reversed(one.items())), WANTED) == stamps[0]
    assert {len(s) for s in stamps} == {16}


def test_learn_tasks__a_task_that_is_gone_meanwhile_costs_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Server:
        def task(self, number: int) -> dict[str, Any]:
            if number == 2:
                raise TaskGone("http://x has no task 2")
            return {"id": number}

    def lesson(task: dict[str, Any], *_: object) -> learn.Lessons:
        return {f"{task['id']}/image": ("1:x", ())}

    monkeypatch.setattr(learn, "learn_task", lesson)
    monkeypatch.setattr(learn, "Predictor", lambda *_: SimpleNamespace(flush=lambda: None))
    tasks: Any = [
        SimpleNamespace(id=n, stamp="1:x", photos=[SimpleNamespace(name=f"{n}/image")])
        for n in (1, 2, 3)
    ]
    home: Any = SimpleNamespace(names=tmp_path / "names.jsonl")
    unused: Any = SimpleNamespace(config=None)
    server: Any = Server()
    log = RunLog()
    learned = learn.learn_tasks(server, unused, tasks, home, unused, unused, unused, log)
    assert learned == 2
    assert list(log.skipped) == ["2"]
    assert ExemplarFile(home.names).photos_with({"1:"}) == ["1/image", "3/image"]
