"""The bodies of Label Studio's requests: what of them is used, decoded within limits.

What is not used, such as the annotations and drafts of a task, is passed over while decoding.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
import numpy as np

from prelabel.errors import UserError
from prelabel.storage.json import LONE_SURROGATE, JsonObject

T = TypeVar("T")
MOST_TASKS = 20_000
"""Tasks in one request."""
_DEPTH = 64
"""Lists and objects within each other, in a task's data or a prompt."""
_STRUCTURE = 1_000_000
"""Bytes of a task's data beside its strings: each may take 20 bytes once it is decoded."""
_LABEL_CONFIG = 1_000_000
"""Characters of a label config."""
_TASK = 10_000_000
"""Bytes of a task's data: once decoded, a text may take four times as much."""
_TASKS = 40_000_000
"""Bytes of the data of all tasks in a request."""
_PROMPT = 1_000_000
"""Bytes of what a person has drawn."""
_NAME = 1_000
"""Bytes of a project's name, an action or a time, as JSON."""
_AT_ONCE = 1 << 20
"""Bytes that are looked through in one step."""
_NULL = msgspec.Raw(b"null")
_NAMES: Any = int | str | None
_TEXTS: Any = str | None
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Counted(msgspec.Struct, gc=False):
    """Records whose number in a request is limited while they are decoded."""

    counts: ClassVar[threading.local] = threading.local()

    def __post_init__(self) -> None:
        self.counts.left -= 1
        if self.counts.left < 0:
            raise ValueError(f"more than {MOST_TASKS} tasks at once")


class _Task(_Counted, gc=False):
    id: _Number
    project: msgspec.Raw = _NULL
    data: msgspec.Raw = msgspec.Raw(b"{}")


class _Params(msgspec.Struct):
    context: msgspec.Raw = _NULL


class _Predict(msgspec.Struct):
    """Texts are raw: their length is checked before they are decoded."""

    tasks: list[_Task]
    project: msgspec.Raw = _NULL
    label_config: msgspec.Raw = _NULL
    params: _Params | None = None


class SetupRequest(msgspec.Struct):
    """The body of /setup. ``schema``: the label config's XML."""

    project: int | str | None = None
    schema: str | None = None
    hostname: str | None = None
    access_token: str | None = None


class VersionsRequest(msgspec.Struct):
    """The body of /versions."""

    project: int | str | None = None


class _Numbers(_Counted, gc=False, omit_defaults=True):
    """The numbers in a task or an annotation of an event; ``task``: the annotation's."""

    id: int | None = None
    task: int | None = None


class _Project(msgspec.Struct, omit_defaults=True):
    id: int | None = None
    created_at: msgspec.Raw = _NULL


class _Event(msgspec.Struct, omit_defaults=True):
    action: msgspec.Raw = _NULL
    project: _Project | None = None
    task: _Numbers | list[_Numbers] | None = None
    annotation: _Numbers | list[_Numbers] | None = None
    annotations: list[_Numbers] | None = None


@dataclass(frozen=True)
class EventRequest:
    """The body of /webhook: of what it tells, only numbers and the project's time are kept.
    ``payload``: everything but the action."""

    action: str
    payload: JsonObject

    @classmethod
    def decode(cls, body: bytes | bytearray) -> EventRequest:
        """From a request. Raises UserError."""
        found = decode(body, _Event)
        parts = ("task", "annotation", "annotations")
        kept = {part: value for part in parts if (value := getattr(found, part)) is not None}
        payload: dict[str, object] = msgspec.to_builtins(kept)
        if project := found.project:
            facts = {"id": project.id, "created_at": _name(project.created_at, "created_at")}
            payload["project"] = {key: value for key, value in facts.items() if value}
        return cls(_name(found.action, "action"), payload)


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """A task to predict. ``project``: "" where the task names none. ``data``: JSON text; of one that is
    too long, more than may be read."""

    id: int
    project: str
    data: bytes

    @classmethod
    def of(cls, task: JsonObject) -> TaskRequest:
        """A task as JSON has it. Raises UserError without a whole number as its id."""
        number = task.get("id")
        if not isinstance(number, int):
            raise UserError("tasks: expected a list of tasks with an id each")
        data = json.dumps(task.get("data"), default=str).encode()
        return cls(number, str(task.get("project") or ""), data)

    def to_json(self) -> JsonObject:
        """As JSON has it; without data where these are beyond the limits."""
        try:
            data = read_object(self.data, f"task {self.id}")
        except UserError:
            data = {}
        return {"id": self.id, "data": data}


@dataclass
class PredictRequest:
    """The body of /predict. ``project``, ``label_config``: "" where they are not given.
    ``context``: what a person has drawn, None without a prompt."""

    project: str
    tasks: list[TaskRequest]
    label_config: str
    context: JsonObject | None

    @classmethod
    def decode(cls, body: bytes | bytearray) -> PredictRequest:
        """From a request. Raises UserError."""
        try:
            found = decode(body, _Predict)
        except UserError as error:
            if "tasks`" in str(error) or "$.tasks" in str(error):
                text = f"tasks: expected a list of tasks with an id each ({error})"
                raise UserError(text) from None
            raise
        prompt = found.params.context if found.params else _NULL
        if (n := len(memoryview(prompt))) > _PROMPT:
            raise UserError(
                f"params.context: has {n / 1e6:.1f} MB, expected at most {_PROMPT / 1e6:.0f} MB"
            )
        context = bytes(prompt)
        return cls(
            _name(found.project, "project"),
            _copied(found.tasks),
            checked_config(_label_config(found.label_config)),
            read_object(context, "params.context") if context != b"null" else None,
        )

    @classmethod
    def of(
        cls,
        project: str,
        tasks: Sequence[JsonObject],
        label_config: str,
        context: JsonObject | None,
    ) -> PredictRequest:
        """From objects that are decoded already. Raises UserError."""
        return cls(project, [TaskRequest.of(t) for t in tasks], label_config, context)


