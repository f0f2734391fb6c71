"""What patches of a dataset have in common with those at the same place of other photos.

A vision transformer's patches tell where they are as well as what they show. The mean over photos at
each place, less the mean of all, is what the place gives, if the photos show different things there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
GRID = 16
"""Rows and columns of the fixed grid on which means are kept."""


class PositionSums:
    """Running sums over photos on the fixed grid."""

    def __init__(self) -> None:
        self._n = 0
        self._vectors: NDArray[np.float64] = np.zeros((GRID, GRID, 1))  # dim with the first photo
        self._squares = 0.0

    def add(self, patches: NDArray[np.float16]) -> None:
        """Add a photo's patches (h, w, dim)."""
        own = resample(patches.astype(np.float32), GRID, GRID)
        self._n += 1
        self._vectors = self._vectors + own
        self._squares += float(np.square(own, dtype=np.float64).sum())

    def offsets(self) -> Float:
        """The means at each place relative to the mean of all, float32 (GRID, GRID, dim), shrunk.

        They are shrunk twice. By the share of their own variance that is not chance, as an empirical
        Bayes estimate (Efron and Morris, JASA 1973): with one photo nothing is left. And by the
        share of the patches' variance that they do not explain (1 - R²): the more alike photos are
        framed, the more of the means is what the photos show.
        """
        n, cells = self._n, GRID * GRID
        means = self._vectors / n
        offsets = means - means.mean(axis=(0, 1))
        found = float(np.square(offsets).sum()) / cells
        if n < 2 or found == 0:
            return np.zeros(offsets.shape, dtype=np.float32)
        within = (self._squares / n - float(np.square(means).sum())) / cells * n / (n - 1)
        within = max(0.0, within)  # photos that are all the same: rounding
        real = max(0.0, found - within / n)
        unexplained = within / (real + within)
        return np.asarray(real / found * unexplained * offsets, dtype=np.float32)


def resample(grid: Float, height: int, width: int) -> Float:
    """float32 (h, w, dim) on a grid of another size: linear, and a mean where it shrinks."""
    rows, columns = _weights(len(grid), height), _weights(grid.shape[1], width)
    return np.asarray(np.einsum("yh,hwd,xw->yxd", rows, grid, columns, optimize=True))


def _weights(n: int, m: int) -> Float:
    """Weights float32 (m, n) of n cells in each of m cells over the same length; rows sum to 1."""
    scale = n / m
    reach = max(scale, 1.0)
    centres = np.clip((np.arange(m) + 0.5) * scale, 0.5, n - 0.5)
    distances = np.abs(centres[:, None] - (np.arange(n) + 0.5))
    weights = np.maximum(1 - distances / reach, 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
