"""What is removed when too much is there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from prelabel.errors import UserError
from prelabel.storage.pruning import prune, prune_cache
from prelabel.storage.shards import ShardStore


def _files(folder: Path, *ages: float) -> list[Path]:
    """Files of 10 bytes that were used so many seconds ago."""
    files = []
    for number, age in enumerate(ages):
        file = folder / f"{number}"
        file.write_bytes(b"0123456789")
        os.utime(file, (time.time() - age, time.time() - age))
        files.append(file)
    return files


def _left(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_prune__by_number(tmp_path: Path) -> None:
    prune(_files(tmp_path, 10, 30, 20), most=2)
    assert _left(tmp_path) == ["0", "2"]


def test_prune__by_size(tmp_path: Path) -> None:
    prune(_files(tmp_path, 10, 30, 20), most_bytes=19)
    assert _left(tmp_path) == ["0"]


def test_prune__what_is_in_use_stays(tmp_path: Path) -> None:
    prune(_files(tmp_path, 10, 300, 200), most=0, in_use=100)
    assert _left(tmp_path) == ["0"]


def test_prune__the_one_to_keep_stays_and_counts(tmp_path: Path) -> None:
    files = _files(tmp_path, 10, 30, 20)
    prune(files, most=1, keep=[files[1]])
    assert _left(tmp_path) == ["1"]


def test_prune__links_and_what_another_process_has_removed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("mine")
    folder = tmp_path / "cache"
    folder.mkdir()
    files = _files(folder, 10)
    (folder / "link").symlink_to(outside)
    prune([*files, folder / "link", folder / "gone"], most=0)
    assert _left(folder) == ["link"]
    assert (outside / "mine").exists()


def test_shard_store__opening_it_is_using_it(tmp_path: Path) -> None:
    os.utime(tmp_path, (100, 100))
    ShardStore(tmp_path)
    assert time.time() - tmp_path.stat().st_mtime < 60


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
    prune_cache(keep=[oldest])  # in use, though its date is the oldest
    assert [p.exists() for p in (oldest, older, newer, weights)] == [True, False, True, True]
    prune_cache(keep=[tmp_path / "features" / "not there yet"])
    assert oldest.exists()  # 8 kB are within the limit
    _store(tmp_path, "recent/d", kilobytes=4, used=50)
    prune_cache(keep=[tmp_path / "features" / "not there yet"])
    assert not (tmp_path / "recent" / "d").exists()
    monkeypatch.setenv("PRELABEL_CACHE_GB", "many")
    with pytest.raises(UserError, match=r"many.*gigabytes"):
        prune_cache(keep=[oldest])
