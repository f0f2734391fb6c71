"""What a person points at in Label Studio's smart mode, and the answer to it."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.interactive.prompts import Prompts
from prelabel.label_studio.format.items import encode_regions
from prelabel.label_studio.format.label_config import Control, LabelConfig, Prompt
from prelabel.label_studio.format.photos import TaskPhoto

_FINEST = ("brush", "bitmask", "polygon", "rectangle")


@dataclass(frozen=True)
class PromptRequest:
    """``prompts``: clicks and boxes in the photo ``key`` (number ``index`` of a list) of the task's data.
    ``label``: what it is to be called, "" if the person chose none. ``control``: who holds it."""

    prompts: Prompts
    key: str
    index: int | None
    label: str
    control: Control


def read_request(context: Mapping[str, Any], label_config: LabelConfig) -> PromptRequest:
    """The request that /predict's ``context`` holds: clicks (KeyPointLabels, negative ones where
    ``is_positive`` is false) and boxes (RectangleLabels); the newest one says which photo and label.

    Raises UserError for a context without a click or box of a smart tag of this label config.
    """
    tags = {(p.name, p.to_name): p for p in label_config.interactive}
    found = context.get("result")
    drawn = [
        (tags[place], item)
        for item in (found if isinstance(found, list) else ())
        if isinstance(item, Mapping)
        and (place := (str(item.get("from_name")), str(item.get("to_name")))) in tags
    ]
    if not drawn:
        raise UserError(
            "nothing was pointed at: a click of a KeyPointLabels or a box of a RectangleLabels with "
            'smart="true" wanted'
        )
    prompt, newest = drawn[-1]
    index = _index(newest) if prompt.is_list else None
    points: list[tuple[float, float, bool]] = []
    boxes: list[tuple[float, float, float, float]] = []
    for other, item in drawn:
        if other.image_key != prompt.image_key or (prompt.is_list and _index(item) != index):
            continue
        x, y, width, height = _place(item)
        positive = item.get("is_positive") not in (0, False)
        if other.kind == "keypoint":
            points.append((x, y, positive))
        else:
            boxes.append((x, y, x + width, y + height))
    label = _label(newest)
    return PromptRequest(
        Prompts(tuple(points), tuple(boxes)),
        prompt.image_key,
        index,
        label,
        _holder(prompt, label, label_config),
    )


def build_result(
    request: PromptRequest, region: Region | None, photo: TaskPhoto
) -> list[dict[str, Any]]:
    """Result items of the object that was found."""
    if region is None:
        return []
    height, width = region.rle["size"]
    prediction = Prediction(photo.name, "", width, height, (region,), 0.0, 0, "")
    items, _ = encode_regions(
        prediction, {region.cluster: request.label}, request.control, item_index=photo.index
    )
    # New ones each time: a region with the id of one that is there already would take its place.
    return [{**item, "id": secrets.token_hex(8)} for item in items]


def _holder(prompt: Prompt, label: str, label_config: LabelConfig) -> Control:
    """The control that holds the answer: of the same image, with the label, the finest kind."""
    own = [c for c in label_config.controls if c.to_name == prompt.to_name]
    if not own:
        raise UserError(
            f"label config: {prompt.name} points at {prompt.to_name}, for which no tag holds masks: "
            "add a BrushLabels for it"
        )
    return min(
        own,
        key=lambda c: (label not in [each.value for each in c.labels], _FINEST.index(c.kind)),
    )


def _place(item: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """x, y, width and height of an item, in fractions of the photo."""
    try:
        value = {"width": 0, "height": 0, **item["value"]}
        numbers = [float(value[key]) / 100 for key in ("x", "y", "width", "height")]
    except (KeyError, TypeError, ValueError, OverflowError):
        numbers = [math.nan]
    if not all(math.isfinite(number) for number in numbers):
        raise UserError("what was pointed at has no place: x and y in percent wanted")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _label(item: Mapping[str, Any]) -> str:
    value = item.get("value") or {}
    labels = value.get(str(item.get("type"))) or value.get("labels") or ()
    return str(labels[0]) if isinstance(labels, list) and labels else ""


def _index(item: Mapping[str, Any]) -> int:
    index = item.get("item_index")
    return index if isinstance(index, int) else 0
