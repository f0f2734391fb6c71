"""All patches of many photos, in blocks of which only a few are in memory at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.steps.levels import PatchBlocks, Patches, border_patches
from prelabel.steps.photo_features import StoredFeatures
from prelabel.steps.positions import resample
from prelabel.steps.reading import chunks
from prelabel.storage.threads import cores, prefetch_map

Float = NDArray[np.float32]
_BLOCK = 16_384
"""Patches in a block, about: 25 MB of a ViT-S."""
_READERS = 4
"""Most blocks read at once."""
_OFFSETS = 64 << 20
"""Bytes of what is subtracted from patches, kept for as many sizes of grids as fit."""


class PatchTotals:
    """Running sums over all patches of photos."""

    def __init__(self) -> None:
        self._grids: Counter[tuple[int, int]] = Counter()
        self._sum: NDArray[np.float64] = np.zeros(1)  # dim with the first photo

    def add(self, patches: NDArray[np.float16]) -> None:
        """Add a photo's patches (h, w, dim)."""
        height, width, dim = patches.shape
        self._grids[height, width] += 1
        self._sum = self._sum + patches.reshape(-1, dim).sum(axis=0, dtype=np.float64)

    def mean(self, positions: Float) -> Float:
        """The mean patch float32 (dim,), without what its place adds, as in ``Levels``."""
        total, n = self._sum, 0
        for (height, width), photos in self._grids.items():
            n += photos * height * width
            if positions.size:
                offsets = resample(positions, height, width).sum(axis=(0, 1), dtype=np.float64)
                total = total - photos * offsets
        return np.asarray(total / n, dtype=np.float32)


def stored_blocks(
    digests: Sequence[str], stored: StoredFeatures, *, n: int, positions: Float, center: Float
) -> PatchBlocks:
    """All ``n`` patches of the photos, in the order of the digests, without what their place adds and
    relative to the center float32 (dim,)."""
    per_block = max(1, _BLOCK * len(digests) // n)
    grid_bytes = 4 * len(center) * n // len(digests)

    @lru_cache(maxsize=max(1, _OFFSETS // grid_bytes))
    def offsets(height: int, width: int) -> Float:
        if not positions.size:
            return center[None]
        return (resample(positions, height, width) + center).reshape(height * width, -1)

    def read_block(own: Sequence[tuple[int, str]]) -> Patches:
        photos = [stored.read(digest, verify=False) for _, digest in own]  # verified before
        sizes = [photo.attention.size for photo in photos]
        patches = Patches.empty(sum(sizes), len(center))
        start = 0
        for (number, _), photo, size in zip(own, photos, sizes, strict=True):
            place = slice(start, start := start + size)
            vectors = patches.vectors[place]
            # NumPy takes ten times as long.
            cv2.convertFp16(photo.patches.reshape(size, -1).view(np.int16), vectors)
            height, width = photo.attention.shape
            vectors -= offsets(height, width)
            patches.attention[place] = photo.attention.ravel()
            patches.border[place] = border_patches(height, width).ravel()
            patches.photos[place] = number
        return patches

    def read() -> Iterator[Patches]:
        blocks = prefetch_map(
            read_block, chunks(enumerate(digests), per_block), workers=min(_READERS, cores())
        )
        return (block for _, block in blocks)

    return PatchBlocks(n, read)
