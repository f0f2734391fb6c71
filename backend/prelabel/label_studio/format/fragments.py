"""Regions of one class that lie close together, made one."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from msgspec import structs

from prelabel.data.masks import Mask, decode_rle, encode_rle, rle_area, rle_box
from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError


def merge_fragments(prediction: Prediction, gap: int) -> Prediction:
    """Regions of one cluster that come within ``gap`` pixels of each other, made one.

    The distance of two pixels is the larger of their distances in x and y: neighbours, diagonal
    ones too, are 1 apart. A merged region has the union of the masks and the mean of the scores,
    weighted by area. Gap 0 changes nothing, nor do regions without a class (cluster -1) merge.
    Raises UserError for a gap below 0.
    """
    if gap < 0:
        raise UserError(f"gap is {gap} pixels, expected 0 (nothing is merged) or more")
    if gap == 0:
        return prediction
    regions = prediction.regions
    group = list(range(len(regions)))
    masks: dict[int, Mask] = {}
    for a in range(len(regions)):
        for b in range(a + 1, len(regions)):
            if group[a] == group[b] or not _could_meet(regions[a], regions[b], gap):
                continue
            for index in (a, b):
                if index not in masks:
                    masks[index] = decode_rle(regions[index].rle)
            if _meet(masks[a], masks[b], regions[a].box, gap):
                old, new = group[b], group[a]
                group = [new if g == old else g for g in group]
    members: dict[int, list[int]] = {}
    for index, g in enumerate(group):
        members.setdefault(g, []).append(index)
    merged = [
        regions[indices[0]]
        if len(indices) == 1
        else _union([regions[i] for i in indices], [masks[i] for i in indices])
        for indices in members.values()
    ]
    merged.sort(key=lambda region: -region.score)
    return structs.replace(prediction, regions=tuple(merged))


def _could_meet(a: Region, b: Region, gap: int) -> bool:
    """One class, and boxes that come within the gap."""
    if a.cluster != b.cluster or a.cluster < 0 or not a.area or not b.area:
        return False
    (ax, ay, aw, ah), (bx, by, bw, bh) = a.box, b.box
    return ax - gap < bx + bw and bx - gap < ax + aw and ay - gap < by + bh and by - gap < ay + ah


def _meet(a: Mask, b: Mask, box: tuple[int, int, int, int], gap: int) -> bool:
    """Whether b has a pixel within the gap of one of a, whose box is given."""
    x, y, width, height = box
    rows = slice(max(y - gap, 0), y + height + gap)
    columns = slice(max(x - gap, 0), x + width + gap)
    kernel = np.ones((2 * gap + 1, 2 * gap + 1), dtype=np.uint8)
    near = cv2.dilate(a[rows, columns].astype(np.uint8), kernel)
    return bool((near.astype(np.bool_) & b[rows, columns]).any())


def _union(regions: Sequence[Region], masks: Sequence[Mask]) -> Region:
    rle = encode_rle(np.logical_or.reduce(masks))
    areas = [region.area for region in regions]
    return Region(
        rle=rle,
        box=rle_box(rle),
        area=rle_area(rle),
        score=float(np.average([region.score for region in regions], weights=areas)),
        cluster=regions[0].cluster,
    )
