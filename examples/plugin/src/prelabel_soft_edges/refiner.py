"""A refiner: smooths P(foreground) where the photo is flat, and keeps it at the photo's edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field


@dataclass(frozen=True)
class SoftEdgesRefiner:
    """The mean of P(foreground) in a window, except at the photo's edges.

    Attributes:
        radius: of the window in pixels; 1 to 64. A larger one smooths more.
        edge: the step of brightness, in (0, 1], at which P is half kept and half smoothed.
    """

    radius: Annotated[int, Field(ge=1, le=64)] = 4
    edge: Annotated[float, Field(gt=0, le=1)] = 0.1

    def refine(
        self, foreground: NDArray[np.float32], image: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """P(foreground) float32 (h, w) in [0, 1]; the photo is uint8 (h, w, 3) RGB."""
        side = 2 * self.radius + 1
        smooth = cv2.blur(foreground, (side, side), borderType=cv2.BORDER_REPLICATE)
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
        steps = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), dtype=np.uint8))
        kept = steps / (steps + self.edge)
        return np.clip(kept * foreground + (1 - kept) * smooth, 0, 1)
