"""Comparing with labels of which only the boxes are known."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from prelabel.data.dataset import Problems
from prelabel.data.masks import box_rle
from prelabel.data.records import Prediction, Region
from prelabel.evaluation.pairing import Pair

NOTE = "objects of which only the box is known, so that everything is compared as boxes"


def compared_as_boxes(pairs: Sequence[Pair], problems: Problems) -> list[Pair]:
    """The pairs as they are; or, if a region on either side is known as a box alone, with the box of
    every region, filled, as its mask. Crowds and void stay as they are."""
    sides = [labels for pair in pairs for labels in (pair.prediction, pair.truth)]
    boxes = [(labels, r) for labels in sides for r in labels.regions if r.is_box]
    for labels, _ in boxes:
        problems.note(NOTE, labels.photo)
    if not boxes:
        return list(pairs)
    return [Pair(_as_boxes(pair.prediction), _as_boxes(pair.truth), pair.void) for pair in pairs]


def _as_boxes(labels: Prediction) -> Prediction:
    return structs.replace(labels, regions=tuple(map(_as_box, labels.regions)))


def _as_box(region: Region) -> Region:
    if region.is_box:
        return region
    height, width = region.rle["size"]
    rle = box_rle(region.box, height=height, width=width)
    area = region.box[2] * region.box[3]
    return structs.replace(region, rle=rle, area=area, is_box=True)
