"""JSON into typed records."""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec

T = TypeVar("T")


def decode(data: bytes, wanted: type[T], *, otherwise: type[T] | None = None) -> T:
    """A dataclass, or whatever msgspec knows, from JSON.

    What msgspec alone refuses is taken too: NaN, and text with lone surrogates, as of names that are
    no UTF-8; as ``otherwise``, if ``wanted`` has parts that stay JSON. Raises ValueError (json's own for what is no JSON, else with the place of what is of
    another type) or RecursionError.
    """
    try:
        return msgspec.json.decode(data, type=wanted)
    except msgspec.DecodeError:
        try:
            return msgspec.convert(json.loads(data), otherwise or wanted)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error
