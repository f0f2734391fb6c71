"""Labelled photos and a fitted model to what they teach it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import PatchFeatures
from prelabel.model import FittedModel
from prelabel.segment import Segmenter
from prelabel.steps.kept import Kept
from prelabel.steps.learning import learn
from prelabel.steps.patch_labels import LabelledPhoto
from prelabel.steps.taught import Taught
from prelabel.storage.threads import one_blas_thread
from prelabel.strategies.protocols import MoreRegions

Float = NDArray[np.float32]


class Teacher:
    """Learns from labelled photos for one model, again and again as labels come. What the levels say
    of a photo is kept, so that one more photo takes little time.

    ``features_of``: the features of the photo with a digest.
    """

    def __init__(self, model: FittedModel, features_of: Callable[[str], PatchFeatures]) -> None:
        self._segmenter = Segmenter(replace(model, taught=None))
        self._features_of = features_of
        self._levels: dict[str, Float] = {}
        self._kept = Kept()

    def teach(self, photos: Sequence[LabelledPhoto]) -> Taught:
        """What all of these photos teach, and no others. Photos that are added at the end change
        least."""
        model = self._segmenter.model
        with one_blas_thread():
            return learn(
                photos,
                learner=self._segmenter.learner,
                center=model.levels.center,
                features_of=self._features_of,
                levels_of=self._levels_of,
                seed=model.config.fit.seed,
                min_area=model.config.regions.min_area,
                can_make_more=isinstance(self._segmenter.separator, MoreRegions),
                kept=self._kept,
            )

    def _levels_of(self, digest: str) -> Float:
        """P(foreground) float32 (h, w) of the levels alone."""
        if digest not in self._levels:
            features = self._features_of(digest)
            results = self._segmenter.apply_levels(features)
            self._levels[digest] = self._segmenter.combine(features, results)
        return self._levels[digest]
