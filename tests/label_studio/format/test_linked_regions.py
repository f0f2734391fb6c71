"""Several drawn regions of one object, made one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import RING, box, item
from support.label_studio_exports import annotated, labels, masks, read_export

LEFT, RIGHT, TOP = box(0, 0, 2, 2), box(5, 5, 3, 2), box(8, 0, 2, 1)


def relation(a: str, b: str) -> dict[str, Any]:
    return {"type": "relation", "from_id": a, "to_id": b, "direction": "right"}


def answer(number: str, *texts: str) -> dict[str, Any]:
    value = {"text": list(texts)}
    return item(RING, type="textarea", id=number, from_name="object", value=value)


def test_merge__regions_that_a_relation_links(tmp_path: Path) -> None:
    drawn = [item(LEFT, id="a"), item(RIGHT, id="b"), item(TOP, id="c"), item(RING, "dog", id="d")]
    links = [relation("c", "a"), relation("b", "c")]
    dataset = read_export(tmp_path, [annotated(*drawn, *links)])
    (found,) = dataset.stream()
    assert labels(dataset) == [["cat", "dog"]]
    merged, ring = masks(found)
    assert np.array_equal(merged, LEFT | RIGHT | TOP)
    assert np.array_equal(ring, RING)
    assert dataset.problems.counts == {"regions merged into others by a relation": 2}
    dataset = read_export(tmp_path, [annotated(*drawn, *links)], merge_by="")
    assert labels(dataset) == [["cat", "cat", "cat", "dog"]]
    assert dataset.problems.counts == {"relations between regions, not kept": 2}


def test_merge__not_across_labels_nor_to_what_is_not_there(tmp_path: Path) -> None:
    drawn = [item(LEFT, id="a"), item(RIGHT, "dog", id="b")]
    links = [relation("a", "b"), relation("a", "gone"), {"type": "relation"}]
    dataset = read_export(tmp_path, [annotated(*drawn, *links)])
    assert labels(dataset) == [["cat", "dog"]]
    (line,) = dataset.problems.lines()
    assert line.startswith("1 regions that belong together, but not merged since their labels")
    assert "'a' and 'b'" in line


@pytest.mark.parametrize("merge_by", ["object", "other"])
def test_merge__regions_with_one_answer(merge_by: str, tmp_path: Path) -> None:
    drawn = [item(LEFT, id="a"), item(RIGHT, id="b"), item(TOP, "dog", id="c"), item(RING, id="d")]
    said = [answer("a", "1"), answer("b", "1"), answer("c", "1"), answer("d", "2")]
    dataset = read_export(tmp_path, [annotated(*drawn, *said)], merge_by=merge_by)
    (found,) = dataset.stream()
    if merge_by == "object":
        assert [r.attributes for r in found.regions] == [{"object": n} for n in ("1", "1", "2")]
        assert np.array_equal(masks(found)[0], LEFT | RIGHT)
        assert dataset.problems.counts == {"regions merged into others by the same object": 1}
    else:
        assert len(found.regions) == 4
        assert dataset.problems.counts == {}
