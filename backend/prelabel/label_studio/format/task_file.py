"""Label Studio's JSON files as tasks, one at a time: its own exports (JSON, JSON_MIN), tasks.json."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, TypeGuard

import ijson
import numpy as np

from prelabel.errors import UserError
from prelabel.label_studio.format.region_attributes import ANSWERS
from prelabel.label_studio.format.shapes import SHAPES
from prelabel.storage.files import open_file, read_file
from prelabel.storage.json import LONE_SURROGATE, JsonObject

_BEGINNING = re.compile(rb'\s*\[\s*\{\s*"(id|data|annotations|completions|predictions)"')
_AT_ONCE = 1 << 28
"""Bytes up to which a file that ijson cannot read is read whole, to read it or to say why not."""
_CHUNK = 1 << 16
_LEVELS = 500
_STEPS = bytes(1 if code in b"[{" else 255 if code in b"]}" else 0 for code in range(256))
"""By which a byte of JSON changes the level, as int8."""
_WORD = 12
"""A fault this close to the end of a file may be a word that was cut in two."""
_ANSWERS = frozenset({"type", "labels", *ANSWERS.values()})
_FACTS = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")


def json_tasks(file: Path) -> Iterator[JsonObject]:
    """The tasks of a file, with ``data``, ``annotations`` and ``predictions`` as in JSON.

    JSON_MIN has a row for each annotation, and none for tasks that were skipped; rows of one task
    become one task again. Its regions have lost their ids and the tag of their image (``to_name``);
    a region, its label and its answers belong together if their drawings are equal. Exports of 2020
    have ``completions``, which are annotations.
    Raises UserError, with the file and the place, for what is cut off, damaged or not a task.
    """
    rows = enumerate(_items(file), start=1)
    for _, group in groupby(rows, _task_of_row):
        (number, item), *more = group
        if not isinstance(item, dict):
            found = f"a {type(item).__name__}" if isinstance(item, list) else json.dumps(item)
            raise UserError(f"{file}: item {number} is not a task but {found[:40]}")
        if isinstance(item.get("data"), Mapping):
            yield _with_annotations(item)
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
        with open_file(file) as source:
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
    small = False
    try:
        with open_file(file) as source:
            small = file.stat().st_size <= _AT_ONCE
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
    except (ijson.JSONError, UnicodeDecodeError) as error:
        if not small:
            reason = str(error).partition("\n")[0]
            raise UserError(
                f"{file}: cut off or damaged in item {number + 1} ({reason}): export it again"
            ) from error
        yield from _items_at_once(file, number)
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror or error})") from error


def _items_at_once(file: Path, start: int) -> list[object]:
    """The items from ``start`` on, by Python's own reader: it has the whole file in memory, but takes
    NaN and lone surrogates, and tells what is damaged."""
    try:
        text = read_file(file).decode("utf-8-sig")
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
        suits = levels.max() <= _LEVELS and not LONE_SURROGATE.search(text + quote)
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


def _with_annotations(task: dict[str, object]) -> JsonObject:
    """A task; one of 2020 with its completions as annotations."""
    completions = task.get("completions")
    if "annotations" in task or not isinstance(completions, list):
        return task
    annotations = [
        {
            **one,
            "updated_at": _moment(one.get("updated_at") or one.get("created_at")),
            "was_cancelled": one.get("was_cancelled") or one.get("skipped") or False,
        }
        for one in completions
        if isinstance(one, Mapping)
    ]
    return {**task, "annotations": annotations}


def _moment(given: object) -> object:
    """Seconds since 1970 as they are written since: in ISO's form."""
    try:
        return datetime.fromtimestamp(given, UTC).isoformat() if _is_number(given) else given
    except (ValueError, OverflowError, OSError):
        return None


def _is_number(given: object) -> TypeGuard[float]:
    return isinstance(given, int | float)


def _from_minimal(rows: list[dict[str, object]]) -> JsonObject:
    first = rows[0]
    data = {key: value for key, value in first.items() if key not in _FACTS}
    annotations = [
        {
            "id": row.get("annotation_id"),
            "updated_at": row.get("updated_at"),
            "result": _minimal_items(row),
        }
        for row in rows
        if row.get("annotation_id") is not None
    ]
    return {"id": first.get("id"), "data": data, "annotations": annotations}


def _minimal_items(row: JsonObject) -> list[JsonObject]:
    """The result items of a row; those with equal drawings have one id."""
    ids: dict[tuple[str, int], str] = {}
    drawn: set[str] = set()
    found: list[tuple[str, str, JsonObject]] = []
    for name, given in row.items():
        values = given if isinstance(given, list) else [given]
        counts: dict[str, int] = {}
        for index, value in enumerate(values):
            if not isinstance(value, Mapping):
                continue
            drawing = _drawing(value)
            number = counts[drawing] = counts.get(drawing, 0) + 1
            own = ids.setdefault((drawing, number), f"{name}[{index}]")
            if drawing and not _ANSWERS & (value.keys() - {"type"}):
                drawn.add(own)
            found.append((own if drawing else f"{name}[{index}]", name, value))
    return [_from_value(value, name, own, is_said=own in drawn) for own, name, value in found]


def _drawing(value: JsonObject) -> str:
    """What a value draws, as text; "" for nothing."""
    own = {key: part for key, part in value.items() if key not in _ANSWERS}
    if not any(shape.value_key in own for shape in SHAPES):
        return ""
    return json.dumps({key: part for key, part in own.items() if not key.endswith("labels")})


def _from_value(value: JsonObject, name: str, number: str, *, is_said: bool) -> JsonObject:
    """A result item. Its type is that of its labels or answer; without them, its value tells its
    shape. ``is_said``: whether another item draws the region, and this one may only be said of it."""
    labels = (key for key in value if key.endswith("labels") and key != "labels")
    kind = next(labels, "")
    if not kind and (is_said or not _drawing(value)):
        said = {"labels": "labels", **{key: kind for kind, key in ANSWERS.items()}}
        kind = next((said[key] for key in said if key in value), "")
    if not kind:
        kind = next((shape.kind for shape in SHAPES if shape.value_key in value), "other")
    return {
        "id": number,
        "from_name": name,
        "type": kind,
        "original_width": value.get("original_width"),
        "original_height": value.get("original_height"),
        "value": value,
    }
