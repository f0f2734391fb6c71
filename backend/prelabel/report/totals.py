"""Counts over all photos, from a stream of predictions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from prelabel.data.records import Prediction

N_BINS = 20
"""Bins of the score histogram: each 0.05 wide, the last one with 1 in it."""


@dataclass(slots=True)
class Totals:
    """Counts over all predictions; memory grows with the number of classes only.

    ``class_sizes``: regions by class id. ``histogram``: regions by score, N_BINS counts.
    """

    photos: int = 0
    empty: int = 0
    dropped: int = 0
    class_sizes: Counter[int] = field(default_factory=Counter)
    histogram: list[int] = field(default_factory=lambda: [0] * N_BINS)

    @property
    def regions(self) -> int:
        """Regions of all photos."""
        return sum(self.histogram)

    def add(self, prediction: Prediction) -> None:
        """Count one photo."""
        self.photos += 1
        self.empty += not prediction.regions
        self.dropped += prediction.dropped
        for region in prediction.regions:
            self.class_sizes[region.cluster] += 1
            self.histogram[min(max(int(region.score * N_BINS), 0), N_BINS - 1)] += 1
