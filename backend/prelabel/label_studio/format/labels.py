"""The labels of result items, wherever they stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from prelabel.label_studio.format.shapes import shape_of_item
from prelabel.storage.json import JsonObject

_UNNAMED = re.compile(r"object [0-9]+")


def shared_labels(results: Iterable[JsonObject]) -> dict[str, str]:
    """Labels by region id: those of a Labels tag stand in an item of their own."""
    return {
        str(item.get("id")): label
        for item in results
        if item.get("type") == "labels" and (label := _first_text(item.get("value"), "labels"))
    }


def item_label(item: JsonObject, shared: Mapping[str, str], *, predicted: bool = False) -> str:
    """A region's label, the first if it has several; "" if it has none or is not a region.
    ``predicted``: one of this tool's whose class has no name yet bears that of the class."""
    shape = shape_of_item(item)
    if shape is None:
        return ""
    value = item.get("value")
    label = _first_text(value, shape.labels_key) or _first_text(value, "labels")
    label = label or shared.get(str(item.get("id")), "")
    return label or (_class_note(item) if predicted else "")


def is_unnamed(label: str) -> bool:
    """Whether a label is that of a class which nobody has named."""
    return bool(_UNNAMED.fullmatch(label))


def _first_text(parent: object, key: str) -> str:
    """The first of a list of texts under a key; "" if there is none."""
    texts = parent.get(key) if isinstance(parent, Mapping) else None
    first = texts[0] if isinstance(texts, list) and texts else None
    return first if isinstance(first, str) else ""


def _class_note(item: JsonObject) -> str:
    """The class that this tool has noted on a region without a label."""
    note = _first_text(item.get("meta"), "text")
    return note if is_unnamed(note) else ""
