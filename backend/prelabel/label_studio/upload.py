"""Uploading photos of this machine into a project, each once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote

from prelabel.data.records import ImageFile
from prelabel.label_studio.api.client import Client
from prelabel.storage.json import JsonObject
from prelabel.storage.progress import RunLog

ENDINGS = (".bmp", ".gif", ".jpg", ".jpeg", ".png", ".webp")
"""Of the photos that Label Studio takes."""
_AT_ONCE, _BYTES = 20, 40_000_000
"""Photos in one request, and about how many bytes."""
_PREFIX = 9
"""Characters that Label Studio puts before a file's name."""


def upload_photos(
    client: Client, project_id: int, photos: Sequence[ImageFile], log: RunLog
) -> list[tuple[str, str]]:
    """Upload the photos that the project does not have yet, a task each; an interrupted call is
    continued by the next. Those that were left out, with reasons. Raises UserError."""
    left_out: list[tuple[str, str]] = []
    there = Counter(_key(_name_of(task)) for task in client.tasks(project_id, fields=("data",)))
    todo = []
    for photo in photos:
        if photo.file.suffix.lower() not in ENDINGS:
            kind = photo.file.suffix.lower() or "file without an ending"
            left_out.append((photo.name, f"Label Studio takes no {kind}"))
        elif there[_key(photo.file.name)]:
            there[_key(photo.file.name)] -= 1
        else:
            todo.append(photo)
    with log.stage("upload", len(todo)):
        for files in _batches(todo, left_out):
            client.upload(project_id, files)
            for _ in files:
                log.advance()
    return left_out


def _batches(
    photos: Sequence[ImageFile], left_out: list[tuple[str, str]]
) -> Iterator[list[tuple[str, bytes]]]:
    """Names and contents, as many as one request may hold."""
    batch: list[tuple[str, bytes]] = []
    for photo in photos:
        try:
            data = photo.file.read_bytes()
        except OSError as error:
            left_out.append((photo.name, f"cannot be read ({error.strerror})"))
            continue
        if batch and (len(batch) == _AT_ONCE or sum(len(d) for _, d in batch) + len(data) > _BYTES):
            yield batch
            batch = []
        batch.append((photo.file.name, data))
    if batch:
        yield batch


def _name_of(task: JsonObject) -> str:
    """The name that a task's photo was uploaded with."""
    data = task.get("data")
    address = str(data.get("image", "")) if isinstance(data, Mapping) else ""
    return unquote(address.rpartition("/")[2])[_PREFIX:]


def _key(name: str) -> str:
    """What Label Studio leaves of a file's name, which may be cut."""
    kept = re.sub(r"[^-\w.]", "", name.strip().replace(" ", "_"))
    return kept.rpartition(".")[0][:60]
