"""Which annotation or prediction of a task counts, and when it has changed."""

from __future__ import annotations

from typing import Any

from builders import box, item
from prelabel.label_studio.format.annotations import (
    chosen,
    newest_annotation,
    result_items,
    stamp,
    stamp_of,
)
from prelabel.label_studio.format.label_config import parse_label_config

LABEL_XML = """<View><Image name="img" value="$image"/>
<BrushLabels name="brush" toName="img"><Label value="Cat"/><Label value="Dog"/></BrushLabels>
<Choices name="weather" toName="img"><Choice value="Sun"/></Choices></View>"""
LABEL_CONFIG = parse_label_config(LABEL_XML)


def annotation(number: int, at: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "updated_at": at, "result": [], "was_cancelled": False, **more}


def newest(*annotations: Any) -> int | None:
    found = newest_annotation({"id": 1, "annotations": list(annotations)})
    number = found["id"] if found else None
    assert number is None or isinstance(number, int)
    return number


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


def test_chosen__annotations_predictions_or_both() -> None:
    drawn = annotation(1, "2024-01-01T00:00:00Z")
    old: dict[str, Any] = {"id": 1, "created_at": "2024-01-01", "result": []}
    new = {**old, "id": 2, "created_at": "2024-01-02"}
    both = {"id": 1, "annotations": [drawn], "predictions": [new, old, 7, {"id": 9}]}
    assert chosen(both, "annotations") == (drawn, False)
    assert chosen(both, "predictions") == (new, True)
    assert chosen(both, "both") == (drawn, False)
    predicted = {**both, "annotations": [{**drawn, "was_cancelled": True}]}
    assert chosen(predicted, "annotations") == (None, False)
    assert chosen(predicted, "both") == (new, True)
    assert chosen({"id": 1}, "both") == (None, True)


def test_result_items__those_that_are_items() -> None:
    assert result_items({"result": [{"id": "a"}, None, "text", {"id": "b"}]}) == [
        {"id": "a"},
        {"id": "b"},
    ]
    for entry in (None, {}, {"result": None}, {"result": {"id": "a"}}):
        assert result_items(entry) == []


def test_stamp__changes_with_what_is_learned() -> None:
    one = annotation(1, "2024-01-01T00:00:00Z", result=[item(box(0, 0, 2, 2), "Cat")])
    others = [
        {**one, "id": 2},
        {**one, "updated_at": "2024-01-02T00:00:00Z"},
        {**one, "result": [item(box(0, 0, 2, 2), "Dog")]},
    ]
    stamps = [stamp(a, LABEL_CONFIG) for a in (one, *others)]
    stamps.append(stamp(one, parse_label_config(LABEL_XML.replace('"Dog"', '"Fox"'))))
    assert len(set(stamps)) == 5
    other_weather = parse_label_config(LABEL_XML.replace("Sun", "Rain"))
    assert stamp({**one, "lead_time": 3.5}, other_weather) == stamps[0]
    assert stamp(dict(reversed(one.items())), LABEL_CONFIG) == stamps[0]
    assert {len(s) for s in stamps} == {16}


def test_stamp_of__begins_with_the_annotation_s_number() -> None:
    assert stamp_of(annotation(7, ""), LABEL_CONFIG).startswith("7:")
    assert stamp_of(None, LABEL_CONFIG) == ""


def test_stamp_of__is_that_of_earlier_versions() -> None:
    # Else every project would be learned anew, and its version would rise.
    assert stamp_of(annotation(7, "2024-01-01T00:00:00Z"), LABEL_CONFIG) == "7:7e48ad41f82c1f43"
