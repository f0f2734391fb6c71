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

    ``object 3``, the label of a class which nobody has named, is no name: an annotated region that
    still has it counts as one without a label. ``predicted``: one of this tool's; if nobody has
    named its class, its label is that of the class, even where another one was guessed.
    """
    shape = shape_of_item(item)
    if shape is None:
        return ""
    value = item.get("value")
    label = _first_text(value, shape.labels_key) or _first_text(value, "labels")
    label = label or shared.get(str(item.get("id")), "")
    if predicted:
        return _class_note(item, label) or label
    return "" if is_unnamed(label) else label


def is_unnamed(label: str) -> bool:
    """Whether a label is that of a class which nobody has named."""
    return bool(_UNNAMED.fullmatch(label))


def guess_note(class_name: str, label: str) -> str:
    """What people see in the details of a region whose label is a guess. ``class_name``: "" for a
    region without a class."""
    return f"{class_name}: {label} is a guess" if class_name else f"{label} is a guess"


def _first_text(parent: object, key: str) -> str:
    """The first of a list of texts under a key; "" if there is none."""
    texts = parent.get(key) if isinstance(parent, Mapping) else None
    first = texts[0] if isinstance(texts, list) and texts else None
    return first if isinstance(first, str) else ""


def _class_note(item: JsonObject, label: str) -> str:
    """The class that this tool has noted on a region without a label, or with a guessed one."""
    note = _first_text(item.get("meta"), "text")
    class_name = note.partition(":")[0]
    return class_name if is_unnamed(class_name) and note in _notes(class_name, label) else ""


def _notes(class_name: str, label: str) -> tuple[str, ...]:
    return class_name, guess_note(class_name, label)
