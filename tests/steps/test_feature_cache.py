"""Features of the photos looked at last: what is kept, and what goes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from prelabel.data.records import PatchFeatures
from prelabel.steps import feature_cache
from prelabel.steps.feature_cache import FeatureCache


def _features(value: float) -> PatchFeatures:
    patches = np.full((2, 3, 4), value, dtype=np.float16)
    return PatchFeatures(patches, patches[0, 0].copy(), patches[..., 0].copy())


def test_recent__gives_back_what_was_put(tmp_path: Path) -> None:
    kept = FeatureCache(tmp_path / "recent")
    assert kept.get("0" * 32) is None
    kept.put("0" * 32, _features(0.5))
    found = FeatureCache(tmp_path / "recent").get("0" * 32)
    assert found is not None
    for name in ("patches", "cls", "attention"):
        assert np.array_equal(getattr(found, name), getattr(_features(0.5), name))
        assert getattr(found, name).dtype == np.float16


def test_recent__a_damaged_file_is_none(tmp_path: Path) -> None:
    kept = FeatureCache(tmp_path)
    kept.put("1" * 32, _features(1))
    file = tmp_path / f"{'1' * 32}.safetensors"
    file.write_bytes(file.read_bytes()[:40])
    assert kept.get("1" * 32) is None


def test_recent__what_was_used_longest_ago_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache, "_LOOK_EVERY", 1)
    kept = FeatureCache(tmp_path, most=3)
    for i in range(3):
        kept.put(f"{i:032x}", _features(i))
        os.utime(tmp_path / f"{i:032x}.safetensors", (1000 + i, 1000 + i))
    assert kept.get(f"{0:032x}") is not None  # now it is the newest
    kept.put(f"{3:032x}", _features(3))
    left = sorted(int(file.stem, 16) for file in tmp_path.glob("*.safetensors"))
    assert left == [0, 2, 3]