def decode(body: bytes | bytearray, kind: type[T]) -> T:
    """A request's body. Half a character, which Label Studio may hold in the text of a task, costs the
    others nothing. Raises UserError; its message has nothing of the body."""
    _Counted.counts.left = MOST_TASKS
    try:
        return _decoded(body, kind)
    except msgspec.ValidationError as error:
        if str(error).startswith("Expected `object`") and " at " not in str(error):
            raise UserError("the request is not a JSON object") from None
        raise UserError(f"the request is not as Label Studio sends it: {error}") from None
    except RecursionError:
        raise UserError("the request is nested too deeply") from None
    except (msgspec.DecodeError, ValueError):  # ValueError: a number of thousands of digits
        raise UserError("the request is not JSON") from None


def _decoded(body: bytes | bytearray, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        if isinstance(error, msgspec.ValidationError) or not LONE_SURROGATE.search(body):
            raise
    whole = body if isinstance(body, bytearray) else bytearray(body)
    for half in LONE_SURROGATE.finditer(whole):  # in its place: there may be millions
        whole[half.start() : half.end()] = rb"\ufffd"
    _Counted.counts.left = MOST_TASKS
    return msgspec.json.decode(whole, type=kind)


def _name(text: msgspec.Raw, what: str) -> str:
    """A short text or a number, "" for null. Raises UserError."""
    if (n := len(memoryview(text))) > _NAME:
        raise UserError(f"{what}: has {n} bytes, expected at most {_NAME}")
    return str(decode(bytes(text), _NAMES) or "")


def _label_config(text: msgspec.Raw) -> str:
    """Raises UserError for one that cannot be short enough: an escaped character has 12 bytes."""
    if (n := len(memoryview(text))) > 12 * _LABEL_CONFIG:
        raise _long_config(n)
    return str(decode(bytes(text), _TEXTS) or "")


def _copied(tasks: Sequence[_Task]) -> list[TaskRequest]:
    """Tasks that keep nothing of the request. Raises UserError if they are too large together."""
    parts = [memoryview(task.data)[: _TASK + 1] for task in tasks]
    if (n := sum(map(len, parts))) > _TASKS:
        raise UserError(
            f"the tasks' data have {n / 1e6:.0f} MB together, expected at most {_TASKS / 1e6:.0f} MB: "
            "send fewer tasks at once"
        )
    names = [_name(task.project, "project") for task in tasks]
    return [
        TaskRequest(task.id, name, bytes(part))
        for task, name, part in zip(tasks, names, parts, strict=True)
    ]


def read_object(text: bytes, what: str) -> JsonObject:
    """A JSON object from elsewhere; {} for JSON of another type. ``what``: for the message. Raises
    UserError for what is nested deeply or has a great many parts, which would take a lot of memory."""
    if len(text) > _TASK:
        raise UserError(f"{what}: its data have more than {_TASK / 1e6:.0f} MB")
    if len(text) > _STRUCTURE and _has_many_parts(text):
        raise UserError(f"{what}: its data have too many parts: expected at most 1 MB beside texts")
    try:
        found = json.loads(text)
    except RecursionError:
        raise _too_deep(what) from None
    except ValueError:
        raise UserError(f"{what}: its data are not JSON") from None
    layer = [found]
    for _ in range(_DEPTH):
        layer = [v for outer in layer for v in _children(outer) if isinstance(v, dict | list)]
        if not layer:
            return found if isinstance(found, dict) else {}
    raise _too_deep(what)


def _has_many_parts(text: bytes) -> bool:
    """Whether JSON has more than ``_STRUCTURE`` bytes beside its strings; their quotes count, as short
    strings take memory too. It is looked through in steps, and only as far as necessary: nothing of
    its size is made of it."""
    n, inside, start = 0, 0, 0
    while start < len(text) and n <= _STRUCTURE:
        part = text[start : start + _AT_ONCE]
        if (len(part) - len(part.rstrip(b"\\"))) % 2:
            part = text[start : start + _AT_ONCE + 1]  # what an escape stands for
        start += len(part)
        plain = part.replace(b"\\\\", b"").replace(b'\\"', b"")
        if b'"' not in plain:
            n += 0 if inside else len(plain)
            continue
        quotes = np.frombuffer(plain, dtype=np.uint8) == ord('"')
        within = (np.cumsum(quotes, dtype=np.int32) + inside) % 2 == 1
        n += np.count_nonzero(quotes | ~within)
        inside = int(within[-1])
    return n > _STRUCTURE


def checked_config(label_config: str | None) -> str:
    """A label config that is not too long to be parsed at once. Raises UserError."""
    found = label_config or ""
    if len(found) > _LABEL_CONFIG:
        raise _long_config(len(found))
    return found


def _long_config(n: int) -> UserError:
    return UserError(
        f"label config: has {n / 1e6:.1f} million characters, expected at most "
        f"{_LABEL_CONFIG / 1e6:.0f} million: take some of its labels out"
    )


def _children(value: object) -> Collection[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep(what: str) -> UserError:
    return UserError(f"{what}: its data are nested more than {_DEPTH} deep: expected a flat object")
