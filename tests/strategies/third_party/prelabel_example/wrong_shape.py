"""A refiner that breaks its promise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class WrongShape:
    """Loses the last row."""

    def refine(
        self, foreground: NDArray[np.float32], image: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """float32 (h - 1, w)."""
        return foreground[:-1].copy()
