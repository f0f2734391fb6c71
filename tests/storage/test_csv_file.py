"""Tables for spreadsheets."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from prelabel.storage.csv_file import write_csv


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+a.jpg", "'+a.jpg"),
        ("-b.jpg", "'-b.jpg"),
        ("@c.jpg", "'@c.jpg"),
        ('=HYPERLINK("x,y")', '\'=HYPERLINK("x,y")'),
        ("a=b.jpg", "a=b.jpg"),
        ("a\r=1\n=2", r"a\r=1\n=2"),
        ("\t=1", r"\t=1"),
        ("\udcff.jpg", r"\udcff.jpg"),
        ("", ""),
    ],
)
def test_write_csv__no_text_is_a_formula_or_a_line(tmp_path: Path, text: str, cell: str) -> None:
    write_csv(tmp_path / "t.csv", ["photo", "x"], [(text, -1.5)])
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["photo", "x"], [cell, "-1.5"]]


def test_write_csv__bytes_by_hand(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ("a", "b"), [("x, y", 1), ("ü", "0.5000")])
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == 'a,b\n"x, y",1\nü,0.5000\n'
