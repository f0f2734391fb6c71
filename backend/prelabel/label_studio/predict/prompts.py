"""Prompts of Label Studio's smart mode, clicks and boxes, and the answer to them."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.interactive.prompts import Prompts
from prelabel.label_studio.format.items import ResultItem, encode_regions
from prelabel.label_studio.format.label_config import Control, LabelConfig, Prompt
from prelabel.label_studio.format.labels import shared_labels
from prelabel.label_studio.format.photos import TaskPhoto
from prelabel.label_studio.format.routing import finest_control
from prelabel.label_studio.format.simplified import MAX_POINTS
from prelabel.storage.json import JsonObject


@dataclass(frozen=True)
class PromptRequest:
    """``prompts``: clicks and boxes in the photo under ``key`` of the task's data (the one with
    this ``item_index``, if that is a list). ``label``: the object's label, "" if the person
    chose none. ``control``: the one that holds the answer."""

    prompts: Prompts
    key: str
    item_index: int
    label: str
    control: Control


def read_request(context: JsonObject, label_config: LabelConfig) -> PromptRequest:
    """The request that /predict's ``context`` holds: clicks (KeyPointLabels, negative ones where
    ``is_positive`` is false) and boxes (RectangleLabels); the newest one says which photo and label.

    Raises UserError for a context without a click or box of a smart tag of this label config.
    """
    tags = {(p.name, p.to_name): p for p in label_config.interactive}
    found = context.get("result")
    drawn = [
        (tags[place], item)
        for item in _mappings(found)
        if (place := (str(item.get("from_name")), str(item.get("to_name")))) in tags
    ]
    if not drawn:
        raise UserError(
            "no prompt: expected a click of a KeyPointLabels or a box of a "
            'RectangleLabels with smart="true"'
        )
    prompt, newest = drawn[-1]
    points: list[tuple[float, float, bool]] = []
    boxes: list[tuple[float, float, float, float]] = []
    for other, item in drawn:
        if other.image_key != prompt.image_key or _index(item) != _index(newest):
            continue
        x, y, width, height = _place(item)
        positive = item.get("is_positive") not in (0, False)
        if other.kind == "keypoint":
            points.append((x, y, positive))
        else:
            boxes.append((x, y, x + width, y + height))
    label = _label(newest) or shared_labels(_mappings(found)).get(str(newest.get("id")), "")
    return PromptRequest(
        Prompts(tuple(points), tuple(boxes)),
        prompt.image_key,
        _index(newest),
        label,
        _answering_control(prompt, label, label_config),
    )


def build_result(
    request: PromptRequest, region: Region | None, photo: TaskPhoto
) -> list[ResultItem]:
    """Result items of the object that was found."""
    if region is None:
        return []
    height, width = region.rle["size"]
    prediction = Prediction(photo.name, "", width, height, (region,), 0, "")
    items, _ = encode_regions(
        prediction,
        {region.cluster: request.label or None},
        request.control,
        max_points=MAX_POINTS,
        item_index=photo.index,
    )
    # A region with the id of one that is there already would take its place.
    ids = {item["id"]: secrets.token_hex(8) for item in items}
    for item in items:
        item["id"] = ids[item["id"]]
    return items


def _answering_control(prompt: Prompt, label: str, label_config: LabelConfig) -> Control:
    """The control that holds the answer: for the same image, with the label, the finest shape."""
    own = [c for c in label_config.controls if c.to_name == prompt.to_name]
    if not own:
        raise UserError(
            f"label config: {prompt.name} points at {prompt.to_name}, for which no tag holds masks: "
            "add a BrushLabels for it"
        )
    return finest_control(own, label)


def _mappings(found: object) -> list[JsonObject]:
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _place(item: JsonObject) -> tuple[float, float, float, float]:
    """x, y, width and height of an item, in fractions of the photo."""
    value = item.get("value")
    given = value if isinstance(value, Mapping) else {}
    facts = {"width": 0, "height": 0, **given}
    try:
        x, y, width, height = (float(facts[key]) / 100 for key in ("x", "y", "width", "height"))
    except (KeyError, TypeError, ValueError, OverflowError):
        x = y = width = height = math.nan
    if not all(math.isfinite(number) for number in (x, y, width, height)):
        raise UserError("the click or box has no place: expected x and y in percent")
    return x, y, width, height


def _label(item: JsonObject) -> str:
    value = item.get("value")
    if not isinstance(value, Mapping):
        return ""
    labels = value.get(str(item.get("type"))) or value.get("labels")
    return str(labels[0]) if isinstance(labels, list) and labels else ""


def _index(item: JsonObject) -> int:
    index = item.get("item_index")
    return index if isinstance(index, int) else 0
