"""The photos of a task: where they are, which one an item was drawn on, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from prelabel.data.image_formats import ending_of_type
from prelabel.data.images import EXTENSIONS
from prelabel.label_studio.format.data_paths import resolve
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.storage.json import JsonObject

NO_IMAGE = "has no image in its data: see whether the label config's Image names the right key"

_SHOWN = 200
_LOCAL_FILES = "/data/local-files/"
_UPLOADED = re.compile(r".*/(?:data|media)/upload/\d+/(?:[0-9a-f]{8}-)?([^/]+)")
_ADDRESSES = ("http://", "https://", "s3://", "gs://", "azure-blob://", "/data/")


@dataclass(frozen=True, slots=True)
class TaskPhoto:
    """One photo of a task.

    ``task``: the task's id, None in a file that gives it none. ``key``: where the task's data have
    it, as ``data_paths`` reads it.
    ``index``: its place in a list of photos, None where the key holds no list. ``uri``: its address.
    """

    task: int | None
    key: str
    index: int | None
    uri: str

    @property
    def name(self) -> str:
        """``<task>/<key>``, with ``/<index>`` in a list: what is learned is kept under it."""
        return f"{self.task}/{self.key}" + ("" if self.index is None else f"/{self.index}")


def task_photos(
    task_id: int | None, data: object, label_config: LabelConfig | None
) -> tuple[TaskPhoto, ...]:
    """The photos that a label config's tags look at, each once; without a config, whatever in the
    task's data looks like a photo's address. What is not an address is passed over.

    A key that an Image tag reads as a list (``valueList``) is one for all tags.
    """
    if not isinstance(data, Mapping):
        return ()
    if label_config:
        controls = label_config.controls
        is_list = {c.image_key: False for c in controls}
        is_list |= {c.image_key: True for c in controls if c.is_list}
    else:
        is_list = {key: isinstance(data[key], list) for key in data if _is_photo(data[key])}
    return tuple(
        TaskPhoto(task_id, key, index, uri)
        for key, listed in is_list.items()
        for index, uri in _addresses(resolve(key, data) if label_config else data[key], listed)
    )


def no_photo(label_config: LabelConfig | None, data: object) -> str:
    """That no task has a photo, and where one was expected. ``data``: of a task."""
    found = ", ".join(map(repr, data)) if isinstance(data, Mapping) else "nothing"
    if not label_config:
        return f"no task has the address of a photo in its data, which have {found[:_SHOWN]}"
    keys = ", ".join(dict.fromkeys(repr(c.image_key) for c in label_config.controls))
    return (
        f"no task has a photo under {keys}, where the label config's Image looks; the tasks' data "
        f"have {found[:_SHOWN]}: name one of them in the Image's value"
    )


def find_photo(
    photos: Iterable[TaskPhoto], key: str | None, item_index: object
) -> TaskPhoto | None:
    """The photo under a key of the task's data; of a list, the one of this ``item_index`` (the
    first, if an item has none). None if there is no such photo."""
    of_key = (photo for photo in photos if photo.key == key)
    return next((p for p in of_key if p.index is None or p.index == (item_index or 0)), None)


def photo_of_item(
    item: JsonObject, photos: Sequence[TaskPhoto], label_config: LabelConfig | None
) -> TaskPhoto | None:
    """The photo of a task that an item was drawn on; None if nothing tells.

    Its ``to_name`` is the Image tag, which the config gives a key. Without a config it is the key
    itself in most; a task with one key needs neither.
    """
    keys = list(dict.fromkeys(photo.key for photo in photos))
    to_name, from_name = item.get("to_name"), item.get("from_name")  # JSON_MIN has the second only
    if label_config:
        controls = [c for c in label_config.controls if c.to_name == to_name]
        controls += [
            c for c in label_config.controls if from_name and from_name in (c.name, c.labels_tag)
        ]
        known = [control.image_key for control in controls]
    else:
        known = [key for key in keys if key == to_name]
    key = known[0] if known else keys[0] if len(keys) == 1 else None
    return find_photo(photos, key, item.get("item_index"))


def photo_name(uri: str, task: object) -> str:
    """A file's name from an address: an upload's without the random part that the server puts
    before it, a local file's path below the document root, else the path on its server or in its
    bucket. It never leads out of a folder. A ``data:`` URL gets ``task-<id>`` and the ending of
    its type.
    """
    uri = uri.strip()
    if uri.startswith("data:"):
        kind = re.match(r"data:(image/[a-z+.-]+)", uri)
        return f"task-{task}{ending_of_type(kind[1]) if kind else ''}"
    try:
        place = urlsplit(uri)
    except ValueError:
        return f"task-{task}"
    path = unquote(place.path, errors="surrogateescape")
    if path.endswith(_LOCAL_FILES):
        path = parse_qs(place.query, errors="surrogateescape").get("d", [""])[0]
    elif uploaded := _UPLOADED.fullmatch(path):
        path = uploaded[1]
    elif not place.scheme:  # not an address: a # or ? in it is part of the name
        path = uri
    return inside(path) or f"task-{task}"


def inside(path: str) -> str:
    """A path without the parts that lead out of a folder; "" if nothing is left."""
    parts = path.replace("\0", "").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


class UniqueNames:
    """Gives out names that differ by more than upper and lower case."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, name: str, task: object) -> str:
        """The name, if it is free; else with ``task-<id>/`` before it."""
        while name.casefold() in self._taken:
            first = f"task-{task}"
            name = f"_{name}" if name.startswith(f"{first}/") else f"{first}/{name}"
        self._taken.add(name.casefold())
        return name


def _addresses(value: object, listed: bool) -> list[tuple[int | None, str]]:
    """The addresses that a key of a task's data holds, with their places in its list; the first
    one alone where the key is not read as a list."""
    values = value if isinstance(value, list) else [value]
    return [
        (index if listed else None, uri)
        for index, uri in enumerate(values if listed else values[:1])
        if isinstance(uri, str) and uri.strip()
    ]


def _is_photo(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_photo(one) for one in value)
    if not isinstance(value, str):
        return False
    if value.startswith("data:"):
        return value.startswith("data:image/")
    if value.strip().startswith(_ADDRESSES):
        return True
    return PurePosixPath(value).suffix.lower() in EXTENSIONS
