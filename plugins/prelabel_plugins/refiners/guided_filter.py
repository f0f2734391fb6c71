"""The guided filter: P(foreground) follows the photo's edges."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True)
class GuidedFilter:
    """Guided filter with a grey guide (He, Sun and Tang, ECCV 2010), from box filters only.

    - ``radius``: of the window, as a share of the photo's long side; in (0, 0.5]. About the size
      of a patch: larger reaches further for an edge and blurs thin parts.
    - ``epsilon``: grey variance (of values in [0, 1]) below which a window counts as flat; > 0.
      Smaller follows weaker edges.
    """

    radius: float = 0.03
    epsilon: float = 1e-4

    def refine(self, foreground: Float, image: NDArray[np.uint8]) -> Float:
        """float32 (h, w) in [0, 1] from float32 (h, w) and uint8 (h, w, 3)."""
        side = 2 * max(1, round(self.radius * max(foreground.shape))) + 1

        def mean(values: Float) -> Float:
            return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT))

        guide = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
        guide_mean, target_mean = mean(guide), mean(foreground)
        covariance = mean(guide * foreground) - guide_mean * target_mean
        variance = mean(guide * guide) - guide_mean * guide_mean
        slope = covariance / (np.maximum(variance, 0) + np.float32(self.epsilon))
        offset = target_mean - slope * guide_mean
        refined = mean(slope) * guide + mean(offset)
        return np.clip(refined, 0, 1, dtype=np.float32)
