"""A learner: the nearest of the mean patches of background and each class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import LabelledPatches

Float = NDArray[np.float32]


@dataclass(frozen=True)
class NearestMean:
    """P falls with the distance to the mean patch of background and of each class.

    - ``sharpness``: how fast it falls.
    """

    sharpness: float = 1.0

    def summarize(self, photos: Iterable[LabelledPatches], *, seed: int) -> Mapping[str, Float]:
        """``sums``: (1 + n_classes, dim + 1), of the patches and, in the last column, their number."""
        sums: Float | None = None
        for photo in photos:
            ones = np.ones((len(photo.vectors), 1), dtype=np.float32)
            own = photo.shares.T @ np.concatenate([photo.vectors, ones], axis=1)
            sums = own if sums is None else sums + own
        return {} if sums is None else {"sums": sums}

    def fit(self, summaries: Sequence[Mapping[str, Float]]) -> Mapping[str, Float]:
        """``means``: (1 + n_classes, dim), of patches. ``known``: (1 + n_classes,), 0 for what no photo
        shows and else 1."""
        known = [summary["sums"] for summary in summaries if summary]
        if not known:
            return {}
        sums = np.stack(known).sum(axis=0)
        counts = sums[:, -1]
        if counts[0] <= 0 or counts[1:].sum() <= 0:
            return {}
        means = sums[:, :-1] / np.maximum(counts, 1e-6)[:, None]
        return {"means": means, "known": (counts > 0).astype(np.float32)}

    def predict(self, learned: Mapping[str, Float], vectors: Float) -> Float:
        """float32 (n, 1 + n_classes) in [0, 1]."""
        distances = np.stack(
            [((vectors - mean) ** 2).sum(axis=1) for mean in learned["means"]], axis=1
        )
        nearest = distances.min(axis=1, keepdims=True, where=learned["known"] > 0, initial=np.inf)
        p = np.exp(-self.sharpness * (distances - nearest)) * learned["known"]
        return np.asarray(p / p.sum(axis=1, keepdims=True), dtype=np.float32)
