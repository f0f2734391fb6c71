"""No refinement: P(foreground) as the patches gave it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NoRefiner:
    """Leaves P(foreground) as it is: fastest, with the soft outlines of the patch grid."""

    def refine(
        self, foreground: NDArray[np.float32], image: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """float32 (h, w), a copy."""
        return foreground.copy()
