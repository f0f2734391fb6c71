"""A refiner: the median of P(foreground) around each pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Median:
    """Takes single pixels out, without regard to the photo.

    - ``side``: of the square window in pixels.
    """

    side: Literal[3, 5] = 5

    def refine(
        self, foreground: NDArray[np.float32], image: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """float32 (h, w) in [0, 1]."""
        median = cv2.medianBlur(foreground, self.side)
        return np.asarray(median, dtype=np.float32).reshape(foreground.shape)
