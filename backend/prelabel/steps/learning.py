"""What labelled photos teach about all photos: a learner, and how far it is believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import LabelledPatches, PatchFeatures
from prelabel.steps.patch_labels import LabelledPhoto, patch_shares
from prelabel.strategies.checks import check_array
from prelabel.strategies.protocols import Learner

Float = NDArray[np.float32]
FOLDS = 8
"""Groups of labelled photos, each of which is left out once to see how well the others teach."""
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Weights of the learner that are compared; the clusterings have the rest."""
_UNTRIED = 0.25
"""The learner's weight while no photo can be left out."""
_MOST_TRIED = 64
"""Photos on which weights are compared; the labelled photos are drawn evenly."""


@dataclass(frozen=True)
class Taught:
    """What labelled photos have taught.

    Attributes:
        classes: their names, in order.
        arrays: the learner's, by name; none if the photos teach nothing.
        center: float32 (dim,), which is taken off patches before the learner sees them.
        weight: in [0, 1], how much of P(foreground) is the learner's.
        scores: for each of ``WEIGHTS`` the mean foreground IoU over patches of photos that were left
            out; empty while none could be.
        photos: number of labelled photos.
    """

    classes: tuple[str, ...]
    arrays: Mapping[str, Float]
    center: Float
    weight: float
    scores: tuple[float, ...]
    photos: int

    def predict(self, learner: Learner, features: PatchFeatures) -> Float:
        """P of background and each class, float32 (h, w, 1 + n_classes). Raises ContractError."""
        return _predict(learner, self.arrays, features, self.center, 1 + len(self.classes))


def learn(
    photos: Sequence[LabelledPhoto],
    classes: Sequence[str],
    *,
    learner: Learner,
    center: Float,
    features_of: Callable[[str], PatchFeatures],
    unsupervised: Callable[[PatchFeatures], Float],
    seed: int,
) -> Taught:
    """Learn from labelled photos.

    Args:
        photos: in any order that stays when photos are added at its end.
        classes: names of the classes of their regions.
        learner: the strategy.
        center: float32 (dim,), the mean patch.
        features_of: the features of the photo with a digest.
        unsupervised: features to P(foreground) float32 (h, w) of the clusterings alone.
        seed: of everything that is drawn.
    """

    def labelled(photo: LabelledPhoto) -> LabelledPatches:
        features = features_of(photo.digest)
        height, width = features.attention.shape
        shares = patch_shares(photo, height=height, width=width)
        return LabelledPatches(_points(features, center), shares.reshape(height * width, -1))

    folds = [photos[i::FOLDS] for i in range(min(FOLDS, len(photos)))]
    summaries = [learner.summarize(map(labelled, fold), seed=seed) for fold in folds]
    arrays = learner.fit(summaries)
    ious = []
    for number, fold in enumerate(folds):
        others = learner.fit([s for i, s in enumerate(summaries) if i != number])
        for photo in fold[: max(1, _MOST_TRIED // len(folds))]:
            features = features_of(photo.digest)
            shares = labelled(photo).shares
            if others:
                p = _predict(learner, others, features, center, shares.shape[1])
                ious.append(_ious(1 - p[..., 0], unsupervised(features), shares))
    scores = tuple(np.mean(ious, axis=0).tolist()) if ious else ()
    weight = WEIGHTS[int(np.argmax(scores))] if scores else _UNTRIED
    return Taught(tuple(classes), arrays, center, weight if arrays else 0.0, scores, len(photos))


def _ious(learned: Float, unsupervised: Float, shares: Float) -> list[float]:
    """The foreground IoU of a photo for each of ``WEIGHTS``, over its patches as far as they are
    known. Without an object, the share of background that is left as it is."""
    truth, known = shares[:, 1:].sum(axis=1), shares.sum(axis=1)
    found = []
    for weight in WEIGHTS:
        mask = (weight * learned + (1 - weight) * unsupervised > 0.5).ravel() * known
        if truth.sum() < 0.5:
            found.append(1 - float(mask.sum() / max(known.sum(), 1e-6)))
        else:
            both = np.minimum(mask, truth).sum()
            found.append(float(both / np.maximum(mask, truth).sum()))
    return found


def _predict(
    learner: Learner, arrays: Mapping[str, Float], features: PatchFeatures, center: Float, n: int
) -> Float:
    answer = learner.predict(arrays, _points(features, center))
    height, width = features.attention.shape
    name = f"learner {type(learner).__name__}"
    checked = check_array(name, answer, (height * width, n), probability=True)
    return np.asarray(checked, dtype=np.float32).reshape(height, width, n)


def _points(features: PatchFeatures, center: Float) -> Float:
    """The patches float32 (h · w, dim), relative to the mean one."""
    patches = features.patches.reshape(-1, features.patches.shape[-1])
    return np.asarray(patches, dtype=np.float32) - center
