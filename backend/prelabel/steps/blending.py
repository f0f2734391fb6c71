"""What the levels and a learner say of a photo, combined as is best on photos that were left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Weights of the learner that are compared."""
_EVEN = 0.5
"""The learner's weight while no photo can be left out, and where another is hardly better: two opinions
are right more often than either."""
_HARDLY = 0.5
"""Of the standard error of the gain over photos: what another weight must gain at least."""
_FEW, _CLEARLY = 5, 0.1
"""With fewer photos than this, what a lower weight must gain at least: few photos that differ say little
of each other, and yet teach what the photos that are like them show."""
_SMOOTHING, _PEAK = 0.8, 0.83
"""Smoothing and peak that are compared with none."""
_LARGE = 9
"""Patches of an object that smoothing does not blur away."""
_MARGIN = 0.005
"""What they must gain before they are used, beside the standard error of the gain over photos."""
_REACH_OF_ONE = 0.25
"""How far a lone labelled photo is believed, as a share of the spread of its patches."""


@dataclass(frozen=True)
class Blend:
    """How P(foreground) is made of the learner's and the levels'.

    Attributes:
        weight: in [0, 1], of the learner; the levels have the rest.
        smoothing: in patches, ≥ 0: the Gaussian that P is smoothed with.
        peak: in [0, 1]: P of a photo is raised until its highest is this, as is right where every
            photo shows an object; 0 raises nothing.
    """

    weight: float
    smoothing: float = 0.0
    peak: float = 0.0

    def __call__(self, learned: Float, levels: Float, trust: float = 1.0) -> Float:
        """P(foreground) float32 (h, w) of the two's. ``trust``: in [0, 1], how far the learner knows
        photos like this one."""
        weight = np.float32(self.weight * trust)
        p = np.asarray((1 - weight) * levels + weight * learned, dtype=np.float32)
        if self.smoothing and weight:
            blurred = cv2.GaussianBlur(p, (0, 0), self.smoothing, borderType=cv2.BORDER_REPLICATE)
            p = np.asarray(blurred, dtype=np.float32)
        if self.peak and weight and 0 < (highest := float(p.max())) < self.peak:
            p = p * np.float32(self.peak / highest)
        return np.asarray(p, dtype=np.float32)


@dataclass(frozen=True)
class LeftOut:
    """A labelled photo that the learner was not taught with. ``learned``, ``levels``: P(foreground);
    ``truth``, ``known``: shares of each patch that are foreground, and that are known; all float32
    (h, w). ``trust``: in [0, 1], how far the learner knows photos like it."""

    learned: Float
    levels: Float
    truth: Float
    known: Float
    trust: float = 1.0

    def iou(self, blend: Blend) -> float:
        """Foreground IoU over patches as far as they are known. Without an object, the share of
        background that is left as it is."""
        mask = (blend(self.learned, self.levels, self.trust) > 0.5) * self.known
        if self.truth.sum() < 0.5:
            return 1 - float(mask.sum() / max(float(self.known.sum()), 1e-6))
        return float(np.minimum(mask, self.truth).sum() / np.maximum(mask, self.truth).sum())


def choose_blend(
    photos: Sequence[LeftOut], *, patches: float = np.inf
) -> tuple[Blend, dict[str, float]]:
    """The blend with the highest mean IoU, and the mean for each weight with its smoothing, by weight;
    no means without photos. Where another weight is hardly better, both count alike. ``patches``: that the median
    object covers; nothing is smoothed where that would blur it away."""
    if not photos:
        return Blend(_EVEN), {}
    best = plain = _best(photos, 0.0, 0.0)
    if patches < _LARGE:
        return best.blend, best.scores
    other = _best(photos, _SMOOTHING, _PEAK)
    gains = other.ious - plain.ious
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else 0.0
    if gains.mean() > max(_MARGIN, error):
        best = other
    return best.blend, best.scores


@dataclass(frozen=True)
class _Tried:
    """The best weight with some smoothing. ``ious``: of each photo; ``scores``: means by weight."""

    blend: Blend
    ious: NDArray[np.float64]
    scores: dict[str, float]


def _best(photos: Sequence[LeftOut], smoothing: float, peak: float) -> _Tried:
    blends = [Blend(weight, smoothing, peak) for weight in WEIGHTS]
    ious = np.array([[photo.iou(blend) for photo in photos] for blend in blends])
    means = ious.mean(axis=1).round(4).tolist()
    top, even = int(np.argmax(means)), WEIGHTS.index(_EVEN)
    gains = ious[top] - ious[even]
    if (n := len(gains)) > 1:
        least = _HARDLY * gains.std(ddof=1) / np.sqrt(n)
        if top < even and n < _FEW:
            least = max(least, _CLEARLY)
        if gains.mean() <= least:
            top = even
    scores = {f"{weight:g}": mean for weight, mean in zip(WEIGHTS, means, strict=True)}
    return _Tried(blends[top], ious[top], scores)


def reach_of(means: Float, spread: float) -> float:
    """How far from the nearest labelled photo another one may be: as far as the labelled ones are
    from each other.

    ``means``: float32 (n, dim), the mean patch of each labelled photo. ``spread``: root mean square
    distance of patches from their photo's mean, which decides while there is one photo.
    """
    if len(means) < 2:
        return _REACH_OF_ONE * spread
    return max(float(np.sort(distances(mean, means))[1]) for mean in means)


def trust(mean: Float, means: Float, reach: float) -> float:
    """How far a learner knows photos like the one with this mean patch: 1 within reach of a labelled
    photo, 0 from twice as far on."""
    if not len(means):
        return 1.0
    nearest = float(distances(mean, means).min())
    return float(np.clip(2 - nearest / reach, 0, 1)) if reach > 0 else float(nearest <= 1e-6)


def distances(mean: Float, means: Float) -> Float:
    """Of a vector (dim,) from each row of float32 (n, dim)."""
    return np.asarray(np.linalg.norm(means - mean, axis=1), dtype=np.float32)
