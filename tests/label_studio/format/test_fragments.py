"""Regions that come close together, made one; masks are boxes, distances counted by hand."""

from __future__ import annotations

import pytest

from builders import RING, box, prediction, region
from prelabel.data.masks import encode_rle
from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.label_studio.format.fragments import merge_fragments


def _photo(*regions: Region) -> Prediction:
    return prediction("x.jpg", *regions)


def test_merge_fragments__by_distance_and_cluster() -> None:
    # Columns 0–1, 4 and 8: pixels 3 and 4 apart.
    left = region(box(0, 0, 2, 4), score=0.2)  # 8 pixels
    middle = region(box(4, 3, 1, 2), score=0.7)  # 2 pixels
    right = region(box(8, 0, 1, 8), score=0.6)
    other = region(box(2, 0, 2, 4), cluster=1, score=0.9)
    prediction = _photo(other, middle, right, left)
    assert merge_fragments(prediction, 0) is prediction
    assert merge_fragments(prediction, 2) == prediction
    merged = merge_fragments(prediction, 3).regions
    assert [region.cluster for region in merged] == [1, 0, 0]
    assert merged[:2] == (other, right)
    assert merged[2].score == pytest.approx(0.3)  # (8 × 0.2 + 2 × 0.7) / 10
    assert (merged[2].area, merged[2].box) == (10, (0, 0, 5, 5))
    assert merged[2].rle == encode_rle(box(0, 0, 2, 4) | box(4, 3, 1, 2))
    # Left and right meet over the middle.
    assert [r.area for r in merge_fragments(prediction, 4).regions] == [8, 18]


def test_merge_fragments__boxes_that_overlap_are_not_enough() -> None:
    diagonal = box(0, 0, 1, 8) | box(0, 7, 9, 1)
    apart = _photo(region(diagonal), region(box(5, 0, 1, 3)))
    assert merge_fragments(apart, 4) == apart
    assert len(merge_fragments(apart, 5).regions) == 1


def test_merge_fragments__without_classes_or_regions() -> None:
    prediction = _photo(region(RING, cluster=-1), region(RING, cluster=-1))
    assert merge_fragments(prediction, 5) == prediction
    assert merge_fragments(_photo(), 5) == _photo()
    with pytest.raises(UserError, match="gap is -1 pixels"):
        merge_fragments(prediction, -1)
