"""What an annotation teaches: which region has which name, and which prediction was deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from prelabel.data.masks import Mask, Rle, decode_rle, encode_rle
from prelabel.data.records import Region
from prelabel.errors import UserError
from prelabel.label_studio.format.items import decode_item
from prelabel.label_studio.format.label_config import Control, LabelConfig
from prelabel.label_studio.format.regions import DrawnRegion, finest

_UNCHANGED = 0.95
"""IoU from which a drawing is the predicted region itself: polygons are simplified to that."""
_DELETED = 0.1
"""A predicted region that is drawn to a lesser share was deleted."""


@dataclass(frozen=True)
class Drawing:
    """What an annotator left on one photo. ``unreadable``: regions that could not be decoded."""

    regions: tuple[DrawnRegion, ...]
    unreadable: int = 0


@dataclass(frozen=True)
class Lesson:
    """A region and its name; "" for one that was deleted. ``rle``: its mask at full size.

    ``predicted``: index of the predicted region that this is, so that its embedding serves; None
    for a region that a person drew or changed.
    """

    rle: Rle
    name: str
    predicted: int | None = None

    @property
    def mask(self) -> Mask:
        """bool (height, width)."""
        return decode_rle(self.rle)


def read_drawing(
    annotation_results: Sequence[Mapping[str, Any]],
    label_config: LabelConfig,
    *,
    image_key: str,
    item_index: int | None,
    height: int,
    width: int,
) -> Drawing:
    """What an annotation's result items draw on one photo, brushes first, then bitmasks, polygons
    and rectangles, else in their own order.

    ``image_key``, ``item_index``: which photo of the task; the index is None where ``image_key``
    holds no list. ``height``, ``width``: the EXIF-oriented photo's pixels.

    Of several labels of a region the first counts, and only if its control has it (or has none:
    they come from the task). Items of other tags (choices, texts, relations) are passed over, as
    are empty masks. An item of another size or that is broken is counted. What was drawn
    through tags of two kinds, as a brush and a rectangle, is one region, the finer.
    """
    controls = {(c.name, c.to_name): c for c in label_config.controls if c.image_key == image_key}
    found: list[DrawnRegion] = []
    unreadable = 0
    for item in annotation_results:
        control = controls.get((str(item.get("from_name")), str(item.get("to_name"))))
        if control is None or (control.is_list and (item.get("item_index") or 0) != item_index):
            continue
        try:
            mask = _mask(item, height, width)
        except UserError:
            unreadable += 1
            continue
        if mask is not None and mask.any():
            found.append(DrawnRegion(control.kind, encode_rle(mask), _label(item, control), None))
    return Drawing(tuple(finest(found)), unreadable)


def find_lessons(drawing: Drawing, predicted: Sequence[Region]) -> list[Lesson]:
    """What a drawing teaches about a photo for which these regions were shown.

    - A drawn region with a label teaches that label, with its own mask. It is the predicted region
      if their masks have an IoU of 0.95 or more (the best, each once).
    - A drawn region without a label teaches nothing.
    - A predicted region of which less than a tenth is drawn on was deleted, and teaches "". Nothing
      counts as deleted if a drawn region could not be read: it may have been there.
    """
    found: list[Lesson] = []
    own = {i: region for i, region in enumerate(predicted) if region.area > 0}
    twins = _twins([region.rle for region in drawing.regions], own)
    for number, drawn in enumerate(drawing.regions):
        if drawn.label:
            found.append(Lesson(drawn.rle, drawn.label, twins.get(number)))
    if drawing.unreadable or not own:
        return found
    shares = np.zeros(len(own))
    if drawing.regions:
        everything = coco_mask.merge([region.rle for region in drawing.regions])
        # With the last argument it is not the IoU but the share of the first.
        shares = coco_mask.iou([r.rle for r in own.values()], [everything], [1])[:, 0]
    for (index, region), share in zip(own.items(), shares, strict=True):
        if share < _DELETED:
            found.append(Lesson(region.rle, "", index))
    return found


def _mask(item: Mapping[str, Any], height: int, width: int) -> Mask | None:
    """Raises UserError for what cannot be read or was drawn on a picture of another size."""
    size = item.get("original_width") or width, item.get("original_height") or height
    if size != (width, height):
        raise UserError(f"region {item.get('id')!r} has the size {size}, wanted {(width, height)}")
    return decode_item(item, height=height, width=width)


def _label(item: Mapping[str, Any], control: Control) -> str:
    labels = item["value"].get(f"{control.kind}labels")
    first = labels[0] if isinstance(labels, list) and labels else None
    known = [label.value for label in control.labels]
    return first if isinstance(first, str) and (not known or first in known) else ""


def _twins(drawn: Sequence[Rle], predicted: Mapping[int, Region]) -> dict[int, int]:
    """The predicted region, by its index, that a drawn one is; the best pairs first."""
    if not drawn or not predicted:
        return {}
    indices = list(predicted)
    ious = coco_mask.iou(list(drawn), [predicted[i].rle for i in indices], [0] * len(indices))
    twins: dict[int, int] = {}
    for flat in np.argsort(-ious, axis=None, kind="stable"):
        row, column = divmod(int(flat), len(indices))
        if ious[row, column] < _UNCHANGED:
            break
        if row not in twins and indices[column] not in twins.values():
            twins[row] = indices[column]
    return twins
