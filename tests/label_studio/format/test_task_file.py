"""Files of tasks: JSON and JSON_MIN, read one task at a time, and their faults."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any, cast

import ijson
import numpy as np
import pytest
from label_studio_sdk.converter import Converter

from builders import PARTS, RING, item
from prelabel.data.masks import Mask
from prelabel.errors import UserError
from prelabel.label_studio.format import task_file
from prelabel.label_studio.format.task_file import json_tasks, looks_like_tasks
from prelabel.runs.datasets import open_dataset
from support.label_studio_exports import (
    CONFIG,
    annotated,
    labels,
    masks,
    read_export,
    shape_item,
    write_export,
)


def test_json_min__of_the_sdk_gives_the_same_regions(tmp_path: Path) -> None:
    square = [[20, 25], [60, 25], [60, 75]]
    tasks = [
        annotated(
            item(RING, "tree"),
            shape_item("polygonlabels", {"points": square}, from_name="poly"),
            shape_item(
                "rectanglelabels",
                {"x": 0, "y": 0, "width": 30, "height": 50, "rotation": 0},
                "dog",
                from_name="box",
            ),
        ),
        annotated(item(PARTS), number=2),
    ]
    file = write_export(tmp_path, tasks, CONFIG)
    Converter(CONFIG, str(tmp_path)).convert_to_json_min(str(file), str(tmp_path), is_dir=False)
    minimal = tmp_path / "result.json"
    assert "data" not in json.loads(minimal.read_text())[0]
    assert task_file.looks_like_tasks(minimal)
    whole, less = open_dataset(file), open_dataset(minimal)
    assert less.classes == whole.classes
    assert list(less.stream()) == list(whole.stream())


def test_json_min__two_annotations_of_a_task_are_two_rows_of_one(tmp_path: Path) -> None:
    def row(task: int, annotation: int | None, mask: Mask, updated: str) -> dict[str, Any]:
        value = item(mask)["value"] | {"original_width": 10, "original_height": 8}
        return {
            "image": f"/data/upload/1/0a1b2c3d-{task}.jpg",
            "id": task,
            "label": [value],
            "annotator": 1,
            "annotation_id": annotation,
            "updated_at": updated,
        }

    rows = [
        row(1, 10, RING, "2026-02-01T00:00:00Z"),
        row(1, 11, PARTS, "2026-01-01T00:00:00Z"),
        row(2, 12, PARTS, "2026-01-01T00:00:00Z"),
        row(3, None, PARTS, ""),
    ]
    found = {p.photo: masks(p) for p in read_export(tmp_path, rows).stream()}
    assert list(found) == ["1.jpg", "2.jpg"]
    assert np.array_equal(found["1.jpg"], [RING])


def test_fault__cut_off_anywhere_is_one_error(tmp_path: Path) -> None:
    file = write_export(tmp_path, [annotated(item(RING)), annotated(item(PARTS), number=2)])
    whole = file.read_text()
    for end in {1, 2, len(whole) // 4, len(whole) // 2, len(whole) - 30, len(whole) - 1}:
        file.write_text(whole[:end])
        with pytest.raises(UserError, match=r"export.json: cut off in item \d"):
            open_dataset(file, format="label-studio")


def test_fault__cut_off_while_it_is_convertible_is_recognized(tmp_path: Path) -> None:
    file = write_export(tmp_path, [annotated(item(RING))])
    file.write_text(file.read_text()[:200])
    with pytest.raises(UserError, match="cut off in item 1: export it again"):
        open_dataset(file)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"id": 1, "data": {"image": oh}}' + " " * 99 + "]", "damaged in item 1"),
        ('[{"id": 1, "data": {}} {"id": 2}' + " " * 99 + "]", "damaged in item 2 .*',' delimiter"),
        ('[{"id": 1, "data": {}}] more', "holds more behind the end"),
        ('[{"id": 1, "data": {}}, oh' + " " * 99 + "]", "damaged in item 2"),
        ('{"id": 1, "data": {}}', "not a list of tasks"),
        ("", "not a list of tasks"),
        ("  \n ", "not a list of tasks"),
        ('[{"id": 1}]', "item 1 is not a task of Label Studio"),
        ('[{"id": 1, "data": {}}, 5]', "item 2 is not a task but 5"),
        ('[{"id": 1, "data": {}}, [[5]]]', "item 2 is not a task but a list"),
        ("[" * 100_000, "not JSON in UTF-8"),
        ('{"a":' * 100_000, "not a list of tasks"),
        ('[{"id": 1, "data": ' + '{"a":' * 100_000, "not JSON in UTF-8"),
        ('[{"id": 1, "data": "\xff"}]', "not JSON in UTF-8"),
    ],
)
def test_fault__not_tasks(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=rf"x\.json: .*({reason})"):
        list(json_tasks(file))


@pytest.mark.parametrize("text", ["[1, tru", '[{"a": "\\ud83d\\ude0', '[{"a": -', '[{"a": "x\\'])
def test_fault__cut_off_within_a_word(text: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(UserError, match=r"cut off in item \d|is not a task"):
        list(json_tasks(file))


def test_fault__a_file_that_is_too_large_to_be_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_file, "_AT_ONCE", 10)
    file = write_export(tmp_path, [annotated(item(RING), number=n) for n in range(3)])
    assert len(list(json_tasks(file))) == 3
    whole = file.read_text()
    for broken in (whole[:-300], whole.replace('"id": 2', '"id": oh'), whole + "more"):
        file.write_text(broken)
        with pytest.raises(
            UserError, match=r"cut off or damaged in item (3|4) \(.+\): export it again"
        ):
            list(json_tasks(file))


def test_fault__bytes_that_are_no_text_in_any_place(tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"
    whole = b'[{"id": 1, "data": {"image": "a.jpg"}, "annotations": []}, {"id": 2, "data": {}}]'
    for place in range(len(whole) + 1):
        file.write_bytes(whole[:place] + b"\xed" + whole[place:])
        with pytest.raises(UserError, match=r"tasks\.json"):
            list(json_tasks(file))


def test_json_tasks__everything_as_python_reads_it(tmp_path: Path) -> None:
    odd = {
        "int": 12345678901234567890123,
        "float": [0.1, -2.5e-3, 1e300, 5.0, -0.0],
        "not JSON": [float("inf"), -float("inf")],
        "text": 'ü 🐕 \ud83d \udc15 " \\ \n\u2028 [{',
        "nothing": [None, True, False, {}, [], ""],
    }
    plain = {key: value for key, value in odd.items() if key in ("float", "nothing")}
    for data in (odd, plain):
        for ascii_only in (True, False):
            tasks = [{"id": n, "data": {**data, "n": n}} for n in range(3)]
            text = json.dumps(tasks, ensure_ascii=ascii_only)
            file = tmp_path / "x.json"
            file.write_bytes(codecs.BOM_UTF8 + text.encode("utf-8", "surrogatepass"))
            if not ascii_only and data is odd:  # halves of pairs are not UTF-8
                with pytest.raises(UserError, match="not JSON in UTF-8"):
                    list(json_tasks(file))
                continue
            found = list(json_tasks(file))
            assert found == tasks
            assert repr(found) == repr(tasks)  # 5.0 is not 5, and -0.0 is not 0.0


def test_json_tasks__nan(tmp_path: Path) -> None:
    file = write_export(tmp_path, [annotated(item(RING, score=float("nan")))])
    (task,) = json_tasks(file)
    assert "nan" in repr(task)
    assert labels(open_dataset(file)) == [["cat"]]


@pytest.mark.parametrize("size", [1, 2, 3, 64, 1000])
def test_json_tasks__in_whatever_portions_a_file_is_read(size: int, tmp_path: Path) -> None:
    tasks = [annotated(item(RING), number=n, note="ü🐕" * 7 * n) for n in range(9)]
    file = write_export(tmp_path, tasks)
    with file.open("rb") as source:
        assert [*ijson.items(source, "item", use_float=True, buf_size=size)] == tasks


@pytest.mark.parametrize(
    ("text", "suits"),
    [
        (r"\ud83d\ude00", True),
        (r"\uD83D\uDE00\ud83d\ude00", True),
        (r"\u00e4\u0064", True),
        (r"\ud83d", False),
        (r"\ud83dx\ude00", False),
        (r"\ude00", False),
        (r"\ud83d\ud83d\ude00", False),
        ("[{" * 240, True),  # brackets of texts count, whatever they are
        ("[{" * 260, False),
        ("[]{}" * 1000, True),
    ],
)
@pytest.mark.parametrize("before", [0, (1 << 16) - 10, (1 << 16) - 6, 1 << 16])
def test_suits_ijson(text: str, suits: bool, before: int, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(f'["{"x" * before}{text}"]')
    with file.open("rb") as source:
        assert task_file._suits_ijson(source) == suits
        assert source.tell() == 0


def test_json_min__types_of_values_without_a_tag_s_name(tmp_path: Path) -> None:
    def types(*values: dict[str, Any]) -> list[str]:
        row = {"id": 1, "annotation_id": 2, "image": "a.jpg", "tag": list(values)}
        (task,) = json_tasks(write_export(tmp_path, [row]))
        (annotation,) = cast(Any, task)["annotations"]
        return [item["type"] for item in annotation["result"]]

    assert types({"rle": [], "brushlabels": ["a"]}, {"rle": []}) == ["brushlabels", "brush"]
    assert types({"points": [], "labels": ["a"]}, {"imageDataURL": ""}) == ["polygon", "bitmask"]
    rectangle = {"x": 1, "y": 1, "width": 1, "height": 1, "rotation": 0}
    assert types(rectangle, {**rectangle, "rectanglelabels": []}) == [
        "rectangle",
        "rectanglelabels",
    ]
    ellipse = {"x": 1, "y": 1, "radiusX": 1, "radiusY": 1, "rotation": 0}
    assert types(ellipse, {"x": 1, "keypointlabels": []}) == ["ellipse", "keypointlabels"]
    assert types({"choices": ["sunny"]}, {"text": ["hm"]}) == ["choices", "textarea"]
    assert types({"unknown": ["sunny"]}) == ["other"]


def test_json_min__labels_and_answers_belong_to_the_equal_drawing(tmp_path: Path) -> None:
    square = {"points": [[0, 0], [50, 0], [50, 50]], "closed": True, "original_width": 10}
    other = {**square, "points": [[50, 50], [100, 50], [100, 100]]}
    row = {
        "id": 1,
        "annotation_id": 2,
        "image": "a.jpg",
        "what": [{**square, "labels": ["Car"]}, {**square, "labels": ["Bus"]}],
        "polygons": [other, square, square],
        "state": {**other, "choices": ["new"], "type": "Choices"},  # one alone is not in a list
    }
    (task,) = json_tasks(write_export(tmp_path, [row]))
    (annotation,) = cast(Any, task)["annotations"]
    found = [(i["id"], i["type"], i["from_name"]) for i in annotation["result"]]
    assert found == [
        ("what[0]", "labels", "what"),
        ("what[1]", "labels", "what"),
        ("polygons[0]", "polygon", "polygons"),
        ("what[0]", "polygon", "polygons"),
        ("what[1]", "polygon", "polygons"),
        ("polygons[0]", "choices", "state"),
    ]


def test_json_tasks__completions_of_2020_are_annotations(tmp_path: Path) -> None:
    def completion(number: int, created: object, label: str, **more: Any) -> dict[str, Any]:
        return {"id": number, "created_at": created, "result": [item(RING, label)], **more}

    task = {
        "id": 3,
        "data": {"image": "a.jpg"},
        "completions": [
            completion(3001, 1608552083, "old"),
            completion(3002, 1608552093, "cat"),
            completion(3003, 1608552099, "skipped", skipped=True),
            completion(3004, 1e300, "of no time"),
        ],
        "predictions": [],
    }
    file = write_export(tmp_path, [task])
    assert looks_like_tasks(file)
    assert labels(open_dataset(file)) == [["cat"]]
    (found,) = json_tasks(file)
    moments = [one["updated_at"] for one in cast(Any, found)["annotations"]]
    assert moments[:2] == ["2020-12-21T12:01:23+00:00", "2020-12-21T12:01:33+00:00"]
    file.write_text('[{"completions": [')  # cut off
    assert looks_like_tasks(file)


def test_looks_like_tasks(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    for text, looks in (
        ('[{"id": 1, "data": {}}]', True),
        ('\ufeff [ {"data": {}, "x": [1, 2', True),
        ('[{"id": 1, "annotation_id": 5, "image": "a.jpg"}]', True),
        ('[{"id": 1}]', False),
        ("[[[]]]", False),
        ('{"images": []}', False),
        ("[" * 100_000, False),
    ):
        file.write_text(text, encoding="utf-8")
        assert looks_like_tasks(file) == looks
    assert not looks_like_tasks(tmp_path / "gone")
