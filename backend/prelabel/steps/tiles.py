"""Inputs too large for one pass, cut into overlapping tiles whose features are stitched without seams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import PatchFeatures
from prelabel.steps.positions import resample
from prelabel.steps.reading import chunks

Float = NDArray[np.float32]
LARGEST = 1024
"""Input size in pixels up to which a photo is seen in one pass: a transformer's attention grows with the
square of the number of patches, and beyond this takes most of the time."""
TILE = 448
"""Side of a tile in pixels, rounded to patches."""
_OVERLAP = 0.25
"""Share of a tile that it has in common with the next one, at least."""

Extract = Callable[[Sequence[NDArray[np.uint8]]], list[PatchFeatures]]
"""Features of images uint8 (h, w, 3), all of one size in whole patches."""


def extract_tiled(
    pixels: NDArray[np.uint8], whole: PatchFeatures, extract: Extract, *, patch: int, batch: int
) -> PatchFeatures:
    """Features of pixels uint8 (h, w, 3), in whole patches, that are seen tile by tile.

    Where tiles overlap their features are averaged, with weights that fall to the border of each. A
    tile's attention is relative to its own mean: it is scaled by that of the whole photo there.
    Memory: about 8 bytes for each number of the result.

    Args:
        pixels: of the photo.
        whole: the photo's features in one pass at a smaller size, of which it has the CLS token.
        extract: of at most ``batch`` tiles.
        patch: side of a patch in pixels.
        batch: number of tiles at once.
    """
    height, width = pixels.shape[0] // patch, pixels.shape[1] // patch
    rows, columns = (min(n, round(TILE / patch)) for n in (height, width))
    places = list(product(tile_starts(height, rows), tile_starts(width, columns)))
    coarse = resample(whole.attention.astype(np.float32)[..., None], height, width)[..., 0]
    weight = np.outer(_ramp(rows), _ramp(columns)).astype(np.float32)
    patches = np.zeros((height, width, whole.patches.shape[-1]), dtype=np.float32)
    attention, total = np.zeros((2, height, width), dtype=np.float32)
    for some in chunks(places, batch):
        windows = [np.s_[y : y + rows, x : x + columns] for y, x in some]
        tiles = [pixels[_of_pixels(window, patch)] for window in windows]
        for own, tile in zip(windows, extract(tiles), strict=True):
            patches[own] += weight[..., None] * tile.patches
            attention[own] += weight * tile.attention * coarse[own].mean()
            total[own] += weight
    patches /= total[..., None]
    attention /= total
    return PatchFeatures(
        patches=patches.astype(np.float16),
        cls=whole.cls,
        attention=(attention / max(float(attention.mean()), 1e-12)).astype(np.float16),
    )


def _of_pixels(window: tuple[slice, slice], patch: int) -> tuple[slice, slice]:
    rows, columns = (slice(own.start * patch, own.stop * patch) for own in window)
    return rows, columns


def tile_starts(n: int, tile: int) -> list[int]:
    """Where tiles of ``tile`` patches begin, 1 ≤ tile ≤ n, evenly spread over n patches."""
    step = max(1, tile - round(_OVERLAP * tile))
    count = 1 + -(-(n - tile) // step)
    return [round(i * (n - tile) / max(count - 1, 1)) for i in range(count)]


def _ramp(n: int) -> Float:
    """Weights float32 (n,) of a tile's rows: highest in the middle, lowest at its ends."""
    places = np.arange(n) + 0.5
    return np.asarray(np.minimum(places, n - places), dtype=np.float32)
