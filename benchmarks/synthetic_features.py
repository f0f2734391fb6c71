"""Features of photos that do not exist: clustered vectors, computed from a photo's number alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import PatchFeatures
from prelabel.steps.features import from_arrays, to_arrays
from prelabel.storage.shards import ShardStore

Float = NDArray[np.float32]
_FACTOR = 0x9E3779B97F4A7C15F39CC0605CEDC835
"""Odd: numbers times this, modulo 2^128, are as good as random and can be turned back."""
_BANK = 4096
_CENTRES, _GROUPS, _OWN = 256, 64, 8


def digest(number: int) -> str:
    """32 hex digits for a photo's number: in no order, as those of files."""
    return f"{number * _FACTOR % 2**128:032x}"


class Scenes:
    """Photos of ``side`` × ``side`` patches with vectors of ``dim`` numbers.

    Each photo is of one of 64 groups and shows 8 of 256 kinds of patches, in an uneven mixture:
    a centre and noise twice as wide as the centres are apart in each number. All patches share an
    offset, ``offset``.
    """

    def __init__(self, *, side: int, dim: int) -> None:
        rng = np.random.default_rng(0)
        self._side = side
        self.offset = rng.normal(size=dim).astype(np.float32)
        self._centres = self.offset + rng.normal(size=(_CENTRES, dim)).astype(np.float32)
        self._noise = 2 * rng.normal(size=(_BANK + side * side, dim)).astype(np.float32)
        self._tokens = rng.normal(size=(_GROUPS, dim)).astype(np.float32)

    def features(self, number: int) -> PatchFeatures:
        """Those of the photo with that number."""
        rng, side, dim = np.random.default_rng(number), self._side, len(self.offset)
        group = number % _GROUPS
        own = (5 * group + np.minimum(rng.geometric(0.3, side * side), _OWN)) % _CENTRES
        signs = np.sign(rng.random(dim, np.float32) - 0.5)
        start = int(rng.integers(_BANK))
        vectors = self._centres[own] + self._noise[start : start + side * side] * signs
        token = self._tokens[group] + 0.2 * signs
        attention = (own % 7 + 0.5) / (own % 7 + 0.5).mean()
        return PatchFeatures(
            vectors.astype(np.float16).reshape(side, side, dim),
            token.astype(np.float16),
            attention.astype(np.float16).reshape(side, side),
        )


class Generated:
    """In place of ``StoredFeatures``: computes a photo's features each time they are read."""

    def __init__(self, scenes: Scenes) -> None:
        self._scenes = scenes
        self._inverse = pow(_FACTOR, -1, 2**128)

    def read(self, name: str, *, verify: bool = True) -> PatchFeatures:
        """The features of the photo with that digest."""
        return self._scenes.features(int(name, 16) * self._inverse % 2**128)


class Stored:
    """In place of ``StoredFeatures``: what is in one store."""

    def __init__(self, folder: Path) -> None:
        self._store = ShardStore(folder)

    def read(self, name: str, *, verify: bool = True) -> PatchFeatures:
        """The features of the photo with that digest."""
        found = self._store.get(name, verify=verify)
        if found is None:
            raise KeyError(name)
        return from_arrays(found)


def write_store(folder: Path, scenes: Scenes, numbers: Iterable[int]) -> None:
    """Photos into a store, in shards as `fit` writes them; several processes may do so at once."""
    with ShardStore(folder) as store:
        for number in numbers:
            store.add(digest(number), to_arrays(scenes.features(number)))
