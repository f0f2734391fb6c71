"""Clusters that the CLS token attends to are foreground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Attention:
    """Clusters that the CLS token attends to are foreground.

    P(foreground) of a cluster with mean relative attention a is a^s / (a^s + 1): one that gets as
    much attention as the average patch (a = 1) is undecided.

    Attributes:
        sharpness: s; in (0, 50]. With 1 a cluster with twice the average attention has P = 0.67,
            and in the mean over levels the most certain level decides; with 4 it has 0.94, and the
            mean is nearly a vote.
        clip: attention above this quantile of all patches counts as the quantile; in (0, 1].
            A few patches draw most of a ViT's attention whatever they show (arXiv 2309.16588).
    """

    sharpness: Annotated[float, Field(gt=0, le=50)] = 4.0
    clip: Annotated[float, Field(gt=0, le=1)] = 0.99

    def score(
        self,
        clusters: NDArray[np.int64],
        *,
        k: int,
        attention: Float,
        border: NDArray[np.bool_],
        photos: NDArray[np.int64],
    ) -> Float:
        """float32 (k,) in [0, 1] from int64 (n,) clusters and float32 (n,) attention."""
        clipped = np.minimum(attention, np.quantile(attention, self.clip)).astype(np.float64)
        mean = clipped.mean() or 1.0
        counts = np.bincount(clusters, minlength=k)
        sums = np.bincount(clusters, weights=clipped / mean, minlength=k)
        relative = np.divide(sums, counts, out=np.zeros(k), where=counts > 0)
        raised = relative**self.sharpness
        return np.asarray(1 - 1 / (1 + raised), dtype=np.float32)
