"""Datumaro's own JSON, read as the COCO instances that would say the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

_CORNERS = 64
"""Of the polygon that stands for an ellipse."""


class DatumaroFile(msgspec.Struct):
    """What is read of a subset's file, each part of any type."""

    categories: dict[str, Any]
    items: list[dict[str, Any]]


def as_coco(data: DatumaroFile) -> dict[str, list[dict[str, object]]]:
    """COCO's lists. Annotations of one group are one object: its polygons together, without its box.
    What is neither mask, polygon, box nor ellipse becomes an annotation without a segmentation."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, item in enumerate(data.items):
        images.append(_image(number, item))
        groups: dict[tuple[str, object], dict[str, object]] = {}
        given = item.get("annotations")
        shapes = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
        for shape in sorted(shapes, key=lambda one: one.get("type") == "bbox"):  # boxes come last
            annotation = _annotation(number, shape)
            annotation["id"] = f"{item.get('id')}/{len(annotations)}"  # its own are 0 in most files
            group = shape.get("group")
            key = repr(annotation["category_id"]), group
            if type(group) is not int or not group:
                annotations.append(annotation)
            elif (known := groups.get(key)) is None:
                groups[key] = annotation
                annotations.append(annotation)
            elif not _joined(known, annotation):
                annotations.append(annotation)
    return {"images": images, "categories": _categories(data), "annotations": annotations}


def _categories(data: DatumaroFile) -> list[dict[str, object]]:
    label = data.categories.get("label")
    labels = label.get("labels") if isinstance(label, dict) else None
    labels = labels if isinstance(labels, list) else []
    names = [one.get("name") if isinstance(one, dict) else None for one in labels]
    return [{"id": number, "name": name} for number, name in enumerate(names)]


def _image(number: int, item: Mapping[str, Any]) -> dict[str, object]:
    found: dict[str, object] = {"id": number}
    for key in ("media", "image"):
        facts = item.get(key)
        if isinstance(facts, dict):
            found["file_name"] = facts.get("path") or found.get("file_name")
            size = facts.get("size")
            if isinstance(size, list) and len(size) == 2:
                found["height"], found["width"] = size
    if not found.get("file_name"):
        found["file_name"] = f"{item.get('id')}.jpg"
    return found


def _annotation(image: int, shape: Mapping[str, Any]) -> dict[str, object]:
    attributes = shape.get("attributes")
    attributes = dict(attributes) if isinstance(attributes, dict) else {}
    found: dict[str, object] = {
        "image_id": image,
        "category_id": shape.get("label_id"),
        "iscrowd": int(attributes.pop("is_crowd", False) is True),
    }
    if "score" in attributes:
        found["score"] = attributes.pop("score")
    if attributes:
        found["attributes"] = attributes
    match shape.get("type"):
        case "mask":
            found["segmentation"] = shape.get("rle")
        case "polygon":
            found["segmentation"] = [shape.get("points")]
        case "ellipse":
            found["segmentation"] = _ellipse(shape.get("points"))
        case "bbox":
            found["bbox"] = shape.get("bbox")
    return found


def _joined(known: dict[str, object], other: Mapping[str, object]) -> bool:
    """Whether another shape of a group is part of what is known of it now."""
    if "bbox" in other:
        return "segmentation" in known
    parts, more = known.get("segmentation"), other.get("segmentation")
    if isinstance(parts, list) and isinstance(more, list):
        known["segmentation"] = [*parts, *more]
        return True
    return False


def _ellipse(points: object) -> list[list[float]] | None:
    """The polygon of an ellipse that is given by its box's corners."""
    try:
        left, top, right, bottom = (float(number) for number in points)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        return None
    x, y, a, b = (left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2
    turns = [2 * math.pi * n / _CORNERS for n in range(_CORNERS)]
    return [[part for t in turns for part in (x + a * math.cos(t), y + b * math.sin(t))]]
