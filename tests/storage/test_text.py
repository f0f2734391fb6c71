"""Text for people: suggestions, one line, tables."""

from __future__ import annotations

import pytest

from prelabel.storage.text import (
    composed,
    error_line,
    nearest,
    one_line,
    table,
    what_was_expected,
)


def test_nearest__the_one_that_was_meant() -> None:
    hint = nearest("guided-filer", ["none", "guided-filter"])
    assert "'guided-filter'" in hint
    assert "none" not in hint


def test_nearest__all_of_them_where_none_is_near() -> None:
    assert nearest("xyz", ["b", "a"]).endswith("a, b")
    assert nearest("xyz", []).endswith("none")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\t", r"two\nlines\t"),
        ("ü ☃ 🐙", "ü ☃ 🐙"),
        ("a\u2028b", r"a\u2028b"),
        ("\udcff.jpg", r"\udcff.jpg"),
        (b"x", "b'x'"),
    ],
)
def test_one_line__escapes_what_would_not_print(text: object, shown: str) -> None:
    assert one_line(text) == shown


def test_composed__in_no_time_however_long() -> None:
    assert composed("a\u0301/u\u0308") == "á/ü"
    accents = "a" + "\u0315\u0300" * 200_000  # a quarter of an hour, if they were put in order
    assert composed(accents) == accents


def test_table__columns_as_wide_as_their_widest_cell() -> None:
    rows = [("name", "of", ""), ("a", "longer", "x")]
    assert table(rows).splitlines() == ["name  of", "a     longer  x"]


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError("disk full\nand more"), "OSError: disk full"),
        (ValueError(), "ValueError"),
        (KeyError("a"), "KeyError: 'a'"),
    ],
)
def test_error_line__type_and_first_line(error: Exception, shown: str) -> None:
    assert error_line(error) == shown


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (["Input should be a valid tuple"], "expected a list, as in [4, 8]"),
        (["Input should be greater than or equal to 2"], "expected at least 2"),
        (["Input should be less than 1"], "expected less than 1"),
        (
            ["Input should be a valid integer, unable to parse string as an integer"],
            "expected a whole number",
        ),
        (
            ["Tuple should have at least 1 item after validation, not 0"],
            "expected a list of at least 1 item, not of 0",
        ),
        (
            ["Input should be a valid integer", "Input should be 'auto'"],
            "expected a whole number or 'auto'",
        ),
        (["Value error, expected sizes that differ"], "expected sizes that differ"),
        (["something new"], "something new"),
    ],
)
def test_what_was_expected__in_our_words(messages: list[str], words: str) -> None:
    assert what_was_expected(messages) == words
