"""The result items of one annotation or prediction as regions of one photo."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from prelabel.data.dataset import Problems
from prelabel.data.images import MAX_PIXELS
from prelabel.data.masks import Rle, encode_rle, rle_box
from prelabel.data.polygons import crosses
from prelabel.errors import UserError
from prelabel.label_studio.format.items import Item, decode_item

Size = tuple[int, int]
"""Width and height of an EXIF-oriented photo, in pixels."""

_KINDS = ("brush", "bitmask", "polygon", "rectangle")
"""Finest first."""
_OTHERS = ("ellipse", "keypoint", "vector", "cuboid")
_UNNAMED = re.compile(r"object [0-9]+")
_TWICE = 0.8
"""IoU from which two drawings with one label, by different tools, are one region."""


@dataclass(frozen=True, slots=True)
class DrawnRegion:
    """A region. ``kind``: of its tag. ``rle``: its mask at the photo's size, not empty. ``label``:
    "" if it has none. ``score``: in [0, 1], None where the item says none."""

    kind: str
    rle: Rle
    label: str
    score: float | None


def shared_labels(results: Iterable[Item]) -> dict[str, str]:
    """Labels by region id: those of a Labels tag stand in an item of their own."""
    return {
        str(item.get("id")): label
        for item in results
        if item.get("type") == "labels" and (label := _first(item, "labels"))
    }


def is_region(item: Item) -> bool:
    """Whether its tag draws an area that can be read."""
    return bool(_kind(item))


def item_label(item: Item, shared: Mapping[str, str], *, predicted: bool = False) -> str:
    """A region's label, the first if it has several; "" if it has none or is no region.
    ``predicted``: one of this tool's whose class has no name yet bears that of the class."""
    kind = _kind(item)
    if not kind:
        return ""
    label = _first(item, f"{kind}labels") or shared.get(str(item.get("id")), "")
    return label or (_class_note(item) if predicted else "")


def is_unnamed(label: str) -> bool:
    """Whether a label is that of a class which nobody has named."""
    return bool(_UNNAMED.fullmatch(label))


def item_size(item: Item) -> Size | None:
    """The size of the photo that it was drawn on; None if it states none that can be."""
    size = item.get("original_width"), item.get("original_height")
    if not all(isinstance(n, int | float) and n == n // 1 and n >= 1 for n in size):
        return None
    width, height = (int(n) for n in size if n is not None)
    return (width, height) if width * height <= MAX_PIXELS else None


def item_score(item: Mapping[str, Any]) -> float | None:
    """The score of an item or a whole prediction, in [0, 1]; None if it has none."""
    score = item.get("score")
    if not isinstance(score, int | float) or not np.isfinite(score):
        return None
    return float(np.clip(score, 0, 1))


def read_items(
    items: Sequence[Item],
    size: Size,
    *,
    shared: Mapping[str, str],
    place: str,
    problems: Problems,
    predicted: bool = False,
) -> list[DrawnRegion]:
    """The regions that items draw on one photo of this size, in their order.

    ``predicted``: as for ``item_label``. ``place``: the file and task, for what goes to ``problems``: items that cannot be read, were
    drawn on a photo of another size or a turned one, or have no pixel. Tags that draw nothing
    (choices, texts, relations) are passed over.
    """
    found: list[DrawnRegion] = []
    for item in items:
        kind, here = _kind(item), f"{place}, region {item.get('id')!r}"
        if not kind:
            if str(item.get("type")).removesuffix("labels") in _OTHERS:
                problems.note("regions that are no area (ellipses, points), left out", here)
            continue
        stated = item_size(item) or size
        if stated != size:
            problems.note(
                "regions drawn on a photo of another size, left out",
                f"{here}: {stated[0]} × {stated[1]}, the photo has {size[0]} × {size[1]}",
            )
        elif item.get("image_rotation"):
            problems.note("regions drawn on a turned photo, left out", here)
        else:
            rle = _rle(item, size, here, problems)
            if rle is not None:
                label = item_label(item, shared, predicted=predicted)
                _note_labels(item, kind, label, here, problems)
                found.append(DrawnRegion(kind, rle, label, item_score(item)))
    return _once(found, place, problems)


def finest(found: Iterable[DrawnRegion]) -> list[DrawnRegion]:
    """Regions without those that a finer kind of tag has drawn too; the finest kind first."""
    kept: list[DrawnRegion] = []
    for one in sorted(found, key=lambda drawn: _KINDS.index(drawn.kind)):
        if not any(_same(one, other) for other in kept):
            kept.append(one)
    return kept


def _rle(item: Item, size: Size, here: str, problems: Problems) -> Rle | None:
    try:
        mask = decode_item(item, height=size[1], width=size[0])
    except UserError as error:
        problems.note("regions that cannot be read, left out", f"{here}: {error}")
        return None
    if _kind(item) == "polygon":
        points = np.asarray(item["value"]["points"], dtype=np.float64)
        if len(points) < 3:
            problems.note("polygons with fewer than 3 corners, left out", here)
            return None
        if crosses(points):
            problems.note("polygons that cross themselves, filled by the even-odd rule", here)
    if mask is None or not mask.any():
        problems.note("regions without a pixel, left out", here)
        return None
    return encode_rle(mask)


def _note_labels(item: Item, kind: str, label: str, here: str, problems: Problems) -> None:
    labels = item["value"].get(f"{kind}labels")
    if isinstance(labels, list) and len(labels) > 1:
        problems.note("regions with several labels, the first of which is kept", here)
    if not label:
        problems.note("regions without a label", here)


def _kind(item: Item) -> str:
    kind = str(item.get("type")).removesuffix("labels")
    return kind if kind in _KINDS else ""


def _first(item: Item, key: str) -> str:
    value: Any = item.get("value")
    labels = value.get(key) if isinstance(value, Mapping) else None
    first = labels[0] if isinstance(labels, list) and labels else None
    return first if isinstance(first, str) else ""


def _class_note(item: Item) -> str:
    """The class that this tool has noted on a region without a label."""
    meta = item.get("meta")
    texts = meta.get("text") if isinstance(meta, Mapping) else None
    first = texts[0] if isinstance(texts, list) and texts else None
    return first if isinstance(first, str) and is_unnamed(first) else ""


def _once(found: list[DrawnRegion], place: str, problems: Problems) -> list[DrawnRegion]:
    """Without what a finer tool has drawn too, in their order."""
    kept = finest(found)
    for _ in range(len(found) - len(kept)):
        problems.note("regions drawn twice, the finer kept", place)
    return [one for one in found if any(one is other for other in kept)]


def _same(one: DrawnRegion, other: DrawnRegion) -> bool:
    if one.label != other.label or one.kind == other.kind:
        return False
    if "rectangle" in (one.kind, other.kind):
        boxes = [np.array([rle_box(drawn.rle)], dtype=np.float64) for drawn in (one, other)]
        return bool(coco_mask.iou(*boxes, [0])[0, 0] >= _TWICE)
    return bool(coco_mask.iou([one.rle], [other.rle], [0])[0, 0] >= _TWICE)
