"""The cache's limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prelabel.errors import UserError
from prelabel.storage.files import prune_cache


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
    with pytest.raises(UserError, match="a number of gigabytes wanted"):
        prune_cache(keep=oldest)
