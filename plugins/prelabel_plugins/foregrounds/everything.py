"""All clusters are foreground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Everything:
    """All clusters are foreground, with P(foreground) = 1.

    For photos of which each pixel gets a label, such as aerial photos: with the separator ``clusters``
    the regions then cover the photo. Scores of regions say nothing, they are all near 1.
    """

    def score(
        self,
        clusters: NDArray[np.int64],
        *,
        k: int,
        attention: Float,
        border: NDArray[np.bool_],
        photos: NDArray[np.int64],
    ) -> Float:
        """float32 (k,) of ones, and 0 for clusters of int64 (n,) that have no patch."""
        return (np.bincount(clusters, minlength=k) > 0).astype(np.float32)
