"""Files of tasks: JSON and JSON_MIN, read one task at a time, and their faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.converter import Converter

from builders import PARTS, RING, item
from prelabel.data.masks import Mask
from prelabel.errors import UserError
from prelabel.label_studio.format import task_file
from prelabel.runs.datasets import open_dataset
from support.label_studio_exports import (
    CONFIG,
    annotated,
    masks,
    read_export,
    shape_item,
    write_export,
)

# pycocotools does not know numpy 2's `copy` yet: harmless, but pytest keeps every warning.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


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
    ("text", "said"),
    [
        ('[{"id": 1, "data": {"image": oh}}' + " " * 99 + "]", "damaged in item 1"),
        ('[{"id": 1, "data": {}} {"id": 2}' + " " * 99 + "]", "damaged in item 2 .',' wanted"),
        ('[{"id": 1, "data": {}}] more', "holds more behind the end"),
        ('{"id": 1, "data": {}}', "no list of tasks"),
        ("", "no list of tasks"),
        ('[{"id": 1}]', "item 1 is no task of Label Studio"),
        ('[{"id": 1, "data": {}}, 5]', "item 2 is no task but 5"),
        ("[" * 100_000, "no JSON in UTF-8"),
        ('[{"id": 1, "data": "\xff"}]', "item 1 is no task|no JSON in UTF-8"),
    ],
)
def test_fault__no_tasks(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=f"x.json: .*({said})"):
        open_dataset(file, format="label-studio")


def test_json_tasks__tasks_larger_than_what_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [annotated(item(RING), number=n, note="ü" * 7 * n) for n in range(30)]
    file = write_export(tmp_path, tasks)
    for size in (1, 2, 3, 64, 1000):
        monkeypatch.setattr(task_file, "_CHUNK", size)
        assert list(task_file.json_tasks(file)) == tasks
