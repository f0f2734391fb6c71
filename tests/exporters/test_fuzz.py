"""Changed inputs of every reader: refused or read, and never anything else. ``fuzz_readers.py`` does the
same for as long as it is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fuzz_readers import fault_of, run
from support.fuzz_sources import READERS


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_fuzz__readers_refuse_or_read(name: str, tmp_path: Path) -> None:
    if name == "yolo":
        pytest.importorskip(
            "labelformat", reason="no labelformat: pip install 'prelabel[labelformat]'"
        )
    source = tmp_path / "sound"
    source.mkdir()
    reader = READERS[name]
    reader.make(source)
    reader.read(source)
    assert run(reader, source, seed=0, until=lambda number: number >= 60, keep=None) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", sorted(READERS.keys() - {"label-config"})
)  # that reads no file itself
def test_pipes__are_refused_and_not_waited_for(name: str, tmp_path: Path) -> None:
    if name == "yolo":
        pytest.importorskip(
            "labelformat", reason="no labelformat: pip install 'prelabel[labelformat]'"
        )
    reader = READERS[name]
    reader.make(tmp_path)
    faults = {}
    for file in [file for file in tmp_path.rglob("*") if file.is_file()]:
        kept = file.read_bytes()
        file.unlink()
        os.mkfifo(file)
        faults[file.name] = fault_of(reader, tmp_path)
        file.unlink()
        file.write_bytes(kept)
    assert set(faults.values()) == {""}, faults


def test_fuzz__a_fault_is_found(tmp_path: Path) -> None:
    from support.fuzz_sources import Reader

    (tmp_path / "x.txt").write_text("0123456789")

    def read(folder: Path) -> int:
        return int((folder / "x.txt").read_text(encoding="latin-1"))

    broken = Reader("broken", lambda _: None, read)
    faults = run(broken, tmp_path, seed=0, until=lambda number: number >= 10, keep=None)
    assert any("ValueError" in fault for fault in faults)
