"""The finest level's clusters, judged by the coarser levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import LevelResult


@dataclass(frozen=True)
class Cascade:
    """Clusters of the finest level are foreground if most of them is in every coarser level.

    A cluster of the finest level counts as foreground if more than half of its patches are
    foreground (P > 0.5) in every coarser level. P(foreground) of a patch is the share of the finest
    level's clusterings in which its cluster is foreground. A single level is taken as it is.
    """

    def combine(self, levels: Sequence[LevelResult]) -> NDArray[np.float32]:
        """float32 (h, w) in [0, 1]."""
        if len(levels) == 1:
            return levels[0].foreground.copy()
        coarser = [(level.foreground > 0.5).ravel() for level in levels[:-1]]
        finest = levels[-1].clusters  # (n_runs, h, w)
        answer = np.zeros(finest.shape, dtype=np.float32)
        for run, clusters in enumerate(finest.reshape(len(finest), -1)):
            sizes = np.bincount(clusters)
            shares = [
                np.bincount(clusters, weights=level) / np.maximum(sizes, 1) for level in coarser
            ]
            foreground = np.min(shares, axis=0) > 0.5
            answer[run] = foreground[clusters].reshape(finest.shape[1:])
        return np.asarray(np.mean(answer, axis=0), dtype=np.float32)
