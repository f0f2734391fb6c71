"""The photos of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prelabel.label_studio.format.label_config import LabelConfig

NO_IMAGE = "has no image in its data: see whether the label config's Image names the right key"


@dataclass(frozen=True, slots=True)
class TaskPhoto:
    """One photo of a task. ``name``: ``<task>/<key>``, or ``<task>/<key>/<index>`` in a list of
    photos; ``key``: of the task's data; ``uri``: where it lies."""

    name: str
    key: str
    index: int | None
    uri: str


def task_photos(
    task_id: int, data: Mapping[str, Any], label_config: LabelConfig
) -> list[TaskPhoto]:
    """The photos that the controls look at, each once; what is no address is passed over."""
    found: dict[str, TaskPhoto] = {}
    for control in label_config.controls:
        value = data.get(control.image_key)
        uris = list(value) if isinstance(value, list) else [value]
        for index, uri in enumerate(uris):
            if isinstance(uri, str) and uri.strip():
                place = index if control.is_list else None
                name = f"{task_id}/{control.image_key}" + (f"/{index}" if control.is_list else "")
                found.setdefault(name, TaskPhoto(name, control.image_key, place, uri))
            if not control.is_list:
                break
    return list(found.values())
