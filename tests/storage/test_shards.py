"""The store: whole shards or none, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from safetensors.numpy import save

from prelabel.storage.shards import SHARD, ShardStore


def key(n: int) -> str:
    return f"{n:032x}"


def value(n: int) -> NDArray[np.float32]:
    return np.full((2, 3), n, dtype=np.float32)


def fill(folder: Path, *numbers: int) -> None:
    with ShardStore(folder) as store:
        for n in numbers:
            store.add(key(n), {"x": value(n)})


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def test_store__adds_in_whole_shards_and_reads_back(tmp_path: Path) -> None:
    with ShardStore(tmp_path / "new") as store:
        for n in range(SHARD + 1):
            assert key(n) not in store
            store.add(key(n), {"x": value(n), "y": np.arange(n, dtype=np.int16)})
            assert key(n) in store
        assert len(shards(tmp_path / "new")) == 1  # the first is written, one entry is pending
        assert store.read(key(SHARD))["y"].tolist() == list(range(SHARD))
    assert len(shards(tmp_path / "new")) == 2
    again = ShardStore(tmp_path / "new")
    assert len(again) == SHARD + 1
    for n in range(SHARD + 1):
        arrays = again.read(key(n))
        np.testing.assert_array_equal(arrays["x"], value(n))
        assert arrays["y"].tolist() == list(range(n))
        assert arrays["y"].dtype == np.int16


def test_store__an_entry_stays_as_it_is(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    with ShardStore(tmp_path) as store:
        store.add(key(1), {"x": value(9)})
    np.testing.assert_array_equal(ShardStore(tmp_path).read(key(1))["x"], value(1))
    assert len(shards(tmp_path)) == 1


def test_store__unknown_key(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        ShardStore(tmp_path).read(key(1))


def test_store__two_writers_at_once(tmp_path: Path) -> None:
    with ShardStore(tmp_path) as one, ShardStore(tmp_path) as two:
        for n in (1, 2):
            one.add(key(n), {"x": value(n)})
            two.add(key(n), {"x": value(n)})
        two.add(key(3), {"x": value(3)})
    assert len(ShardStore(tmp_path)) == 3


ARRAYS = st.dictionaries(
    st.sampled_from(["patches", "cls", "facts"]),
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.uint8, np.int64]),
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
    ),
    min_size=1,
)


@settings(max_examples=50)
@given(
    entries=st.dictionaries(st.integers(0, 2**128 - 1).map(key), ARRAYS, max_size=8),
    cut=st.integers(0, 8),
)
@pytest.mark.slow
def test_store__round_trip(entries: dict[str, dict[str, NDArray[np.generic]]], cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        items = list(entries.items())
        for part in (items[:cut], items[cut:]):  # in two sessions
            with ShardStore(Path(folder)) as store:
                for name, arrays in part:
                    store.add(name, arrays)
        store = ShardStore(Path(folder))
        assert len(store) == len(entries)
        for name, arrays in items:
            found = store.read(name)
            assert set(found) == set(arrays)
            for field, array in arrays.items():
                assert found[field].dtype == array.dtype
                assert found[field].tobytes() == array.tobytes()
                assert found[field].shape == array.shape


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:4],
        lambda data: data[:40],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"garbage " * 20,
        lambda data: bytes(len(data)),
        lambda data: b"\xff" * len(data),
        lambda data: data.replace(b"data_offsets", b"data_affsets"),
        lambda data: data.replace(b'"F32"', b'"F64"'),
        lambda data: data[:8] + b"\xff" + data[9:],
        lambda data: (2).to_bytes(8, "little") + b"[]" + data,
        lambda data: save({"no key/x": np.zeros(3)}),
    ],
)
def test_store__a_shard_that_is_not_whole_is_as_if_absent(tmp_path: Path, damage: object) -> None:
    fill(tmp_path, 1, 2)
    [shard] = shards(tmp_path)
    whole = shard.read_bytes()
    shard.write_bytes(damage(whole))  # type: ignore[operator]
    fill(tmp_path / "other", 3)
    [other] = shards(tmp_path / "other")
    other.rename(tmp_path / other.name)

    store = ShardStore(tmp_path)
    assert key(1) not in store
    assert len(store) == 1
    fill(tmp_path, 1, 2)  # computed again, in the same place
    assert shard.read_bytes() == whole
    assert len(ShardStore(tmp_path)) == 3


def test_store__an_interrupted_run_keeps_what_is_done(tmp_path: Path) -> None:
    def interrupted() -> None:
        with ShardStore(tmp_path) as store:
            store.add(key(1), {"x": value(1)})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert key(1) in ShardStore(tmp_path)


def test_store__a_full_disk_keeps_earlier_shards_and_leaves_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 1)
    before = sorted(tmp_path.iterdir())

    def full(file: Path, data: bytes) -> int:
        with file.open("wb") as half:
            half.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left on device") as caught:
            fill(tmp_path, *range(2, SHARD + 10))
    assert caught.value.errno == errno.ENOSPC
    assert str(caught.value.filename).startswith(str(tmp_path))
    assert sorted(tmp_path.iterdir()) == before
    fill(tmp_path, *range(1, SHARD + 10))
    assert len(ShardStore(tmp_path)) == SHARD + 9


def test_store__removes_what_a_killed_run_left_but_not_what_is_being_written(
    tmp_path: Path,
) -> None:
    old, new = tmp_path / ".tmp-a-1.safetensors", tmp_path / ".tmp-b-2.safetensors"
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    assert len(ShardStore(tmp_path)) == 0
    assert not old.exists()
    assert new.exists()


def test_store__memory_for_each_entry(tmp_path: Path) -> None:
    fill(tmp_path, *range(SHARD))
    one = {"x": np.zeros(1, dtype=np.uint8)}
    for start in range(0, 6400, 640):  # large shards, as only their keys count here
        tensors = {f"{key(n)}/x": one["x"] for n in range(start, start + 640)}
        (tmp_path / f"{start:032x}.safetensors").write_bytes(save(tensors))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        store = ShardStore(tmp_path)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(store) == 6400
    assert used / 6400 < 250


def test_store__entries_that_another_process_removed_are_gone(tmp_path: Path) -> None:
    fill(tmp_path, 1, 2)
    fill(tmp_path, 3)
    store = ShardStore(tmp_path)
    shutil.rmtree(tmp_path)
    assert key(1) in store  # it does not look each time
    assert store.get(key(1)) is None
    assert key(1) not in store
    assert key(2) not in store  # of the same shard
    with pytest.raises(KeyError):
        store.read(key(3))
    assert len(store) == 0
    for n in (1, 2, 3):
        store.add(key(n), {"x": value(n)})
    store.flush()
    assert len(ShardStore(tmp_path)) == 3
    np.testing.assert_array_equal(store.read(key(2))["x"], value(2))


def test_store__a_shard_that_is_damaged_later_is_gone(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    store = ShardStore(tmp_path)
    [shard] = shards(tmp_path)
    shard.write_bytes(shard.read_bytes()[:-1])
    assert store.get(key(1)) is None
    assert key(1) not in store


def test_store__that_is_read_counts_as_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 1)
    store = ShardStore(tmp_path)
    os.utime(tmp_path, (1000, 1000))
    store.read(key(1))
    assert tmp_path.stat().st_mtime == 1000  # not each time
    monkeypatch.setattr(store, "_touch_at", 0.0)
    store.read(key(1))
    assert tmp_path.stat().st_mtime > time.time() - 60


@pytest.mark.parametrize("at", range(1, 60, 7))
def test_store__an_entry_whose_bytes_were_changed_is_gone(tmp_path: Path, at: int) -> None:
    """The header is whole: nothing but the content tells."""
    fill(tmp_path, 1, 2)
    (shard,) = shards(tmp_path)
    data = bytearray(shard.read_bytes())
    data[-at if at < 48 else 40 - at] ^= 1
    shard.write_bytes(data)
    store = ShardStore(tmp_path)
    found = [store.get(key(1)), store.get(key(2))]
    for n, arrays in enumerate(found, start=1):
        assert arrays is None or arrays["x"].tolist() == value(n).tolist()
    assert None in found


def test_store__shards_of_before_have_no_checksums(tmp_path: Path) -> None:
    (tmp_path / f"{'0' * 32}.safetensors").write_bytes(save({f"{key(1)}/x": value(1)}))
    assert ShardStore(tmp_path).read(key(1))["x"].tolist() == value(1).tolist()
