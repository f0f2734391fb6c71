"""Tasks as labelled photos: whose labels count, classes, sizes, and what is reported."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builders import HEIGHT, PARTS, RING, WIDTH, box, item
from prelabel.errors import UserError
from prelabel.runs.datasets import open_dataset
from support.label_studio_exports import (
    CONFIG,
    annotated,
    labels,
    masks,
    read_export,
    write_export,
)


def _predicted(label: str, version: str, created: str, score: float = 0.5) -> dict[str, Any]:
    return {
        "id": 1,
        "model_version": version,
        "created_at": created,
        "score": score,
        "result": [item(PARTS, label)],
    }


def test_what__annotations_predictions_or_both(tmp_path: Path) -> None:
    predictions = [
        _predicted("tree", "m-2", "2026-02-02T00:00:00Z", score=0.25),
        _predicted("dog", "m-1", "2026-01-01T00:00:00Z"),
    ]
    tasks = [
        annotated(item(RING, "cat"), predictions=predictions),
        annotated(number=2, annotations=[], predictions=predictions),
        annotated(number=3, predictions=predictions),  # annotated: there is nothing
    ]
    people = read_export(tmp_path, tasks, what="annotations")
    # Task 2 has no region that counts, so its size is unknown; task 3 as well.
    assert labels(people) == [["cat"]]
    assert people.model_version == ""
    machine = read_export(tmp_path, tasks, what="predictions")
    assert labels(machine) == [["tree"]] * 3
    assert machine.model_version == "m-2"
    assert [r.score for p in machine.stream() for r in p.regions] == [0.25] * 3
    assert {p.model_version for p in machine.stream()} == {"m-2"}
    both = read_export(tmp_path, tasks, what="both")
    assert labels(both) == [["cat"], ["tree"]]
    assert [p.model_version for p in both.stream()] == ["", "m-2"]
    assert [r.score for p in both.stream() for r in p.regions] == [1.0, 0.25]
    assert "1 tasks that nobody has annotated, taken from predictions" in both.problems.lines()


def test_what__the_newest_annotation_that_was_not_skipped(tmp_path: Path) -> None:
    def annotation(label: str, updated: str, **more: Any) -> dict[str, Any]:
        return {"id": 1, "updated_at": updated, "result": [item(RING, label)]} | more

    annotations = [
        annotation("old", "2026-01-01T00:00:00Z"),
        annotation("new", "2026-03-01T00:00:00Z"),
        annotation("skipped", "2026-04-01T00:00:00Z", was_cancelled=True),
    ]
    assert labels(read_export(tmp_path, [annotated(annotations=annotations)])) == [["new"]]


def test_what__predictions_that_are_numbers_only_are_noted(tmp_path: Path) -> None:
    tasks = [annotated(item(RING), predictions=[4, 5])]
    dataset = read_export(tmp_path, tasks, what="predictions", photos=str(tmp_path))
    assert not list(dataset.stream())
    assert "numbers only in this export" in dataset.problems.lines()[0]


def test_read__label_config_gives_the_order_and_unlabelled_regions_none(tmp_path: Path) -> None:
    items = [item(RING, "cat"), item(PARTS, None), item(box(0, 0, 1, 1), "former")]
    dataset = read_export(tmp_path, [annotated(*items)], CONFIG)
    assert dataset.classes == ("tree", "cat", "dog", "former")
    assert labels(dataset) == [["cat", None, "former"]]
    assert len(dataset.problems.lines()) == 1
    assert dataset.problems.lines()[0].startswith("1 regions without a label (")


def test_read__several_photos_in_a_task(tmp_path: Path) -> None:
    config = """<View><Image name="img" valueList="$pages"/><Image name="side" value="$side"/>
    <BrushLabels name="brush" toName="img"><Label value="cat"/></BrushLabels>
    <BrushLabels name="other" toName="side"><Label value="dog"/></BrushLabels></View>"""
    task = annotated(
        item(RING, item_index=1),
        item(PARTS, "dog", from_name="other", to_name="side"),
        item(box(0, 0, 1, 1)),  # without an index: the first
        item(box(0, 0, 1, 1), item_index=5),
        data={"pages": ["/data/upload/1/a.jpg", "/data/upload/1/b.jpg"], "side": "s3://b/c.jpg"},
    )
    dataset = read_export(tmp_path, [task], config)
    found = {p.photo: masks(p) for p in dataset.stream()}
    assert list(found) == ["a.jpg", "b.jpg", "c.jpg"]
    assert np.array_equal(found["a.jpg"], [box(0, 0, 1, 1)])
    assert np.array_equal(found["b.jpg"], [RING])
    assert np.array_equal(found["c.jpg"], [PARTS])
    assert [(n, "which photo" in k) for k, n in dataset.problems.counts.items()] == [(1, True)]


def test_read__sizes_from_the_photos_where_they_are(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "a").mkdir(parents=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(photos / "a" / "5.jpg")
    (photos / "notes.txt").write_text("no photo")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, shown upright
    Image.new("RGB", (WIDTH, HEIGHT)).save(photos / "1.jpg", exif=exif)
    Image.new("RGB", (WIDTH, HEIGHT)).save(photos / "2.jpg")
    upright = np.ones((WIDTH, HEIGHT), dtype=np.bool_)
    tasks = [
        annotated(item(upright), item(RING)),
        annotated(number=2),
        annotated(item(RING), number=3),
        annotated(number=4),
    ]
    dataset = open_dataset(write_export(tmp_path, tasks), photos=photos)
    found = list(dataset.stream())
    assert [(p.photo, p.width, p.height, len(p.regions)) for p in found] == [
        ("1.jpg", 8, 10, 1),
        ("2.jpg", 10, 8, 0),
        ("3.jpg", 10, 8, 1),
    ]
    another, gone, unknown, reverse = dataset.problems.lines()
    assert "1 regions drawn on a photo of another size, left out" in another
    assert "task 1, region 'r1': 10 × 8, the photo has 8 × 10" in another
    assert "1 photos that are not there, whose labels are kept" in gone
    assert "task 3: " in gone
    assert "1 photos left out" in unknown
    assert "task 4: 4.jpg" in unknown
    assert reverse == f"1 photos in the folder that no task has ({photos / 'a' / '5.jpg'})"


def test_read__size_is_unknown_without_a_region_or_the_photo(tmp_path: Path) -> None:
    dataset = read_export(tmp_path, [annotated(), annotated(item(RING), number=2)])
    assert [p.photo for p in dataset.stream()] == ["2.jpg"]
    (line,) = dataset.problems.lines()
    assert line.startswith("1 photos without a region left out, since nothing tells their size")
    assert "task 1: 1.jpg" in line


def test_read__a_region_that_does_not_state_the_size(tmp_path: Path) -> None:
    drawn = item(RING)
    for side in ("original_width", "original_height"):
        drawn.pop(side)
    dataset = read_export(tmp_path, [annotated(drawn), annotated(item(RING), number=2)])
    assert [p.photo for p in dataset.stream()] == ["2.jpg"]
    (line,) = dataset.problems.lines()
    assert line.startswith("1 regions left out, since they do not state original_width")
    assert "task 1: 1.jpg" in line


def test_fault__ids_used_twice_and_tasks_without_a_photo(tmp_path: Path) -> None:
    tasks = [
        annotated(item(RING)),
        annotated(item(PARTS)),
        annotated(number=2, data={"text": "hello"}),
    ]
    dataset = read_export(tmp_path, tasks)
    assert [p.photo for p in dataset.stream()] == ["1.jpg", "task-1/1.jpg"]
    assert dataset.problems.counts == {
        "task ids used twice, both kept": 1,
        "tasks without a photo, left out": 1,
    }


def test_problems__are_counted_anew_with_each_stream(tmp_path: Path) -> None:
    dataset = read_export(tmp_path, [annotated(item(RING, None))])
    for _ in range(3):
        list(dataset.stream())
        assert dataset.problems.counts == {"regions without a label": 1}


@pytest.mark.slow
def test_read__memory_stays_flat(tmp_path: Path) -> None:
    def peak(n: int) -> int:
        file = write_export(tmp_path, [annotated(item(RING), number=i) for i in range(n)])
        tracemalloc.start()
        for _ in open_dataset(file).stream():
            pass
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    peak(10)
    # Part of the file is in memory in any case: both are larger than that.
    assert peak(4_000) - peak(2_000) < 2_000 * 1_000  # bytes


def test_stream__ids_that_are_none_are_no_error(tmp_path: Path) -> None:
    ids: list[object] = [[1], None, {}, "a", 2.5]
    tasks = [annotated(item(RING), id=number) for number in ids]
    dataset = read_export(tmp_path, tasks)
    assert len(list(dataset.stream())) == 5
    assert dataset.problems.counts == {}


def test_untouched__photos_for_which_nothing_counts_are_not_taken(tmp_path: Path) -> None:
    tasks = [
        annotated(item(RING)),
        annotated(number=2),  # submitted without a region: somebody looked
        annotated(number=3, annotations=[]),
        annotated(number=4, annotations=[{"id": 4, "result": [], "was_cancelled": True}]),
        annotated(number=5, annotations=[], predictions=[_predicted("cat", "m", "2026")]),
    ]
    for number in range(1, 6):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / f"{number}.jpg")

    def photos(**settings: Any) -> tuple[list[str], list[str]]:
        dataset = read_export(tmp_path, tasks, photos=str(tmp_path), **settings)
        return [p.photo for p in dataset.stream()], dataset.problems.lines()

    how = "the others are not taken (--with-untouched, label-studio.untouched=true)"
    names = [f"{number}.jpg" for number in range(1, 6)]
    assert photos(what="annotations") == (names[:2], [f"2 of 5 photos are annotated; {how}"])
    assert photos(what="predictions") == (names[4:], [f"1 of 5 photos have a prediction; {how}"])
    found, lines = photos(what="both")
    assert found == [*names[:2], names[4]]
    assert f"3 of 5 photos are annotated or have a prediction; {how}" in lines
    found, lines = photos(what="annotations", untouched=True)
    assert (found, lines) == (names, ["2 of 5 photos are annotated; the others have no regions"])


def test_fault__no_task_has_a_photo_where_the_label_config_looks(tmp_path: Path) -> None:
    config = CONFIG.replace("$image", "$photo.url")
    tasks = [annotated(item(RING), data={"picture": "a.jpg", "title": "x"})]
    with pytest.raises(UserError, match=r"under 'photo\.url', .* have 'picture', 'title'"):
        read_export(tmp_path, tasks, config)
    (tmp_path / "label_config.xml").unlink()
    with pytest.raises(UserError, match="no task has the address of a photo"):
        read_export(tmp_path, [annotated(data={"title": "x"})])


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("$photo.url", {"photo": {"url": "/data/upload/1/a.jpg"}}),
        ("$images[1]", {"images": ["/data/upload/1/b.jpg", "/data/upload/1/a.jpg"]}),
        ("/data/upload/1/$name", {"name": "a.jpg"}),
    ],
)
def test_read__photos_at_a_path_of_the_data(
    value: str, data: dict[str, Any], tmp_path: Path
) -> None:
    dataset = read_export(
        tmp_path, [annotated(item(RING), data=data)], CONFIG.replace("$image", value)
    )
    assert [(p.photo, len(p.regions)) for p in dataset.stream()] == [("a.jpg", 1)]


def test_read__an_alias_its_value_and_the_categories_of_labels(tmp_path: Path) -> None:
    config = CONFIG.replace('value="tree"', 'value="Old tree " alias="tree_1" category="7"')
    items = [item(RING, "tree_1"), item(PARTS, "Old tree "), item(box(0, 0, 1, 1), "Old tree")]
    dataset = read_export(tmp_path, [annotated(*items)], config)
    assert dataset.classes == ("tree_1", "cat", "dog", "Old tree")
    assert labels(dataset) == [["tree_1", "tree_1", "Old tree"]]
    assert dataset.category_ids == {"tree_1": 7}


def test_read__labels_apart_from_the_shapes_have_the_config_s_order(tmp_path: Path) -> None:
    config = """<View><Image name="img" value="$image"/><Polygon name="p" toName="img"/>
    <Labels name="what" toName="img"><Label value="Plane"/><Label value="Car"/></Labels></View>"""
    value = {"points": [[0, 0], [50, 0], [50, 50]], "closed": True}
    drawn = item(RING, type="polygon", from_name="p", value=value)
    named = item(RING, type="labels", from_name="what", value={**value, "labels": ["Car"]})
    for text in (config, ""):
        dataset = read_export(tmp_path, [annotated(drawn, named)], text)
        assert labels(dataset) == [["Car"]]
        assert dataset.problems.lines() == []
        assert dataset.classes == (("Plane", "Car"))  # the second time from the file beside it


def test_fault__half_a_character_in_a_label(tmp_path: Path) -> None:
    dataset = read_export(tmp_path, [annotated(item(RING, "cat\ud800"), item(PARTS, "cat\ufffd"))])
    for _ in range(2):
        assert labels(dataset) == [["cat\ufffd", "cat\ufffd"]]
        (line,) = dataset.problems.lines()
        assert line.startswith("1 labels with half a character, which no file can hold, changed")
        assert r"cat\ud800" in line
