"""Decoding the bodies of requests: what is kept of them, and the limits."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prelabel.errors import UserError
from prelabel.label_studio.server import requests
from prelabel.label_studio.server.requests import (
    EventRequest,
    PredictRequest,
    SetupRequest,
    TaskRequest,
    checked_config,
    decode,
    read_object,
)
from support.messages import assert_says


def body(**more: object) -> bytes:
    return json.dumps({"tasks": [], "project": "1.1", "label_config": "<View/>", **more}).encode()


def nested(depth: int) -> bytes:
    """An object with lists within each other below one key."""
    return b'{"a": %s%s}' % (b"[" * (depth - 1), b"]" * (depth - 1))


def test_predict__keeps_what_is_used() -> None:
    task = {"id": 7, "project": 1, "data": {"image": "/a.png"}, "annotations": [{"id": "x"}]}
    context = {"result": [{"value": {"x": 5}}]}
    found = PredictRequest.decode(body(tasks=[task], params={"login": None, "context": context}))
    assert found == PredictRequest(
        "1.1", [TaskRequest(7, "1", b'{"image": "/a.png"}')], "<View/>", context
    )
    assert PredictRequest.of("1.1", [task], "<View/>", context) == found


@pytest.mark.parametrize("params", [None, {}, {"context": None}, {"login": "x"}])
def test_predict__without_a_prompt(params: object) -> None:
    found = PredictRequest.decode(body(tasks=[{"id": 1}], params=params, label_config=None))
    assert found == PredictRequest("1.1", [TaskRequest(1, "", b"{}")], "", None)


def test_predict__annotations_and_drafts_take_no_memory() -> None:
    """As objects they would take twenty times as much as the text."""
    heavy = b"[" + b"[]," * 2_000_000 + b"[]]"
    text = b'{"tasks":[{"id":1,"annotations":%s,"drafts":%s,"data":{"a":1}}]}' % (heavy, heavy)
    tracemalloc.start()
    try:
        (task,) = PredictRequest.decode(text).tasks
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert task.data == b'{"a":1}'
    assert peak < 1_000_000


def test_predict__a_task_that_is_nested_deeply_does_not_cost_the_others() -> None:
    """Label Studio imports such a task."""
    deep = nested(500)
    text = b'{"tasks":[{"id":1,"data":%s},{"id":2,"data":{"a":1}}]}' % deep
    one, other = PredictRequest.decode(text).tasks
    with pytest.raises(UserError, match=r"task 1: .*nested more than 64 deep"):
        read_object(one.data, "task 1")
    assert one.to_json() == {"id": 1, "data": {}}
    assert other.to_json() == {"id": 2, "data": {"a": 1}}


def test_predict__a_prompt_that_is_nested_deeply_is_refused() -> None:
    text = b'{"tasks":[],"params":{"context":%s}}' % nested(65)
    with pytest.raises(UserError, match=r"params.context: .*nested"):
        PredictRequest.decode(text)


@pytest.mark.parametrize("depth", [900, 100_000])
def test_decode__nesting_beyond_the_decoder(depth: int) -> None:
    for key in (b"annotations", b"data"):
        text = b'{"tasks":[{"id":1,"%s":%s}]}' % (key, nested(depth + 200))
        with pytest.raises(UserError, match="nested too deeply"):
            PredictRequest.decode(text)


@pytest.mark.parametrize("half", ["\\ud83d", "\\uDC00", "\\udc00\\ud83d", "\\ud83d\\\\"])
def test_predict__half_a_character_does_not_cost_the_others(half: str) -> None:
    """Label Studio imports such a task."""
    text = (
        '{"tasks":[{"id":1,"annotations":["%s"],"data":{"a":"%s", "b":"\\ud83d\\ude00"}},{"id":2}]}'
    )
    one, other = PredictRequest.decode((text % (half, half)).encode()).tasks
    assert (one.id, other.id) == (1, 2)
    found = read_object(one.data, "task 1")
    assert found["b"] == "\U0001f600"
    assert str(found["a"]).startswith("\ufffd")


def test_predict__too_many_tasks() -> None:
    most = requests.MOST_TASKS
    assert len(PredictRequest.decode(body(tasks=[{"id": 1}] * most)).tasks) == most
    with pytest.raises(UserError, match="more than 20000 tasks at once"):
        PredictRequest.decode(body(tasks=[{"id": 1}] * (most + 1)))
    assert PredictRequest.decode(body(tasks=[{"id": 1}])).tasks  # counted for each request


@pytest.mark.parametrize(
    "text",
    [
        b'{"tasks":[{"id":%d}]}' % 10**30,
        b'{"tasks":[{"id":1%s}]}' % (b"0" * 5000),
        b'{"tasks":[{"id":-1}]}',
        b'{"tasks":[{"id":true}]}',
        b'{"tasks":[{"id":1.5}]}',
        b'{"tasks":[{"id":1,"data":{"a":NaN}}]}',
        b'{"tasks":[],"project":[]}',
        b'{"tasks":[]}{}',
        b'{"tasks":[]',
        b"\xef\xbb\xbf{}",
    ],
)
def test_predict__what_is_not_valid_is_refused(text: bytes) -> None:
    with pytest.raises(UserError):
        PredictRequest.decode(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.sampled_from(["tasks", "project", "label_config", "params", "action", "task", "schema"]),
        JSON,
    )
)
def test_decode__gives_a_record_or_a_user_error(facts: dict[str, Any]) -> None:
    text = json.dumps(facts).encode()
    decoders: list[Callable[[], object]] = [
        lambda: PredictRequest.decode(text),
        lambda: EventRequest.decode(text),
        lambda: decode(text, SetupRequest),
    ]
    for decoder in decoders:
        try:
            decoder()
        except UserError as error:
            assert "\n" not in str(error)


@given(JSON)
def test_read_object__as_json_reads_it(value: object) -> None:
    found = read_object(json.dumps({"a": value}).encode(), "task 1")
    assert repr(found) == repr({"a": value})
    assert read_object(json.dumps([value]).encode(), "task 1") == {}


def test_read_object__limits() -> None:
    assert read_object(nested(64), "task 1")
    with pytest.raises(UserError, match="nested more than 64"):
        read_object(nested(65), "task 1")
    photo = b"data:image/png;base64," + b"A" * 5_000_000
    assert read_object(b'{"image": "%s"}' % photo, "task 1") == {"image": photo.decode()}
    with pytest.raises(UserError, match="too many parts"):
        read_object(b'{"a": [%s0]}' % (b"[]," * 400_000), "task 1")
    with pytest.raises(UserError, match="not JSON"):
        read_object(b"{", "task 1")


@given(
    st.lists(st.sampled_from(['a"b', "\\", '\\\\"', "x", "", "\U0001f600", 1])), st.integers(2, 9)
)
def test_read_object__parts_are_counted_beside_texts(values: list[object], at_once: int) -> None:
    text = json.dumps({"a": values}).encode()
    size = len(re.sub(rb'"(?:[^"\\]|\\.)*"', b'""', text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "_AT_ONCE", at_once)
        patch.setattr(requests, "_STRUCTURE", size)
        assert read_object(text, "task 1") == {"a": values}
        patch.setattr(requests, "_STRUCTURE", size - 1)
        with pytest.raises(UserError, match="too many parts"):
            read_object(text, "task 1")


WIDE = b"\\ud83d\\ude00" + b"a" * 5_000_000
"""A text that takes four bytes for each character once it is decoded."""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'{"tasks":[],"params":{"context":{"result":[%s0]}}}' % (b"[]," * 2_000_000), "at most 1 MB"),
        (b'{"tasks":[],"params":{"context":{"a":"%s"}}}' % WIDE, "at most 1 MB"),
        (b'{"tasks":[],"project":"%s"}' % WIDE, "project: has 5000014 bytes"),
        (b'{"tasks":[{"id":1,"project":"%s"}]}' % WIDE, "project: has 5000014 bytes"),
        (b'{"tasks":[],"label_config":"%s%s%s"}' % (WIDE, WIDE, WIDE), "at most 1 million"),
    ],
    ids=["parts", "prompt", "project", "task", "config"],
)  # fmt: skip
def test_predict__what_is_too_long_is_not_decoded(text: bytes, says: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=says):
            PredictRequest.decode(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_predict__a_task_that_is_too_large_does_not_cost_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requests, "_TASK", 100)
    monkeypatch.setattr(requests, "_TASKS", 300)
    large, small = {"id": 1, "data": {"a": "x" * 10_000}}, {"id": 2, "data": {"a": "x"}}
    one, other = PredictRequest.decode(body(tasks=[large, small])).tasks
    assert len(one.data) == 101
    with pytest.raises(UserError, match="task 1: its data have more than"):
        read_object(one.data, "task 1")
    assert read_object(other.data, "task 2") == small["data"]
    with pytest.raises(UserError, match="send fewer tasks at once"):
        PredictRequest.decode(body(tasks=[large] * 3))


def test_predict__millions_of_half_characters_cost_no_memory() -> None:
    text = bytearray(b'{"tasks":[{"id":1,"data":{"a":"%s"}}]}' % (rb"\ud83d" * 200_000))
    tracemalloc.start()
    try:
        (task,) = PredictRequest.decode(text).tasks
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert task.data == b'{"a":"%s"}' % (rb"\ufffd" * 200_000)
    assert peak < 2 * len(text)


def test_event__keeps_numbers_alone() -> None:
    annotation = {"id": 3, "task": 5, "result": [{"value": {"rle": [1, 2]}}], "unique_id": "x"}
    event = {"action": "ANNOTATION_CREATED", "annotation": annotation, "task": {"id": 5, "data": 1}}
    found = EventRequest.decode(json.dumps(event).encode())
    assert found.action == "ANNOTATION_CREATED"
    assert found.payload == {"annotation": {"id": 3, "task": 5}, "task": {"id": 5}}
    several = {"annotations": [{"id": 3}, {"id": 4}], "project": {"id": 1, "title": "x"}}
    found = EventRequest.decode(json.dumps(several).encode())
    assert found.payload == {"annotations": [{"id": 3}, {"id": 4}], "project": {"id": 1}}
    many: dict[str, list[object]] = {"annotations": [{}] * 20_001}
    with pytest.raises(UserError, match="more than 20000"):
        EventRequest.decode(json.dumps(many).encode())
    with pytest.raises(UserError, match="action: has"):
        EventRequest.decode(b'{"action":"%s"}' % WIDE)


def test_checked_config() -> None:
    assert checked_config(None) == ""
    assert checked_config("x" * 1_000_000)
    with pytest.raises(UserError) as raised:
        checked_config("x" * 1_000_001)
    assert_says(str(raised.value), "label config", "1 million")
