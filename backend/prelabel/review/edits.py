"""Edits: what a client asks for, and what the journal keeps of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Annotated

import msgspec

from prelabel.errors import UserError
from prelabel.storage.text import composed

Ids = Annotated[list[int], msgspec.Meta(min_length=1)]
MOST_CHARACTERS = 200
"""In a name."""
MOST_PARTS = 32
"""That a class is split into at once."""


class NameEdit(msgspec.Struct, tag="name", tag_field="kind", forbid_unknown_fields=True):
    """Give classes a name."""

    classes: Ids
    name: str


class BackgroundEdit(
    msgspec.Struct, tag="background", tag_field="kind", forbid_unknown_fields=True
):
    """Say that classes are no objects."""

    classes: Ids


class MergeEdit(msgspec.Struct, tag="merge", tag_field="kind", forbid_unknown_fields=True):
    """Make one class of several. ``into``: which one stays; chosen by the board."""

    classes: Ids
    into: int | None = None


class SplitEdit(msgspec.Struct, tag="split", tag_field="kind", forbid_unknown_fields=True):
    """Split a class: ``parts`` are found by k-means, or ``regions`` leave it. ``created``: what
    became of it, each new class with its regions; filled in by the board."""

    class_: int = msgspec.field(name="class")
    parts: int | None = None
    regions: Ids | None = None
    created: dict[int, list[int]] | None = None


class MoveEdit(msgspec.Struct, tag="move", tag_field="kind", forbid_unknown_fields=True):
    """Move regions to a class; None for a new one. ``created``: its id; filled in by the board."""

    regions: Ids
    class_: int | None = msgspec.field(name="class", default=None)
    created: int | None = None


class UndoEdit(msgspec.Struct, tag="undo", tag_field="kind", forbid_unknown_fields=True):
    """Take the last edit back that was not taken back yet."""


Edit = NameEdit | BackgroundEdit | MergeEdit | SplitEdit | MoveEdit | UndoEdit
_INNER = {"into", "created"}
"""What only the board may say."""


def read_request(body: bytes) -> Edit:
    """What a client asks for. Raises UserError."""
    try:
        edit: Edit = msgspec.json.decode(body, type=Edit)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UserError(f"not an edit: {error}") from error
    if any(getattr(edit, field, None) is not None for field in _INNER):
        raise UserError("not an edit: `into` and `created` are for the journal alone")
    if isinstance(edit, NameEdit):
        edit.name = checked_name(edit.name)
    return edit


def checked_name(name: str) -> str:
    """A name in composed characters, without spaces around it. Raises UserError."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UserError("the name is not valid text: type it again") from None
    name = composed(name).strip()
    if not name:
        raise UserError("the name is empty: expected some characters, or Delete for background")
    if len(name) > MOST_CHARACTERS:
        raise UserError(f"the name has {len(name)} characters, expected at most {MOST_CHARACTERS}")
    if any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in name):
        raise UserError("the name holds a control character such as a line feed: leave it out")
    return name


def described(edit: Edit, names: Sequence[str]) -> str:
    """An edit for people. ``names``: how the classes that it is about are called."""
    those = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    match edit:
        case NameEdit():
            return f"name {edit.name}: {those}"
        case BackgroundEdit():
            return f"background: {those}"
        case MergeEdit():
            return f"merge {those}"
        case SplitEdit():
            return f"split {those}"
        case MoveEdit():
            n = len(edit.regions)
            return f"move {n} region{'s' * (n != 1)} to {those or 'a new class'}"
        case UndoEdit():
            return "undo"
