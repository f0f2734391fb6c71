"""Text for people: suggestions, one line, tables."""

from __future__ import annotations

import pytest

from prelabel.storage.text import composed, error_line, nearest, one_line, table


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
