"""The levels' majority."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import LevelResult


@dataclass(frozen=True)
class Vote:
    """P(foreground) is the share of levels above 0.5: two of three decide.

    An even split is 0.5, which is not above the default ``regions.threshold``.
    """

    def combine(self, levels: Sequence[LevelResult]) -> NDArray[np.float32]:
        """float32 (h, w) in [0, 1]."""
        return np.asarray(
            np.mean([level.foreground > 0.5 for level in levels], axis=0), dtype=np.float32
        )
