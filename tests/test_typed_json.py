"""JSON into typed records: what is taken, and what is said of the rest."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import pytest

from prelabel.typed_json import decode


@dataclass(frozen=True)
class Item:
    name: str
    score: float = 0.0
    rest: Any = None


def test_decode__what_json_knows_beyond_msgspec() -> None:
    assert decode(b'{"name": "x", "score": 1, "other": []}', Item) == Item("x", 1.0)
    assert math.isnan(decode(b'{"name": "x", "rest": NaN}', Item).rest)
    # A file's name that is no UTF-8, as Python's json writes it.
    name = b"\xff.jpg".decode("utf-8", "surrogateescape")
    assert decode(json.dumps({"name": name}).encode(), Item) == Item(name)
    assert decode(b'\xef\xbb\xbf{"name": "x"}', Item) == Item("x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"name": "x"', "delimiter"),
        (b"", "Expecting value"),
        (b'{"name": 1}', r"Expected `str`, got `int` - at `\$.name`"),
        (b"{}", "missing required field `name`"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"name": "\xff"}', "utf-8"),
    ],
)
def test_decode__what_is_wrong_is_named(text: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode(text, Item)


def test_decode__nested_too_deep() -> None:
    with pytest.raises(RecursionError):
        decode(b"[" * 100_000, Item)
