"""Files: atomic replacement, and where the cache lies."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from prelabel.storage.files import (
    cache_folder,
    data_folder,
    is_file,
    is_folder,
    open_file,
    read_file,
    remove_leftovers,
    replacing,
    replacing_files,
    write_again_if_removed,
)


def test_replacing__all_or_nothing(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "a.txt"
    with replacing(file) as beside:
        beside.write_text("one")
        assert beside.parent == file.parent
        assert not file.exists()
    assert file.read_text() == "one"
    with pytest.raises(RuntimeError), replacing(file) as beside:
        beside.write_text("tw")
        raise RuntimeError
    assert file.read_text() == "one"
    assert list(file.parent.iterdir()) == [file]


def test_replacing__two_at_once_do_not_meet(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "a") as two:
        assert one != two
        one.write_text("one")
        two.write_text("two")
    assert (tmp_path / "a").read_text() == "one"  # the last to end
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("folder", "own", "common", "default"),
    [
        (cache_folder, "PRELABEL_CACHE", "XDG_CACHE_HOME", ".cache"),
        (data_folder, "PRELABEL_HOME", "XDG_DATA_HOME", ".local/share"),
    ],
)
def test_folders__from_the_environment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: Callable[[], Path],
    own: str,
    common: str,
    default: str,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(own, str(tmp_path / "c"))
    assert folder() == tmp_path / "c"
    assert not (tmp_path / "c").exists()
    monkeypatch.setenv(own, "~/mine")
    assert folder() == tmp_path / "mine"
    monkeypatch.delenv(own)
    monkeypatch.setenv(common, str(tmp_path / "x"))
    assert folder() == tmp_path / "x" / "prelabel"
    monkeypatch.delenv(common)
    assert folder() == tmp_path / default / "prelabel"


def test_replacing__names_the_file_of_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"a\.json"), replacing(tmp_path / "a.json"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_replacing_files__all_or_none_and_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a", "sub/b", "sub/other"):
        (tmp_path / name).write_text("old")
    with pytest.raises(RuntimeError), replacing_files(tmp_path) as beside:
        (beside / "a").write_text("half")
        raise RuntimeError
    assert (tmp_path / "a").read_text() == "old"
    with replacing_files(tmp_path) as beside:
        (beside / "sub" / "new").mkdir(parents=True)
        for name in ("a", "sub/b", "sub/new/c"):
            (beside / name).write_text("new")
    files = {
        f.relative_to(tmp_path).as_posix(): f.read_text()
        for f in tmp_path.rglob("*")
        if f.is_file()
    }
    assert files == {"a": "new", "sub/b": "new", "sub/other": "old", "sub/new/c": "new"}
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a", "sub"]


def test_replacing_files__two_at_once_do_not_meet(tmp_path: Path) -> None:
    with replacing_files(tmp_path) as one:
        (one / "a").write_text("one")
        with replacing_files(tmp_path) as two:
            (two / "b").write_text("two")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a", "b"]


def test_remove_leftovers__old_ones_where_others_may_be_writing(tmp_path: Path) -> None:
    (tmp_path / ".tmp-1").mkdir()
    (tmp_path / ".tmp-1" / "half").touch()
    old, new = tmp_path / ".tmp-2.json", tmp_path / ".tmp-3.json"
    kept = tmp_path / "kept"
    for file in (old, new, kept):
        file.touch()
    for path in (old, tmp_path / ".tmp-1"):
        os.utime(path, (0, 0))
    remove_leftovers(tmp_path, older_than=3600)
    assert sorted(tmp_path.iterdir()) == [new, kept]
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [kept]


@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_write_again_if_removed(tmp_path: Path, times: int) -> None:
    file = tmp_path / "folder" / "a"
    removals = [None] * times

    def write(beside: Path) -> None:
        beside.write_text("whole")
        if removals:
            removals.pop()
            shutil.rmtree(tmp_path / "folder")

    if times < 3:
        write_again_if_removed(file, write)
        assert file.read_text() == "whole"
    else:
        with pytest.raises(FileNotFoundError):
            write_again_if_removed(file, write)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "x" * 300, "gone"])
def test_is_file__of_a_name_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    assert not is_file(tmp_path / name)
    assert not is_folder(tmp_path / name)
    (tmp_path / "x").touch()
    assert (is_file(tmp_path / "x"), is_folder(tmp_path / "x")) == (True, False)
    assert (is_file(tmp_path), is_folder(tmp_path)) == (False, True)


def test_open_file__is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert read_file(tmp_path / "file") == b"abc"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to(os.devnull)
    for name in ("pipe", "device"):
        with pytest.raises(OSError, match="is not a file"):
            open_file(tmp_path / name)
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none")
