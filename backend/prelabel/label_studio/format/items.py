"""Regions as Label Studio's result items, and back to masks."""

from __future__ import annotations

import binascii
import dataclasses
import hashlib
from collections.abc import Mapping
from typing import NotRequired, TypedDict

import cv2
import numpy as np

from prelabel.data.masks import Mask, decode_rle, rle_area
from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.label_studio.format.label_config import Control
from prelabel.label_studio.format.region_attributes import Answers
from prelabel.label_studio.format.shape_values import Value
from prelabel.label_studio.format.shapes import SHAPE_OF, Kind, Shape, shape_of_item
from prelabel.label_studio.format.simplified import Outline
from prelabel.storage.json import JsonObject

_SPAN: dict[Kind, Value] = {"magicwand": {"start": 0, "end": 0}}
"""Label Studio's import (1.23) takes the labels of a MagicWand for those of a text."""


class ResultItem(TypedDict):
    """One region of an annotation or prediction, as this tool writes it."""

    id: str
    type: str
    from_name: str
    to_name: str
    original_width: int
    original_height: int
    image_rotation: int
    score: float
    value: Value
    item_index: NotRequired[int]
    meta: NotRequired[dict[str, list[str]]]


class PredictionJson(TypedDict):
    """One prediction of a task. ``score``: in [0, 1]."""

    result: list[ResultItem]
    score: float
    model_version: str


@dataclasses.dataclass(frozen=True, slots=True)
class Losses:
    """What of a prediction is not in its result items.

    Regions: ``below_threshold`` (their score is too low), ``empty`` (no pixel inside),
    ``over_limit`` (behind the best of a photo). In polygons: ``holes``, and the ``hole_pixels``
    that they fill; ``simplified`` ones, and their ``iou_lost``, which is the sum of 1 - IoU with the
    exact outline. ``answers`` about regions, their attributes, for which there is no tag.
    ``unnamed`` regions are there but have no label.
    """

    below_threshold: int = 0
    unnamed: int = 0
    empty: int = 0
    over_limit: int = 0
    holes: int = 0
    hole_pixels: int = 0
    simplified: int = 0
    iou_lost: float = 0.0
    answers: int = 0

    def __add__(self, other: Losses) -> Losses:
        """Both together."""
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Losses(*(a + b for a, b in pairs))


def encode_regions(
    prediction: Prediction,
    labels: Mapping[int, str | None],
    control: Control,
    *,
    tolerance: float = 1.0,
    max_points: int = 0,
    item_index: int | None = None,
    notes: Mapping[int, str] | None = None,
    answers: Answers | None = None,
) -> tuple[list[ResultItem], Losses]:
    """The result items of a prediction for one control, highest score first, and what was lost.

    ``labels``: each cluster's label, by cluster id. A region is one item; in polygons, each of its
    parts is one. If the control's labels stand in a Labels tag, the label is an item of its own with
    the same id. A region without a label, or with one that the control does not have, has an
    empty list of labels: Label Studio (1.23) takes that, draws it and lets a person label it; an
    unknown label it would drop without a word. Ids depend on the photo's name, the mask and the
    control alone.
    ``tolerance``: pixels that a polygon may stray from the outline (0: exact); less where it would
    not give back the part, its holes filled, with an IoU of 0.95. ``max_points``: the most corners
    of a polygon, whatever that costs (0: any number). ``item_index``: which photo of the task, where
    the control's ``is_list`` is true. ``notes``: what people see in the details of a cluster's
    regions, by cluster id. ``answers``: the tags for the regions' attributes.

    Raises UserError for a tolerance below 0.
    """
    if not tolerance >= 0:
        raise UserError(f"tolerance is {tolerance} pixels, expected 0 or more")
    shape, outline = SHAPE_OF[control.kind], Outline(tolerance, max_points)
    items: list[ResultItem] = []
    losses = Losses()
    for region in sorted(prediction.regions, key=lambda region: -region.score):
        if rle_area(region.rle) == 0:
            losses += Losses(empty=1)
            continue
        label = labels.get(region.cluster)
        stored = control.stored(label) if label is not None else None
        losses += Losses(unnamed=stored is None)
        parts = shape.encode(region.rle, outline)
        for number, part in enumerate(parts):
            item = _item(region, prediction, control, part.value, number)
            if item_index is not None:
                item["item_index"] = item_index
            if notes and (note := notes.get(region.cluster)):
                item["meta"] = {"text": [note]}
            items += _with_label(item, control, stored)
            said = list((answers or Answers({})).items(item, region.attributes))
            items += said
            losses += Losses(answers=len(region.attributes) - len(said))
            losses += Losses(simplified=part.iou < 1, iou_lost=1 - part.iou)
        if shape.keeps == "outline":
            holes, pixels = _holes(decode_rle(region.rle))
            losses += Losses(holes=holes, hole_pixels=pixels)
    return items, losses


def decode_item(item: JsonObject, *, height: int, width: int) -> Mask | None:
    """The mask, bool (height, width), of a result item; None if its type is not one of a shape.

    ``height``, ``width``: the EXIF-oriented photo's pixels. A pixel is inside a polygon or
    rectangle if its centre is. Brush and bitmask: where alpha is 128 or more.

    Raises UserError for an item of these types that cannot be read or has another size.
    """
    shape = shape_of_item(item)
    return None if shape is None else _decode(item, shape, height, width)


def _decode(item: JsonObject, shape: Shape, height: int, width: int) -> Mask:
    try:
        value = item["value"]
        if not isinstance(value, Mapping):
            raise TypeError("its value is not an object")
        return shape.decode(value, height, width)
    except (KeyError, TypeError, ValueError, OverflowError, binascii.Error, cv2.error) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"region {item.get('id')!r} ({item['type']}) cannot be read: {what}; expected a mask of "
            f"{width} × {height} pixels as Label Studio exports it: export the annotations again"
        ) from error


def _item(
    region: Region, prediction: Prediction, control: Control, value: Value, part: int
) -> ResultItem:
    """An item without labels."""
    shape = SHAPE_OF[control.kind]
    key = shape.labels_key
    text = "\0".join((prediction.photo, region.rle["counts"], key, control.name, str(part)))
    data = text.encode("utf-8", "surrogatepass")
    return {
        "id": hashlib.blake2b(data, digest_size=8).hexdigest(),
        "type": key if control.labels_tag is None else shape.kind,
        "from_name": control.name,
        "to_name": control.to_name,
        "original_width": prediction.width,
        "original_height": prediction.height,
        "image_rotation": 0,
        "score": float(region.score),
        "value": value,
    }


def _with_label(item: ResultItem, control: Control, label: str | None) -> list[ResultItem]:
    """An item with its label, which is another item if it is of a Labels tag."""
    labels = [] if label is None else [label]
    if control.labels_tag is None:
        item["value"] = {**item["value"], SHAPE_OF[control.kind].labels_key: labels}
        return [item]
    if not labels:
        return [item]
    value = {**item["value"], **_SPAN.get(control.kind, {}), "labels": labels}
    named: ResultItem = {
        **item,
        "type": "labels",
        "from_name": control.labels_tag,
        "value": value,
    }
    return [item, named]


def _holes(mask: Mask) -> tuple[int, int]:
    """How many holes a mask has, and their pixels. Diagonal neighbours inside do close a hole."""
    ground = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    n, labels = cv2.connectedComponents(ground, connectivity=4)
    outside = labels[0, 0]
    return int(n) - 2, int(((labels != outside) & (labels != 0)).sum())
