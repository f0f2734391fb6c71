"""Small files that hold one record."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from prelabel.errors import UserError
from prelabel.storage.state_file import read_record, write_record
from support.messages import assert_says


class Record(msgspec.Struct):
    names: tuple[str, ...] = ()
    number: int | None = None


def test_read_record__gives_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    assert read_record(file, Record, remedy="") == Record()
    write_record(file, Record(("a", "ü"), 3))
    assert read_record(file, Record, remedy="") == Record(("a", "ü"), 3)


def test_write_record__one_without_anything_leaves_no_file(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    write_record(file, Record(number=1))
    write_record(file, Record())
    write_record(file, Record())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", '{"number": "three"}', "[]"])
def test_read_record__names_a_damaged_file_and_the_remedy(tmp_path: Path, text: str) -> None:
    file = tmp_path / "record.json"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        read_record(file, Record, remedy="remove it")
    assert_says(caught.value, "record.json", "damaged", "remove it")
