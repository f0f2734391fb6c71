"""Label Studio's JSON files as tasks, one at a time: its own exports (JSON, JSON_MIN), tasks.json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from prelabel.errors import UserError

Task = dict[str, Any]

_CHUNK = 1 << 20
"""Characters read at once; a task with more is read in steps twice as large each."""
_TAIL = 64
"""A fault this close to the end of what was read may be a word that was cut in two."""
_SPACE = re.compile(r"[ \t\r\n]*")
_BEGINNING = re.compile(r'\s*\[\s*\{\s*"(id|data|annotations|predictions)"')
_FACTS = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")
_SHAPES = (("rle", "brush"), ("imageDataURL", "bitmask"), ("points", "polygon"))
_LABELS = ("brushlabels", "bitmasklabels", "polygonlabels", "rectanglelabels", "ellipselabels")


def json_tasks(file: Path) -> Iterator[Task]:
    """The tasks of a file, with ``data``, ``annotations`` and ``predictions`` as in JSON.

    JSON_MIN has a row for each annotation, and none for tasks that were skipped; rows of one task
    become one task again. Its regions have lost their ids and the tag of their image (``to_name``).
    Raises UserError, with the file and the place, for what is cut off, damaged or no task.
    """
    rows = enumerate(_items(file), start=1)
    for _, group in groupby(rows, _task_of_row):
        (number, item), *more = group
        if not isinstance(item, dict):
            raise UserError(f"{file}: item {number} is no task but {json.dumps(item)[:40]}")
        if isinstance(item.get("data"), Mapping):
            yield item
        elif _is_minimal(item):
            yield _from_minimal([item, *(row for _, row in more)])
        else:
            raise UserError(
                f"{file}: item {number} is no task of Label Studio (it has no data): wanted its "
                "JSON or JSON_MIN export, or what prelabel wrote as label-studio"
            )


def looks_like_tasks(file: Path) -> bool:
    """Whether a file begins like a list of tasks; never raises."""
    try:
        with file.open(encoding="utf-8-sig") as text:
            beginning = text.read(_TAIL)
        if not beginning.lstrip().startswith("["):
            return False
        first = next(_items(file), None)
    except UserError:  # cut off in its first task
        return bool(_BEGINNING.match(beginning))
    except (OSError, ValueError):
        return False
    if not isinstance(first, dict):
        return False
    return isinstance(first.get("data"), Mapping) or _is_minimal(first)


def _items(file: Path) -> Iterator[Any]:
    """The items of the JSON list that a file holds, read as they are asked for."""
    number = 1
    try:
        with file.open(encoding="utf-8-sig") as source:
            text = _Text(source)
            if text.peek() != "[":
                raise UserError(f"{file}: no list of tasks: wanted Label Studio's JSON export")
            text.at += 1
            while text.peek() != "]":
                if number > 1:
                    text.skip(",")
                yield text.value()
                number += 1
            text.at += 1
            if text.peek():
                raise UserError(f"{file}: holds more behind the end of its list: export it again")
    except EOFError as error:
        raise UserError(f"{file}: cut off in item {number}: export it again") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{file}: damaged in item {number} ({error.msg}): export again") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{file}: no JSON in UTF-8 ({error}): export it again") from error


class _Text:
    """A file's text that is not used up yet, from ``at`` in ``buffer`` on; more is read if needed."""

    def __init__(self, source: TextIO) -> None:
        self._source = source
        self._scan = json.JSONDecoder().raw_decode
        self.buffer, self.at = "", 0

    def peek(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            match = _SPACE.match(self.buffer, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.buffer):
                return self.buffer[self.at]
            if not self._read(_CHUNK):
                return ""

    def skip(self, character: str) -> None:
        """Past this one. Raises JSONDecodeError for another, EOFError at the end."""
        found = self.peek()
        if not found:
            raise EOFError
        if found != character:
            raise json.JSONDecodeError(f"{character!r} wanted", self.buffer, self.at)
        self.at += 1

    def value(self) -> Any:
        """The next value. Raises JSONDecodeError, EOFError if it is cut off."""
        self.peek()
        size = _CHUNK
        while True:
            try:
                found, self.at = self._scan(self.buffer, self.at)
                return found
            except json.JSONDecodeError as error:
                near = error.pos > len(self.buffer) - _TAIL
                if not (near or error.msg.startswith("Unterminated string")):
                    raise
                if not self._read(size):
                    raise EOFError from error
                size *= 2

    def _read(self, size: int) -> bool:
        chunk = self._source.read(size)
        self.buffer, self.at = self.buffer[self.at :] + chunk, 0
        return bool(chunk)


def _task_of_row(row: tuple[int, Any]) -> tuple[str, object]:
    """Equal for JSON_MIN's rows of one task, for nothing else."""
    number, item = row
    if isinstance(item, dict) and _is_minimal(item) and isinstance(item.get("id"), int):
        return "task", item["id"]
    return "item", number


def _is_minimal(item: Mapping[str, Any]) -> bool:
    return not isinstance(item.get("data"), Mapping) and "annotation_id" in item


def _from_minimal(rows: list[Task]) -> Task:
    first = rows[0]
    data = {key: value for key, value in first.items() if key not in _FACTS}
    annotations = [
        {
            "id": row.get("annotation_id"),
            "updated_at": row.get("updated_at"),
            "result": [
                _from_value(value, name, index)
                for name, values in row.items()
                if isinstance(values, list)
                for index, value in enumerate(values)
                if isinstance(value, Mapping)
            ],
        }
        for row in rows
        if row.get("annotation_id") is not None
    ]
    return {"id": first.get("id"), "data": data, "annotations": annotations}


def _from_value(value: Mapping[str, Any], name: str, index: int) -> dict[str, Any]:
    kind = next((key for key in _LABELS if key in value), "")
    if not kind:
        kind = next((kind for key, kind in _SHAPES if key in value), "")
    return {
        "id": f"{name}[{index}]",
        "from_name": name,
        "type": kind or ("rectangle" if "rotation" in value else "other"),
        "original_width": value.get("original_width"),
        "original_height": value.get("original_height"),
        "value": value,
    }
