"""A region's vector is the mean of its patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import PatchFeatures
from prelabel.strategies.protocols import Backbone


@dataclass(frozen=True)
class RegionPool:
    """The mean patch feature, as a unit vector; needs no second forward pass.

    Each patch weighs as much as the region covers of it.
    """

    threads: ClassVar[int] = 1_000  # it keeps nothing

    def embed(
        self,
        image: NDArray[np.uint8],
        masks: NDArray[np.bool_],
        *,
        features: PatchFeatures,
        backbone: Backbone,
    ) -> NDArray[np.float32]:
        """float32 (n, dim) unit vectors of bool (n, h, w) masks."""
        height, width, dim = features.patches.shape
        patches = features.patches.reshape(-1, dim).astype(np.float32)
        vectors = np.empty((len(masks), dim), dtype=np.float32)
        for i, mask in enumerate(masks):
            cover = mask.astype(np.float32)
            # One side after the other: OpenCV averages areas only if neither side grows, and
            # would lose small regions otherwise.
            for size in ((width, len(mask)), (width, height)):
                cover = cv2.resize(cover, size, interpolation=cv2.INTER_AREA)
            # Not a matrix product: its rounding would depend on how many regions there are.
            mean = (cover.reshape(-1, 1) * patches).sum(axis=0)
            vectors[i] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return vectors
