"""Arrays on disk under content keys, in shards that are written atomically."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from prelabel.storage.files import remove_leftovers, write_again_if_removed
from prelabel.storage.memory import trim_heap

Arrays = Mapping[str, NDArray[Any]]
SHARD = 32
"""Entries in a shard, and so the most that a killed run loses."""
_CHECKSUMS = "checksums"
"""In a shard's header: that of each key's arrays, as JSON."""
_TOUCH_EVERY = 60.0
"""Seconds between two notes that a store is used."""
_ABANDONED = 3600
"""Seconds after which a temporary file is a leftover of a killed process."""


class ShardStore:
    """A folder of safetensors shards, each of which lists its entries in its own header.

    Entries are immutable; one that was damaged on the disk counts as not there. Several processes may add
    at once, and remove shards. Memory: about 200 bytes an entry. As a
    context manager it writes the last, shorter shard when it is left.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shards: list[Path] = []
        self._where: dict[bytes, int] = {}
        self._pending: dict[str, dict[str, NDArray[Any]]] = {}
        self._touch_at = 0.0
        self._touch()
        remove_leftovers(folder, older_than=_ABANDONED)  # of killed runs
        for shard in sorted(folder.glob("[0-9a-f]*.safetensors")):
            self._index(shard)

    def __enter__(self) -> ShardStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After Ctrl-C too, so that nothing computed is lost; after a full disk it would fail again.
        if not isinstance(error, OSError):
            self.flush()
        trim_heap()

    def __contains__(self, key: str) -> bool:
        return key in self._pending or bytes.fromhex(key) in self._where

    def __len__(self) -> int:
        return len(self._where) + len(self._pending)

    def add(self, key: str, arrays: Arrays) -> None:
        """Store arrays under a key of hex digits. Existing entries are not changed."""
        if key in self:
            return
        self._pending[key] = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
        if len(self._pending) >= SHARD:
            self.flush()

    def read(self, key: str) -> dict[str, NDArray[Any]]:
        """The arrays of a key. Raises KeyError, also for an entry that another process has removed."""
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def get(self, key: str, *, verify: bool = True) -> dict[str, NDArray[Any]] | None:
        """The arrays of a key; None if there are none, or not any more: another process may have
        removed them to make room, or they are damaged. Without ``verify``, damage to the values alone
        is not seen: for entries that were read a moment ago, as it takes half of the time."""
        if (pending := self._pending.get(key)) is not None:
            return pending
        number = self._where.get(bytes.fromhex(key))
        if number is None:
            return None
        self._touch()
        try:
            with safe_open(self._shards[number], framework="numpy") as tensors:
                names = [name for name in tensors.keys() if name.startswith(f"{key}/")]  # noqa: SIM118
                found = {name.partition("/")[2]: tensors.get_tensor(name) for name in names}
                if not verify:
                    return found
                facts = tensors.metadata() or {}  # shards of before have none
            if json.loads(facts.get(_CHECKSUMS, "{}")).get(key) in (None, _checksum(found)):
                return found
        except (OSError, ValueError, AttributeError, SafetensorError):
            pass
        self._where = {k: n for k, n in self._where.items() if n != number}
        return None

    def _touch(self) -> None:
        """The folder counts as used now: what was used longest ago is removed first."""
        if time.monotonic() >= self._touch_at:
            self._touch_at = time.monotonic() + _TOUCH_EVERY
            with suppress(OSError):  # not there
                os.utime(self.folder)

    def flush(self) -> None:
        """Write the pending entries as a shard."""
        if not self._pending:
            return
        keys = "".join(sorted(self._pending))
        name = hashlib.blake2b(keys.encode(), digest_size=16).hexdigest()
        tensors = {f"{k}/{n}": a for k, own in self._pending.items() for n, a in own.items()}
        shard = self.folder / f"{name}.safetensors"
        sums = {key: _checksum(self._pending[key]) for key in sorted(self._pending)}
        data = save(tensors, {_CHECKSUMS: json.dumps(sums)})
        write_again_if_removed(shard, lambda beside: beside.write_bytes(data))
        self._index(shard)
        self._pending = {}  # after that, so that other threads always find them
        trim_heap()

    def _index(self, shard: Path) -> None:
        try:
            with safe_open(shard, framework="numpy") as tensors:  # checks its header and length
                keys = {bytes.fromhex(name.partition("/")[0]) for name in tensors.keys()}  # noqa: SIM118
        except (OSError, ValueError, SafetensorError):
            return  # damaged: its entries are computed again
        self._shards.append(shard)
        for key in keys:
            self._where[key] = len(self._shards) - 1


def _checksum(arrays: Arrays) -> str:
    found = 0
    for name in sorted(arrays):
        found = zlib.crc32(np.ascontiguousarray(arrays[name]).data, found)
    return f"{found:08x}"
