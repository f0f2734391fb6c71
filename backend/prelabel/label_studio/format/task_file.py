"""Label Studio's JSON files as tasks, one at a time: its own exports (JSON, JSON_MIN), tasks.json."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import ijson
import numpy as np

from prelabel.errors import UserError
from prelabel.label_studio.format.shapes import SHAPES
from prelabel.storage.json import JsonObject

_BEGINNING = re.compile(rb'\s*\[\s*\{\s*"(id|data|annotations|predictions)"')
_LONE_SURROGATE = re.compile(
    rb"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|[c-fC-F](?<!\\u[dD][89abAB]..\\u[dD].))"
)
"""In JSON: the first half of a pair without the second, or the second without the first."""
_AT_ONCE = 1 << 28
"""Bytes up to which a file that ijson cannot read is read whole, to read it or to say why not."""
_CHUNK = 1 << 16
_LEVELS = 500
_STEPS = bytes(1 if code in b"[{" else 255 if code in b"]}" else 0 for code in range(256))
"""By which a byte of JSON changes the level, as int8."""
_WORD = 12
"""A fault this close to the end of a file may be a word that was cut in two."""
_FACTS = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")


def json_tasks(file: Path) -> Iterator[JsonObject]:
    """The tasks of a file, with ``data``, ``annotations`` and ``predictions`` as in JSON.

    JSON_MIN has a row for each annotation, and none for tasks that were skipped; rows of one task
    become one task again. Its regions have lost their ids and the tag of their image (``to_name``).
    Raises UserError, with the file and the place, for what is cut off, damaged or not a task.
    """
    rows = enumerate(_items(file), start=1)
    for _, group in groupby(rows, _task_of_row):
        (number, item), *more = group
        if not isinstance(item, dict):
            found = f"a {type(item).__name__}" if isinstance(item, list) else json.dumps(item)
            raise UserError(f"{file}: item {number} is not a task but {found[:40]}")
        if isinstance(item.get("data"), Mapping):
            yield item
        elif _is_minimal(item):
            yield _from_minimal([item, *(row for _, row in more if isinstance(row, dict))])
        else:
            raise UserError(
                f"{file}: item {number} is not a task of Label Studio (it has no data): expected "
                "its JSON or JSON_MIN export, or what prelabel wrote as label-studio"
            )


def looks_like_tasks(file: Path) -> bool:
    """Whether a file begins like a list of tasks; never raises."""
    try:
        with file.open("rb") as source:
            beginning = source.read(64).removeprefix(codecs.BOM_UTF8)
        if not beginning.lstrip().startswith(b"["):
            return False
        first = next(_items(file), None)
    except UserError:  # cut off in its first task
        return bool(_BEGINNING.match(beginning))
    except OSError:
        return False
    if not isinstance(first, dict):
        return False
    return isinstance(first.get("data"), Mapping) or _is_minimal(first)


def _items(file: Path) -> Iterator[object]:
    """The items of the JSON list that a file holds, read one at a time."""
    number = 0
    small = file.stat().st_size <= _AT_ONCE
    try:
        with file.open("rb") as source:
            if source.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
                source.seek(0)
            if _first_character(source) != b"[":
                raise UserError(f"{file}: not a list of tasks: expected Label Studio's JSON export")
            if small and not _suits_ijson(source):
                yield from _items_at_once(file, 0)
                return
            for item in ijson.items(source, "item", use_float=True):
                number += 1
                yield item
    except ijson.JSONError as error:
        if not small:
            reason = str(error).partition("\n")[0]
            raise UserError(
                f"{file}: cut off or damaged in item {number + 1} ({reason}): export it again"
            ) from error
        yield from _items_at_once(file, number)


def _items_at_once(file: Path, start: int) -> list[object]:
    """The items from ``start`` on, by Python's own reader: it has the whole file in memory, but takes
    NaN and lone surrogates, and tells what is damaged."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
        found: list[object] = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            what = "holds more behind the end of its list"
        elif error.msg.startswith("Unterminated") or error.pos >= len(text.rstrip()) - _WORD:
            what = f"cut off in item {start + 1}"
        else:
            what = f"damaged in item {start + 1} ({error})"
        raise UserError(f"{file}: {what}: export it again") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{file}: not JSON in UTF-8 ({error}): export it again") from error
    return found[start:]


def _first_character(source: BinaryIO) -> bytes:
    """The first that is not a space, from where the file is read; it is read from there again."""
    start, found = source.tell(), b" "
    while found.isspace():
        found = source.read(1)
    source.seek(start)
    return found


def _suits_ijson(source: BinaryIO) -> bool:
    """Whether no text in a file has half of a surrogate pair, of which ijson makes a question mark,
    and nothing is nested deeply, since ijson keeps every path. Brackets in texts count, too. The
    file is read from the same place again."""
    start, rest, level, suits = source.tell(), b"", 0, True
    while suits and (chunk := source.read(_CHUNK)):
        text, quote, rest = (rest + chunk).rpartition(b'"')  # no pair goes over a quote
        levels = level + np.cumsum(np.frombuffer(chunk.translate(_STEPS), dtype=np.int8))
        level = int(levels[-1])
        suits = levels.max() <= _LEVELS and not _LONE_SURROGATE.search(text + quote)
    source.seek(start)
    return suits


def _task_of_row(row: tuple[int, object]) -> tuple[str, object]:
    """Equal for JSON_MIN's rows of one task, for nothing else."""
    number, item = row
    if isinstance(item, dict) and _is_minimal(item) and isinstance(item.get("id"), int):
        return "task", item["id"]
    return "item", number


def _is_minimal(item: JsonObject) -> bool:
    return not isinstance(item.get("data"), Mapping) and "annotation_id" in item


def _from_minimal(rows: list[dict[str, object]]) -> JsonObject:
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


def _from_value(value: JsonObject, name: str, index: int) -> JsonObject:
    """A result item. Its type is that of its labels; without labels, its value tells its shape."""
    shapes = [(shape.value_key, shape.kind) for shape in SHAPES]
    labels = (key for key in value if key.endswith("labels") and key != "labels")
    kind = next(labels, "") or next((kind for key, kind in shapes if key in value), "other")
    return {
        "id": f"{name}[{index}]",
        "from_name": name,
        "type": kind,
        "original_width": value.get("original_width"),
        "original_height": value.get("original_height"),
        "value": value,
    }
