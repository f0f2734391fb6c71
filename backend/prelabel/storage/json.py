"""Typed records from JSON and back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec
import numpy as np

T = TypeVar("T")
LONE_SURROGATE = re.compile(
    rb"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|[c-fC-F](?<!\\u[dD][89abAB]..\\u[dD].)..)"
)
"""In JSON's bytes: the first half of a pair without the second, or the second without the first."""
JsonObject = Mapping[str, object]
"""An object in JSON from elsewhere, whose values may be of any type."""


def decode(data: bytes, kind: type[T]) -> T:
    """A struct, or whatever msgspec knows, from JSON.

    What msgspec alone refuses is taken too: NaN, and text with lone surrogates, as of names that are
    not UTF-8. Raises ValueError (json's own for what is not JSON, else with the place of what is of
    another type) or RecursionError.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError:
        try:
            return msgspec.convert(json.loads(data), kind)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error


def encode(record: msgspec.Struct) -> bytes:
    """The JSON that ``decode`` reads, on one line. NumPy's numbers are taken as Python's; NaN and
    infinities, which JSON does not have, become null."""
    try:
        return msgspec.json.encode(record, enc_hook=_plain)
    except UnicodeEncodeError:  # lone surrogates
        plain = msgspec.to_builtins(record, enc_hook=_plain)
        return json.dumps(plain, separators=(",", ":")).encode("ascii")


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
