"""A foreground rule: clusters in the order of their attention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rank:
    """The share of other clusters whose mean attention is lower."""

    def score(
        self,
        clusters: NDArray[np.int64],
        *,
        k: int,
        attention: NDArray[np.float32],
        border: NDArray[np.bool_],
        photos: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """float32 (k,) in [0, 1]; 0 for a cluster without patches."""
        counts = np.bincount(clusters, minlength=k)
        sums = np.bincount(clusters, weights=attention, minlength=k)
        mean = np.divide(sums, counts, out=np.full(k, -1.0), where=counts > 0)
        lower = (mean[:, None] > mean).sum(axis=1)
        return np.where(counts > 0, lower / max(1, k - 1), 0).astype(np.float32)
