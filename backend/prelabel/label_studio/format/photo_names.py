"""What a task's photo is called on this machine: a relative path that leads out of no folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from prelabel.data.images import EXTENSIONS

_LOCAL_FILES = "/data/local-files/"
_UPLOADED = re.compile(r".*/data/upload/\d+/(?:[0-9a-f]{8}-)?([^/]+)")
_ADDRESSES = ("http://", "https://", "s3://", "gs://", "azure-blob://", "/data/")
_ENDINGS = {"jpeg": ".jpg", "tiff": ".tif", "svg+xml": ".svg"}


def photo_name(uri: str, task: object) -> str:
    """A name from an address: an upload's file name without the random part that the server puts
    before it, a local file's path below the document root, else the path on its server or in its
    bucket. A ``data:`` URL gets ``task-<id>`` and the ending of its type.
    """
    uri = uri.strip()
    if uri.startswith("data:"):
        kind = re.match(r"data:image/([a-z+]+)", uri)
        ending = _ENDINGS.get(kind[1], f".{kind[1]}") if kind else ""
        return f"task-{task}{ending}"
    try:
        place = urlsplit(uri)
    except ValueError:
        return f"task-{task}"
    path = unquote(place.path, errors="surrogateescape")
    if path.endswith(_LOCAL_FILES):
        path = parse_qs(place.query, errors="surrogateescape").get("d", [""])[0]
    elif uploaded := _UPLOADED.fullmatch(path):
        path = uploaded[1]
    elif not place.scheme:  # whatever it is, it is no address: a # or ? in it is part of the name
        path = uri
    return inside(path) or f"task-{task}"


def inside(path: str) -> str:
    """A path without the parts that lead out of a folder; "" if nothing is left."""
    parts = path.replace("\0", "").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


class UniqueNames:
    """Names of which no two are equal, or differ in upper and lower case only."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, name: str, task: object) -> str:
        """The name, if it is free; else with ``task-<id>/`` before it."""
        while name.casefold() in self._taken:
            first = f"task-{task}"
            name = f"_{name}" if name.startswith(f"{first}/") else f"{first}/{name}"
        self._taken.add(name.casefold())
        return name


def image_keys(data: Mapping[str, Any]) -> list[str]:
    """The keys of a task's data whose values look like a photo's address, or a list of them."""
    return [key for key, value in data.items() if _is_photo(value)]


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
