"""The photos of a task, and on which of them a result item was drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prelabel.label_studio.format.items import Item
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.format.photo_names import image_keys


@dataclass(frozen=True, slots=True)
class Place:
    """Where a photo stands in a task's data. ``index``: None outside a list; ``uri``: its address."""

    key: str
    index: int | None
    uri: str


def places(data: Mapping[str, Any], config: LabelConfig | None) -> list[Place]:
    """The photos that a label config's tags look at, each once; without a config, whatever in the
    data looks like a photo's address."""
    if config:
        keys = {control.image_key: control.is_list for control in config.controls}
    else:
        keys = {key: isinstance(data[key], list) for key in image_keys(data)}
    found = []
    for key, is_list in keys.items():
        value = data.get(key)
        for index, uri in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(uri, str) and uri.strip():
                found.append(Place(key, index if is_list else None, uri))
            if not is_list:
                break
    return found


def place_of(item: Item, own: Sequence[Place], config: LabelConfig | None) -> Place | None:
    """The photo of a task that an item was drawn on; None if nothing tells.

    Its ``to_name`` is the Image tag, which the config gives a key. Without a config it is the key
    itself in most; a task with one photo needs neither.
    """
    keys = list(dict.fromkeys(place.key for place in own))
    to_name, from_name = item.get("to_name"), item.get("from_name")  # JSON_MIN has the second only
    if config:
        controls = [c for c in config.controls if c.to_name == to_name]
        controls += [c for c in config.controls if c.name == from_name]
        known = [control.image_key for control in controls]
    else:
        known = [key for key in keys if key == to_name]
    key = known[0] if known else keys[0] if len(keys) == 1 else None
    candidates = [place for place in own if place.key == key]
    if candidates and candidates[0].index is not None:
        wanted = item.get("item_index") or 0
        return next((place for place in candidates if place.index == wanted), None)
    return candidates[0] if candidates else None
