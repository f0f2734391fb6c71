"""Photos that show nearly the same, such as those of a burst, re-encoded copies and neighbouring frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from prelabel.data.image_hash import N_BITS
from prelabel.steps.levels import unit

Float = NDArray[np.float32]
Half = NDArray[np.float16]
Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
MOST_BITS = 19
"""Bits of 128 in which the difference hashes of a pair differ at most. Of 342 copies of 38 photos, those
that were encoded again, scaled to half, made lighter or darker by up to 40 %, or cropped by 2 % at each
side, differ in 19 or fewer; so do 29 of 38 that were cropped by 4 % at each side. Pairs of different photos
of PASCAL VOC and COCO (21 000) differ in 32 or more, of endoscopy and microscopy in 20 or more."""
LEAST_COSINE = 0.8
"""Cosine of the CLS tokens of a pair, at least: for what is left by chance between thousands of millions of
pairs. 99 % of the same copies have it or all, of different photos 0.1 to 50 %, depending on the weights."""
_BLOCK = 1024
"""Photos that are compared with as many others at once, which takes 13 MB."""


class PhotoPrints:
    """What is kept of each photo to find those that are near-identical: its name, CLS token and
    difference hash, 0.8 kB a photo with a small ViT."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._cls = bytearray()
        self._hashes = bytearray()

    def add(self, name: str, cls: Half, pixel_hash: Bytes) -> None:
        """A photo: its CLS token float16 (dim,) and difference hash uint8 (16,)."""
        self._names.append(name)
        self._cls += cls.tobytes()
        self._hashes += pixel_hash.tobytes()

    def groups(self) -> list[list[str]]:
        """Names of the photos of each group of near-identical ones, in the order that they came in."""
        n = len(self._names)
        if n < 2:
            return []
        cls = np.frombuffer(self._cls, dtype=np.float16).reshape(n, -1)
        hashes = np.frombuffer(self._hashes, dtype=np.uint8).reshape(n, -1)
        return [[self._names[i] for i in group] for group in near_identical(cls, hashes)]


def near_identical(cls: Half, hashes: Bytes) -> list[list[int]]:
    """Groups of two or more photos, each near-identical to some other of its group.

    A pair is near-identical if its CLS tokens float16 (n, dim) and its difference hashes uint8 (n, 16)
    both are alike, as ``LEAST_COSINE`` and ``MOST_BITS`` say. CLS tokens alone do not tell: those of
    different photos of one narrow domain, such as microscopy, are more alike than those of copies.
    All pairs are compared, in blocks; memory: 0.5 kB a photo.
    """
    n = len(cls)
    signs: Float = 2 * np.unpackbits(hashes, axis=1).astype(np.float32) - 1  # products count bits
    blocks = [slice(start, start + _BLOCK) for start in range(0, n, _BLOCK)]
    group: Ints = np.arange(n)
    for number, rows in enumerate(blocks):
        for columns in blocks[number:]:
            near = np.matmul(signs[rows], signs[columns].T) >= N_BITS - 2 * MOST_BITS
            if near.any():
                near &= np.matmul(_unit(cls[rows]), _unit(cls[columns]).T) >= LEAST_COSINE
                i, j = np.nonzero(near)
                group = _united(group, i + rows.start, j + columns.start)
    members: dict[int, list[int]] = {}
    for photo, own in enumerate(group.tolist()):
        members.setdefault(own, []).append(photo)
    return [found for found in members.values() if len(found) > 1]


def _unit(cls: Half) -> Float:
    return unit(cls.astype(np.float32))


def _united(group: Ints, i: Ints, j: Ints) -> Ints:
    """The group of each photo, int64 (n,) in [0, n), once photos i and j are in one, pair by pair."""
    new = group[i] != group[j]
    if not new.any():
        return group
    n = len(group)
    pairs = coo_array((new[new], (group[i[new]], group[j[new]])), shape=(n, n))
    _, merged = connected_components(pairs, directed=False)
    return np.asarray(merged[group], dtype=np.int64)
