"""Finer clusters stand or fall with the coarser levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import LevelResult


@dataclass(frozen=True)
class Cascade:
    """A cluster of the finest level is foreground if most of its patches are foreground in every
    coarser level. P(foreground) is the mean over the finest level's clusterings of that answer.
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
