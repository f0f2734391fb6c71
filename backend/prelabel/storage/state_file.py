"""Small files that hold one record, as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from prelabel.errors import UserError
from prelabel.storage.files import replacing

T = TypeVar("T", bound=msgspec.Struct)


def read_record(file: Path, kind: type[T], *, remedy: str) -> T:
    """The record in a file; without the file, one with all its defaults.

    ``remedy``: what to do about a damaged one, which raises UserError.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except FileNotFoundError:
        return kind()
    except msgspec.DecodeError as error:
        raise UserError(f"{file} is damaged ({error}): {remedy}") from error


def write_record(file: Path, record: msgspec.Struct) -> None:
    """Replace the file; one whose record has all its defaults is removed. Raises OSError."""
    if record == type(record)():
        file.unlink(missing_ok=True)
        return
    with replacing(file) as beside:
        beside.write_bytes(msgspec.json.encode(record))
