"""The largest connected part of the foreground is the only region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.bulges import connected_parts
from prelabel.data.records import PatchMaps


@dataclass(frozen=True)
class Largest:
    """The largest connected part of the foreground (8 neighbours) is the only region.

    For photos of one object each, such as products: what else stands out is left out.
    """

    def separate(
        self,
        refined: NDArray[np.float32],
        *,
        threshold: float,
        patches: PatchMaps,
        image: NDArray[np.uint8],
    ) -> NDArray[np.int32]:
        """int32 (h, w), 1 where the region is; of parts of one size, the upper left one."""
        parts = connected_parts(refined > threshold)
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        found: NDArray[np.bool_] = (parts == sizes.argmax()) & (parts > 0)
        return found.astype(np.int32)
