"""Files: atomic replacement, where the cache lies and its limit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from prelabel.errors import UserError
from prelabel.storage.files import cache_folder, data_folder, prune_cache, replacing


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


def _store(cache: Path, name: str, *, kilobytes: int, used: int) -> Path:
    store = cache / name
    store.mkdir(parents=True)
    (store / "a.safetensors").write_bytes(b"\0" * (kilobytes * 1000))
    os.utime(store, (used, used))
    return store


def test_prune_cache__the_longest_unused_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path))
    oldest = _store(tmp_path, "features/a", kilobytes=4, used=100)
    older = _store(tmp_path, "segments/b", kilobytes=4, used=200)
    newer = _store(tmp_path, "features/c", kilobytes=4, used=300)
    weights = _store(tmp_path, "weights", kilobytes=4, used=1)
    monkeypatch.setenv("PRELABEL_CACHE_GB", "0.000009")
    prune_cache(keep=oldest)  # in use, though its date is the oldest
    assert [p.exists() for p in (oldest, older, newer, weights)] == [True, False, True, True]
    prune_cache(keep=tmp_path / "features" / "not there yet")
    assert oldest.exists()  # 8 kB are within the limit
    monkeypatch.setenv("PRELABEL_CACHE_GB", "many")
    with pytest.raises(UserError, match=r"many.*gigabytes"):
        prune_cache(keep=oldest)
