"""Files: atomic replacement, and where the cache lies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from prelabel.storage.files import cache_folder, data_folder, replacing


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
