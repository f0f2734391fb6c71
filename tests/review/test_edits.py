"""What clients may ask for."""

from __future__ import annotations

import json

import pytest

from prelabel.errors import UserError
from prelabel.review.edits import MoveEdit, NameEdit, SplitEdit, read_request
from support.messages import assert_says


def test_read_request__knows_the_kinds() -> None:
    assert read_request(b'{"kind":"name","classes":[1],"name":" cafe\xcc\x81 "}') == NameEdit(
        [1], "café"
    )
    assert read_request(b'{"kind":"split","class":3,"parts":2}') == SplitEdit(3, parts=2)
    assert read_request(b'{"kind":"move","regions":[1,2],"class":null}') == MoveEdit([1, 2])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not an edit"),
        (b"[]", "not an edit"),
        (b'{"kind":"paint"}', "paint"),
        (b'{"kind":"name","classes":[1]}', "name"),
        (b'{"kind":"name","classes":[],"name":"x"}', "length >= 1"),
        (b'{"kind":"name","classes":["1"],"name":"x"}', "classes"),
        (b'{"kind":"name","classes":[1.5],"name":"x"}', "classes"),
        (b'{"kind":"name","classes":[1],"name":""}', "empty"),
        (b'{"kind":"name","classes":[1],"name":" \\t "}', "empty"),
        (b'{"kind":"name","classes":[1],"name":"a\\nb"}', "control character"),
        (b'{"kind":"name","classes":[1],"name":"' + b"x" * 201 + b'"}', "201 characters"),
        (
            '{"kind":"name","classes":[1],"name":"a%s"}'.replace(
                "%s", "\u0315\u0300" * 200_000
            ).encode(),
            "400001 characters",
        ),
        (b'{"kind":"merge","classes":[1,2],"into":1}', "journal alone"),
        (b'{"kind":"move","regions":[1],"class":null,"created":4}', "journal alone"),
        (b'{"kind":"undo","more":1}', "more"),
        (b'{"kind":"move","regions":' + b"[" * 5000 + b"]" * 5000 + b"}", "not an edit"),
    ],
)
def test_read_request__refuses_with_one_line(body: bytes, says: str) -> None:
    with pytest.raises(UserError) as error:
        read_request(body)
    assert_says(error.value, says)


def test_read_request__takes_names_that_look_like_markup_as_text() -> None:
    name = "<img src=x onerror=alert(1)>&\"'`${1}"
    body = json.dumps({"kind": "name", "classes": [0], "name": name}).encode()
    assert read_request(body) == NameEdit([0], name)
