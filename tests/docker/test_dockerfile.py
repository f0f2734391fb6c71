"""The reader of Dockerfiles and of .dockerignore that the tests of docker/ use."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.dockerfile import Instruction, environment, ignored, parse


def test_parse__lines_are_joined_and_flags_taken_off() -> None:
    text = 'FROM a:1 AS b\n# no\nRUN --mount=type=cache,target=/c x \\\n  # no\n  && y\nCMD ["--z"]'
    assert parse(text) == [
        Instruction("FROM", {}, "a:1 AS b", 0),
        Instruction("RUN", {"mount": "type=cache,target=/c"}, "x && y", 0),
        Instruction("CMD", {}, '["--z"]', 0),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("RUN x", "no FROM"),
        ("FROM a\nRUNN x", "line 2: 'RUNN'"),
        ("FROM a\nRUN <<EOF\nx\nEOF", "line 2: heredocs"),
        ("FROM a\n\nRUN x \\", "line 3: does not end"),
        ("# escape=`\nFROM a", "line 1: parser directives"),
        ("FROM a\nUSER", "line 2: USER without"),
    ],
)
def test_parse__what_is_not_understood_is_an_error(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse(text)


@pytest.mark.parametrize(
    ("path", "patterns", "answer"),
    [
        ("a/b.py", ["*"], True),  # a folder it is in matches
        ("a/b.py", ["*", "!a"], False),
        ("a/c/b.pyc", ["*", "!a", "**/*.pyc"], True),
        ("a/b.py", ["b.py"], False),  # from the root, unlike .gitignore
        ("b.py", ["**/b.py"], True),
        ("a/b.py", ["a/b.py", "!a/b.py"], False),
        ("ab/c", ["a?/*"], True),
        ("a.b", ["a-b", "a.?c"], False),
    ],
)
def test_ignored__as_the_builder_does_it(path: str, patterns: list[str], answer: bool) -> None:
    assert ignored(path, patterns) is answer


@given(st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=4))
def test_ignored__last_match_counts(parts: list[str]) -> None:
    path = "/".join(parts)
    assert ignored(path, ["*"])
    assert not ignored(path, ["*", f"!{parts[0]}"])
    assert ignored(path, ["*", f"!{parts[0]}", path])


def test_environment__later_ones_see_earlier_ones_and_the_builders_argument_wins() -> None:
    found = parse("FROM a\nARG X=1\nENV A=b C=$X\nENV PATH=/opt/${A}:${PATH}\nFROM a\nENV D=e")
    assert environment(found, stage=0, start={"PATH": "/bin", "X": "2"}) == {
        "PATH": "/opt/b:/bin",
        "X": "2",
        "A": "b",
        "C": "2",
    }
