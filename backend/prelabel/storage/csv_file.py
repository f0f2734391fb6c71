"""Tables for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from prelabel.storage.files import replacing
from prelabel.storage.text import one_line

_FORMULA = ("=", "+", "-", "@")


def write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table. A text that a spreadsheet would compute as a formula, such as a photo's name that
    begins with ``=``, gets an apostrophe before it, by which spreadsheets know text; numbers stay. What
    would begin a line is escaped as in messages."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows([_cell(value) for value in row] for row in rows)
    with replacing(file) as beside:
        beside.write_text(text.getvalue(), encoding="utf-8")


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
