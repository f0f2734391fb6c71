"""The levels' average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import LevelResult


@dataclass(frozen=True)
class Mean:
    """P(foreground) is the mean of the levels' P: an undecided level leaves it to the others."""

    def combine(self, levels: Sequence[LevelResult]) -> NDArray[np.float32]:
        """float32 (h, w) in [0, 1]."""
        return np.asarray(np.mean([level.foreground for level in levels], axis=0), dtype=np.float32)
