"""Connected parts of the foreground are regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.bulges import connected_parts
from prelabel.data.records import PatchMaps


@dataclass(frozen=True)
class Connected:
    """Connected parts of the foreground (8 neighbours) are regions: objects that touch are one."""

    def separate(
        self,
        refined: NDArray[np.float32],
        *,
        threshold: float,
        patches: PatchMaps,
        image: NDArray[np.uint8],
    ) -> NDArray[np.int32]:
        """int32 (h, w), numbers from 1."""
        return connected_parts(refined > threshold)
