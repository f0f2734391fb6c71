"""Reading result items: the one way from an annotation or prediction to the regions of a photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from types import MappingProxyType

import numpy as np
from pycocotools import mask as coco_mask

from prelabel.data.dataset import Problems
from prelabel.data.images import MAX_PIXELS
from prelabel.data.masks import Rle, encode_rle, rle_box
from prelabel.data.polygons import crosses
from prelabel.errors import UserError
from prelabel.label_studio.format.items import decode_item
from prelabel.label_studio.format.labels import item_label
from prelabel.label_studio.format.region_attributes import Attributes
from prelabel.label_studio.format.shape_values import polygon_points
from prelabel.label_studio.format.shapes import (
    FINENESS,
    SHAPE_OF,
    Kind,
    Shape,
    shape_of_item,
)
from prelabel.storage.json import JsonObject

Size = tuple[int, int]
"""Width and height of an EXIF-oriented photo, in pixels."""

_OTHER_SHAPES = ("keypoint", "cuboid")
_TWICE = 0.8
"""Two drawings with one label, in different shapes, are one region from this IoU on."""


@dataclass(frozen=True, slots=True)
class DrawnRegion:
    """A region. ``kind``: its shape. ``rle``: its mask at the photo's size, not empty. ``label``:
    "" if it has none. ``score``: in [0, 1], None where the item has none. ``id``: the item's.
    ``attributes``: what else people said of it."""

    kind: Kind
    rle: Rle
    label: str
    score: float | None
    id: str = ""
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drawing:
    """What was drawn on one photo, in the items' order. ``unreadable``: regions that are on the
    photo but could not be read."""

    regions: tuple[DrawnRegion, ...]
    unreadable: int = 0


def read_items(
    items: Sequence[JsonObject],
    size: Size,
    *,
    shared: Mapping[str, str],
    place: str,
    problems: Problems,
    predicted: bool = False,
    attributes: Mapping[str, Attributes] = MappingProxyType({}),
) -> Drawing:
    """The regions that items draw on one photo of this size.

    ``shared``: what ``shared_labels`` gives. ``predicted``: as for ``item_label``.
    ``attributes``: what ``region_attributes`` gives. ``place``: the
    file or project and the task, for what goes to ``problems``: regions that cannot be read, were
    drawn on a photo of another size, or have no pixel. Tags that draw nothing
    (choices, texts, relations) are passed over. A region that was drawn in two shapes, as a brush
    and a rectangle, is one region, the finer.
    """
    found: list[DrawnRegion] = []
    unreadable = 0
    for item in items:
        shape, here = shape_of_item(item), f"{place}, region {item.get('id')!r}"
        if shape is None or _is_line(item, shape):
            kind = str(item.get("type")).removesuffix("labels")
            if shape or kind in _OTHER_SHAPES:
                problems.note("regions of other shapes (points, open lines), left out", here)
            continue
        try:
            rle = _read_mask(item, shape, size, here, problems)
        except _UnreadableError as error:
            problems.note(error.kind, f"{here}{error.detail}")
            unreadable += 1
            continue
        if rle is not None:
            label = item_label(item, shared, predicted=predicted)
            _note_labels(item, shape, label, here, problems)
            number = str(item.get("id"))
            answers = attributes.get(number, {})
            found.append(DrawnRegion(shape.kind, rle, label, item_score(item), number, answers))
    kept = _without_repeated(found)
    for _ in range(len(found) - len(kept)):
        problems.note("regions drawn twice, the finer kept", place)
    return Drawing(tuple(kept), unreadable)


def item_size(item: JsonObject) -> Size | None:
    """The size of the photo that it was drawn on; None if it states none that is possible."""
    width, height = (_whole(item.get(f"original_{side}")) for side in ("width", "height"))
    return (width, height) if 0 < width * height <= MAX_PIXELS else None


def item_score(item: JsonObject) -> float | None:
    """The score of an item or a whole prediction, in [0, 1]; None if it has none."""
    score = item.get("score")
    if not isinstance(score, int | float) or (isinstance(score, float) and not isfinite(score)):
        return None
    return float(min(max(score, 0), 1))


class _UnreadableError(Exception):
    """``kind`` and ``detail`` for the account of problems."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(kind)
        self.kind, self.detail = kind, detail


def _read_mask(
    item: JsonObject, shape: Shape, size: Size, here: str, problems: Problems
) -> Rle | None:
    """None for what covers no pixel. Raises _UnreadableError."""
    stated = item_size(item) or size
    if stated != size:
        raise _UnreadableError(
            "regions drawn on a photo of another size, left out",
            f": {stated[0]} × {stated[1]}, the photo has {size[0]} × {size[1]}",
        )
    # image_rotation is how the photo was turned on the screen: Label Studio keeps every region as
    # it is on the photo as it was.
    try:
        mask = decode_item(item, height=size[1], width=size[0])
    except UserError as error:
        raise _UnreadableError("regions that cannot be read, left out", f": {error}") from error
    value = item["value"]
    if shape.kind == "polygon" and isinstance(value, Mapping):
        points = polygon_points(value)
        if len(points) < 3:
            problems.note("polygons with fewer than 3 corners, left out", here)
            return None
        if crosses(points):
            problems.note("polygons that cross themselves, filled by the even-odd rule", here)
    if mask is None or not mask.any():
        problems.note("regions without a pixel, left out", here)
        return None
    return encode_rle(mask)


def _is_line(item: JsonObject, shape: Shape) -> bool:
    """Whether it is a path that is not closed."""
    value = item.get("value")
    return shape.kind == "vector" and isinstance(value, Mapping) and not value.get("closed")


def _note_labels(item: JsonObject, shape: Shape, label: str, here: str, problems: Problems) -> None:
    value = item["value"]
    labels = value.get(shape.labels_key) if isinstance(value, Mapping) else None
    if isinstance(labels, list) and len(labels) > 1:
        problems.note("regions with several labels, the first of which is kept", here)
    if not label:
        problems.note("regions without a label", here)


def _whole(number: object) -> int:
    """A whole number above 0; 0 for anything else."""
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return number if isinstance(number, int) and number > 0 else 0


def _without_repeated(found: list[DrawnRegion]) -> list[DrawnRegion]:
    """Without those that were drawn in a finer shape too."""
    kept: list[int] = []
    for index in sorted(range(len(found)), key=lambda i: FINENESS[found[i].kind]):
        if not any(_same(found[index], found[other]) for other in kept):
            kept.append(index)
    return [found[index] for index in sorted(kept)]


def _same(one: DrawnRegion, other: DrawnRegion) -> bool:
    if one.label != other.label or one.kind == other.kind:
        return False
    if "box" in (SHAPE_OF[one.kind].keeps, SHAPE_OF[other.kind].keeps):
        boxes = [np.array([rle_box(drawn.rle)], dtype=np.float64) for drawn in (one, other)]
        return bool(coco_mask.iou(*boxes, [0])[0, 0] >= _TWICE)
    return bool(coco_mask.iou([one.rle], [other.rle], [0])[0, 0] >= _TWICE)
