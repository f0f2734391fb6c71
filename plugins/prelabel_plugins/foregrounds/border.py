"""Clusters that are common on the photos' frame are background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Border:
    """Clusters that are rarer on the photos' frame than inside are foreground.

    P(foreground) of a cluster is its share of the inside patches, over the sum of that and its share
    of the frame's patches: 1 never touches the frame, 0.5 is as common there as inside.
    The boundary prior of Wei et al. (Geodesic Saliency, ECCV 2012), for clusters. It needs no
    attention, so it works with any backbone.
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
        """float32 (k,) in [0, 1] from int64 (n,) clusters and bool (n,) border."""
        inside = np.bincount(clusters[~border], minlength=k) / max(1, int((~border).sum()))
        frame = np.bincount(clusters[border], minlength=k) / max(1, int(border.sum()))
        seen = inside + frame
        return np.divide(inside, seen, out=np.zeros(k), where=seen > 0).astype(np.float32)
