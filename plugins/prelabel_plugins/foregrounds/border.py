"""Clusters that own the frame of the photos are background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Border:
    """P(foreground) of a cluster is the share of its patches inside the frame, when border and
    inside patches count the same in all: 1 never touches the frame, 0.5 is as common there.

    The boundary prior of Wei et al., ECCV 2012 (Geodesic Saliency), for clusters. It needs no
    attention, so it works with any backbone.
    """

    def score(
        self,
        clusters: NDArray[np.int64],
        *,
        k: int,
        attention: Float,
        border: NDArray[np.bool_],
    ) -> Float:
        """float32 (k,) in [0, 1] from int64 (n,) clusters and bool (n,) border."""
        inside = np.bincount(clusters[~border], minlength=k) / max(1, int((~border).sum()))
        frame = np.bincount(clusters[border], minlength=k) / max(1, int(border.sum()))
        seen = inside + frame
        return np.divide(inside, seen, out=np.zeros(k), where=seen > 0).astype(np.float32)
