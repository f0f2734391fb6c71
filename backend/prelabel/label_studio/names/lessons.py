"""What an annotation teaches: which region has which name, and which prediction was deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pycocotools import mask as coco_mask

from prelabel.data.dataset import Problems
from prelabel.data.masks import Mask, Rle, decode_rle
from prelabel.data.records import Region
from prelabel.label_studio.format.annotations import result_items
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.format.labels import shared_labels
from prelabel.label_studio.format.photos import TaskPhoto, photo_of_item
from prelabel.label_studio.format.regions import Drawing, Size, read_items
from prelabel.label_studio.format.shapes import FINENESS
from prelabel.steps.patch_labels import BOX_WEIGHT
from prelabel.storage.json import JsonObject

_UNCHANGED = 0.95
"""A drawing is the predicted region itself from this IoU on; polygons are simplified to it."""
_DELETED = 0.1
"""A predicted region was deleted if less than this share of it is drawn."""


@dataclass(frozen=True)
class Lesson:
    """A region and its name; "" for one that was deleted. ``rle``: its mask at full size.

    ``predicted``: index of the predicted region that this is, so that its embedding serves; None
    for a region that a person drew or changed. ``weight``: as of an exemplar.
    """

    rle: Rle
    name: str
    predicted: int | None = None
    weight: float = 1.0

    @property
    def mask(self) -> Mask:
        """bool (height, width)."""
        return decode_rle(self.rle)


def read_drawing(
    annotation: JsonObject,
    photo: TaskPhoto,
    photos: Sequence[TaskPhoto],
    size: Size,
    label_config: LabelConfig,
) -> Drawing:
    """What an annotation draws on one of its task's photos, the finest shapes first.

    ``size``: the EXIF-oriented photo's. A label counts only if a control for the photo has it, or
    has none of its own (they come from the task then).
    """
    items = result_items(annotation)
    drawing = read_items(
        [item for item in items if photo_of_item(item, photos, label_config) == photo],
        size,
        shared=shared_labels(items),
        place=photo.name,
        problems=Problems(),
    )
    controls = [c for c in label_config.controls if c.image_key == photo.key]
    regions = [
        replace(region, label=next(filter(None, (c.stored(region.label) for c in controls)), ""))
        for region in sorted(drawing.regions, key=lambda region: FINENESS[region.kind])
    ]
    return replace(drawing, regions=tuple(regions))


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
            weight = BOX_WEIGHT if drawn.kind == "rectangle" else 1.0
            found.append(Lesson(drawn.rle, drawn.label, twins.get(number), weight))
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


def _twins(drawn: Sequence[Rle], predicted: Mapping[int, Region]) -> dict[int, int]:
    """The index of the predicted region that each drawn one equals, by the drawn one's index."""
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
