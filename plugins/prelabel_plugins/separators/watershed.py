"""Connected parts are cut where they are thin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prelabel.data.bulges import cut_parts
from prelabel.data.records import PatchMaps


@dataclass(frozen=True)
class Watershed:
    """Connected parts, cut where they are thin between two bulges.

    For cells and other round things of one class, which no feature tells apart: a watershed of the
    distance from the outline (Vincent and Soille, TPAMI 1991). Labelled photos choose the neck by
    themselves with any separator; this one cuts without labels.

    Attributes:
        neck: in (0, 1]; two bulges are two objects if the neck between them is narrower than this
            share of the thinner one. Higher cuts more.
    """

    neck: Annotated[float, Field(gt=0, le=1)] = 0.85

    def separate(
        self,
        refined: NDArray[np.float32],
        *,
        threshold: float,
        patches: PatchMaps,
        image: NDArray[np.uint8],
    ) -> NDArray[np.int32]:
        """int32 (h, w), numbers from 1."""
        return cut_parts(refined > threshold, self.neck)
