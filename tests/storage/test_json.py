"""Typed records from JSON and back: what is accepted, and the errors for the rest."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest

from prelabel.storage.json import decode, encode


@dataclass(frozen=True)
class Item:
    name: str
    score: float = 0.0
    rest: Any = None


def test_decode__json_that_msgspec_refuses() -> None:
    assert decode(b'{"name": "x", "score": 1, "other": []}', Item) == Item("x", 1.0)
    assert math.isnan(decode(b'{"name": "x", "rest": NaN}', Item).rest)
    # A file's name that is not UTF-8, as Python's json writes it.
    name = b"\xff.jpg".decode("utf-8", "surrogateescape")
    assert decode(json.dumps({"name": name}).encode(), Item) == Item(name)
    assert decode(b'\xef\xbb\xbf{"name": "x"}', Item) == Item("x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"name": "x"', "delimiter"),
        (b"", "Expecting value"),
        (b'{"name": 1}', r"Expected `str`, got `int` - at `\$.name`"),
        (b"{}", "missing required field `name`"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"name": "\xff"}', "utf-8"),
    ],
)
def test_decode__what_is_wrong_is_named(text: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(text, Item)


class Row(msgspec.Struct):
    name: str
    score: float
    n: int = 0


@pytest.mark.parametrize("name", ["x", "ü\n\u2028", b"\xff.jpg".decode("utf-8", "surrogateescape")])
def test_encode__what_decode_reads(name: str) -> None:
    row = Row(name, np.float64(0.1), np.int64(3))  # type: ignore[arg-type]
    text = encode(row)
    assert b"\n" not in text
    assert json.loads(text) == {"name": name, "score": 0.1, "n": 3}
    assert decode(text, Row) == Row(name, 0.1, 3)
    assert decode(encode(Row(name, np.float32(0.5))), Row).score == 0.5  # type: ignore[arg-type]


def test_encode__values_that_json_does_not_have() -> None:
    with pytest.raises(TypeError, match="object cannot be written as JSON"):
        encode(Row("x", object()))  # type: ignore[arg-type]


def test_decode__nested_too_deep() -> None:
    with pytest.raises(RecursionError):
        decode(b"[" * 100_000, Item)
