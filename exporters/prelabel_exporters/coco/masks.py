"""Masks of COCO annotations: polygons, compressed and uncompressed RLE, none of them trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from prelabel.data.masks import Rle, encode_rle
from prelabel.data.polygons import crosses
from prelabel_exporters.coco.file import Annotation
from prelabel_exporters.common import filled_box, whole_number

_LONGEST_WALK = 10**7
"""In pixels; takes pycocotools some seconds."""


class Note(Protocol):
    """Takes an annotation, what is wrong with it, and a detail."""

    def __call__(self, annotation: Annotation, kind: str, detail: object = "") -> None: ...


def mask_of(annotation: Annotation, size: list[int], note: Note) -> Rle | None:
    """The mask of an annotation as compressed RLE, which may still hold another number of pixels
    than ``size`` (height, width); None where there is none."""
    segmentation = annotation.segmentation
    if isinstance(segmentation, dict):
        return _rle(segmentation, annotation, size, note)
    if isinstance(segmentation, list) and segmentation:
        return _polygons(segmentation, annotation, size, note)
    note(annotation, "annotations without a segmentation, left out")
    return None


def has_box_alone(annotation: Annotation) -> bool:
    """Whether an annotation has a box and nothing that says more."""
    return (
        not annotation.segmentation and isinstance(annotation.bbox, list) and bool(annotation.bbox)
    )


def box_of(annotation: Annotation, size: list[int], note: Note) -> Rle | None:
    """The box of such an annotation, its sides rounded to whole pixels, filled; None where it does
    not lie in the image."""
    sides = annotation.bbox if isinstance(annotation.bbox, list) else []
    try:
        x, y, width, height = (float(side) for side in sides)
        if not all(map(math.isfinite, (x, y, width, height))):
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        note(annotation, "boxes that are not four finite numbers, left out", sides[:8])
        return None
    rle = filled_box(x, y, x + width, y + height, size)
    if rle is None or width < 0 or height < 0:
        note(annotation, "boxes that do not lie in their image, left out", sides)
        return None
    note(annotation, "annotations with a box alone, read as boxes")
    return rle


def holds(total: int, annotation: Annotation, size: list[int], note: Note) -> bool:
    """Whether an RLE's counts cover the image; -1 stands for counts that are not an RLE."""
    expected = size[0] * size[1]
    if total < 0:
        note(annotation, "RLEs whose counts cannot be read, left out")
    elif total != expected:
        kind = "RLEs that hold another number of pixels than the image, left out"
        note(annotation, kind, f"expected {expected} pixels, got {total}")
    return total == expected


def _rle(
    rle: Mapping[str, object], annotation: Annotation, size: list[int], note: Note
) -> Rle | None:
    counts, own = rle.get("counts"), rle.get("size")
    if not isinstance(own, list) or [whole_number(side) for side in own] != size:
        note(annotation, "RLEs of another size than their image, left out", own)
        return None
    if isinstance(counts, str):
        return {"size": size, "counts": counts}
    runs = _runs(counts)
    if not holds(sum(runs) if runs else -1, annotation, size, note):
        return None
    packed = coco_mask.frPyObjects({"size": size, "counts": runs}, *size)
    # Drawn and encoded again, as pycocotools' iou may end early at an empty run.
    return encode_rle(coco_mask.decode(packed))


def _runs(counts: object) -> list[int]:
    """The runs of an uncompressed RLE; none where they are not whole numbers from 0."""
    if not isinstance(counts, list):
        return []
    runs = [whole_number(n) for n in counts]
    sound = [n for n in runs if n is not None and n >= 0]
    return sound if len(sound) == len(runs) else []


def _polygons(
    segmentation: Sequence[object], annotation: Annotation, size: list[int], note: Note
) -> Rle | None:
    usable: list[NDArray[np.float64]] = []
    is_flat = not any(isinstance(number, list | dict) for number in segmentation)
    for polygon in [segmentation] if is_flat else segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            note(annotation, "polygons with fewer than three points or half a point, left out")
            continue
        points = _points(polygon)
        if points is None:
            note(annotation, "polygons with a corner that is not two finite numbers, left out")
        elif _is_far(points, max(size)):
            note(annotation, "polygons far outside their image, left out")
        else:
            usable.append(points)
    if not usable:
        return None
    # What COCO's polygons cover is what pycocotools draws, and not ``fill_polygons``.
    parts = coco_mask.frPyObjects([points.ravel().tolist() for points in usable], *size)
    for points in usable:
        if crosses(points):
            note(annotation, "polygons that cross themselves, drawn as pycocotools does")
    return {"size": size, "counts": coco_mask.merge(parts)["counts"].decode("ascii")}


def _points(polygon: Sequence[object]) -> NDArray[np.float64] | None:
    """(n, 2) from x, y, x, y, …; None if these are not finite numbers."""
    try:
        points = np.array(polygon, dtype=np.float64).reshape(-1, 2)
    except (ValueError, TypeError, OverflowError):
        return None
    return points if points.size == len(polygon) and np.isfinite(points).all() else None


def _is_far(points: NDArray[np.float64], side: int) -> bool:
    """pycocotools walks along the outline, in the image or not: a long way crashes it."""
    if np.abs(points).max() > min(2 * side, _LONGEST_WALK):  # the sum of such could overflow
        return True
    walk = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum()
    return bool(walk > _LONGEST_WALK)
