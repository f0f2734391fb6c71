"""No learner: corrections teach names only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import LabelledPatches

Float = NDArray[np.float32]


@dataclass(frozen=True)
class NoLearner:
    """Learns nothing, so that masks stay those of the clusterings."""

    def summarize(self, photos: Iterable[LabelledPatches], *, seed: int) -> Mapping[str, Float]:
        """No arrays."""
        return {}

    def fit(self, summaries: Sequence[Mapping[str, Float]]) -> Mapping[str, Float]:
        """No arrays: nothing was learned."""
        return {}

    def predict(self, learned: Mapping[str, Float], vectors: Float) -> Float:
        """Never called, since `fit` learns nothing. Raises ValueError."""
        raise ValueError("nothing was learned, so nothing can be predicted")
