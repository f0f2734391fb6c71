"""What patches of a dataset have in common with those at the same place of other photos.

A vision transformer's patches tell where they are as well as what they show. The mean over photos at
each place, less the mean of all, is what the place gives, if the photos show different things there.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
GRID = 16
"""Rows and columns of the fixed grid on which means are kept."""


class PositionSums:
    """Running sums over photos on the fixed grid."""

    def __init__(self) -> None:
        self._vectors, self._attention = _Moments(), _Moments()

    def add(self, patches: NDArray[np.float16], attention: NDArray[np.float16]) -> None:
        """Add a photo's patches (h, w, dim) and their attention (h, w)."""
        self._vectors.add(resample(patches.astype(np.float32), GRID, GRID))
        self._attention.add(resample(attention.astype(np.float32)[..., None], GRID, GRID))

    def offsets(self) -> Float:
        """The means at each place relative to the mean of all, float32 (GRID, GRID, dim), shrunk.

        They are shrunk by the share of their own variance that is not chance, as an empirical Bayes
        estimate (Efron and Morris, JASA 1973): with one photo nothing is left. And by the shares of
        the variance of patches and of attention that places do not explain (1 - R²): the more alike
        photos are framed, the more of the means is what the photos show, and attention tells where
        things are.
        """
        real, explained = self._vectors.shares()
        _, framed = self._attention.shares()
        kept = real * (1 - explained) * (1 - framed)
        return np.asarray(kept * self._vectors.offsets(), dtype=np.float32)


class _Moments:
    """Running sums of float32 (GRID, GRID, dim) of each photo."""

    def __init__(self) -> None:
        self._n = 0
        self._sums: NDArray[np.float64] = np.zeros((GRID, GRID, 1))  # dim with the first photo
        self._squares = 0.0

    def add(self, own: Float) -> None:
        """Add a photo's."""
        self._n += 1
        self._sums = self._sums + own
        self._squares += float(np.square(own, dtype=np.float64).sum())

    def offsets(self) -> NDArray[np.float64]:
        """The means at each place relative to the mean of all."""
        means = self._sums / self._n
        return np.asarray(means - means.mean(axis=(0, 1)))

    def shares(self) -> tuple[float, float]:
        """Of the variance of the means the share that is not chance, and of all variance the share that
        places explain, R²; both 0 for one photo, or where all places are the same."""
        n, cells = self._n, GRID * GRID
        found = float(np.square(self.offsets()).sum()) / cells
        if n < 2 or found == 0:
            return 0.0, 0.0
        within = self._squares / n - float(np.square(self._sums / n).sum())
        within = max(0.0, within / cells * n / (n - 1))  # photos that are all the same: rounding
        real = max(0.0, found - within / n)
        return real / found, real / (real + within) if real else 0.0


def resample(grid: Float, height: int, width: int) -> Float:
    """float32 (h, w, dim) on a grid of another size: linear, and a mean where it shrinks."""
    rows, columns = _weights(len(grid), height), _weights(grid.shape[1], width)
    return np.asarray(np.einsum("yh,hwd,xw->yxd", rows, grid, columns, optimize=True))


@lru_cache
def _weights(n: int, m: int) -> Float:
    """Weights float32 (m, n) of n cells in each of m cells over the same length; rows sum to 1."""
    scale = n / m
    reach = max(scale, 1.0)
    centres = np.clip((np.arange(m) + 0.5) * scale, 0.5, n - 0.5)
    distances = np.abs(centres[:, None] - (np.arange(n) + 0.5))
    weights = np.maximum(1 - distances / reach, 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
