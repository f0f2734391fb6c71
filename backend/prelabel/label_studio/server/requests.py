"""The bodies of Label Studio's requests: what of them is used, decoded within limits.

What is not used, such as the annotations and drafts of a task, is passed over while decoding.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeVar

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
_AT_ONCE = 1 << 20
"""Bytes that are looked through in one step."""
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
    project: int | str | None = None
    data: msgspec.Raw = msgspec.Raw(b"{}")


class _Params(msgspec.Struct):
    context: msgspec.Raw = msgspec.Raw(b"null")


class _Predict(msgspec.Struct):
    tasks: list[_Task]
    project: int | str | None = None
    label_config: str | None = None
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
    created_at: str | None = None


class EventRequest(msgspec.Struct, omit_defaults=True):
    """The body of /webhook: of what it tells, only numbers are kept."""

    action: str = ""
    project: _Project | None = None
    task: _Numbers | list[_Numbers] | None = None
    annotation: _Numbers | list[_Numbers] | None = None
    annotations: list[_Numbers] | None = None

    @property
    def payload(self) -> JsonObject:
        """Everything but the action."""
        facts: dict[str, object] = msgspec.to_builtins(self)
        facts.pop("action", None)
        return facts


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """A task to predict. ``project``: "" where the task names none. ``data``: JSON text."""

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
        context = bytes(found.params.context) if found.params else b"null"
        return cls(
            str(found.project or ""),
            [TaskRequest(t.id, str(t.project or ""), bytes(t.data)) for t in found.tasks],
            checked_config(found.label_config),
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
        whole = body
        if not isinstance(error, msgspec.ValidationError):
            whole = LONE_SURROGATE.sub(rb"\\ufffd", body)
        if whole == body:
            raise
        _Counted.counts.left = MOST_TASKS
        return msgspec.json.decode(whole, type=kind)


def read_object(text: bytes, what: str) -> JsonObject:
    """A JSON object from elsewhere; {} for JSON of another type. ``what``: for the message. Raises
    UserError for what is nested deeply or has a great many parts, which would take a lot of memory."""
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
        raise UserError(
            f"label config: has {len(found) / 1e6:.1f} million characters, expected at most "
            f"{_LABEL_CONFIG / 1e6:.0f} million: take some of its labels out"
        )
    return found


def _children(value: object) -> Collection[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep(what: str) -> UserError:
    return UserError(f"{what}: its data are nested more than {_DEPTH} deep: expected a flat object")
