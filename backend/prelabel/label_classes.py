"""Regions to the classes of the labels, where they are of one."""

from __future__ import annotations

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from prelabel.data.records import Prediction
from prelabel.model import FittedModel
from prelabel.segment import Segment
from prelabel.steps.taught import Taught
from prelabel.strategies.checks import assign

Float = NDArray[np.float32]
_SURE = 0.5
"""From this P on, the mean over its patches, a region is of some class of the labels, even if nothing
like it was found without labels."""


class LabelClasses:
    """The classes of a model that was taught: those of the labels, then those that were found.

    A region is of a class of the labels if the learner is sure of one, or if exemplars lie in the
    class that was found for it.
    """

    def __init__(self, model: FittedModel, taught: Taught) -> None:
        self._taught = taught
        self._n = len(taught.facts.classes)
        self._named: frozenset[int] = frozenset()
        if len(model.classes) and taught.exemplars.shape[1:] == model.classes.shape[1:]:
            clusterer = model.config.strategy("clusterer")
            self._named = frozenset(assign(clusterer, taught.exemplars, model.classes).tolist())

    def __call__(self, prediction: Prediction, segment: Segment) -> Prediction:
        """A prediction whose regions have the ids of classes that were found, with final ids."""
        if not self._n or not prediction.regions:
            return prediction
        shares: Float = segment.shares
        if not shares.shape[1]:
            shares = np.zeros((len(prediction.regions), self._n), dtype=np.float32)
        best = self._taught.region_scores(shares, segment.embeddings).argmax(axis=1)
        sure = shares.sum(axis=1) >= _SURE
        regions = []
        for i, region in enumerate(prediction.regions):
            cluster = region.cluster + self._n if region.cluster >= 0 else -1
            if sure[i] or region.cluster in self._named:
                cluster = int(best[i])
            regions.append(structs.replace(region, cluster=cluster))
        return structs.replace(prediction, regions=tuple(regions))
