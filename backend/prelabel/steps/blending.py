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
_PRIOR = (1.5, 2.0, 2.0, 1.0, 0.5)
"""How likely each of them is before anything is known: the levels count more, since labelled photos are
seldom drawn at random, and what the learner takes from them may not be true of the others."""
_GAIN = 0.13
"""IoU that a weight gains over the levels alone, on photos that were left out, from which on it decides.
It counts squared: small gains say little of photos that nobody chose to label, however many photos show
them; large ones say all. On six orders of each of five sets (after 1 to 20 photos, and up to ten of each
class), foreground IoU at the pixels of other photos was on average as with linear gains of at most two
photos (0.664), and the mean loss where labels made masks worse 0.053 in sum instead of 0.175."""
_SUREST = 0.02
"""How far from 0 and 1 the P of the learner and of the levels are held while they are combined, so that
neither decides alone."""
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
    """How P(foreground) is made of the learner's and the levels': the logarithmic opinion pool (Genest
    and Zidek, Statistical Science 1, 1986), in which who is surer counts more.

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
        p = _pool(learned, levels, weight) if weight else levels
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
    """A blend, and the mean IoU for each of ``WEIGHTS`` and its own with its smoothing, by weight; no
    means without photos.

    The weight is the mean of ``WEIGHTS``, each counting by what it has been worth on the photos, as in
    the exponentially weighted average (Vovk, COLT 1990). ``patches``: that the median object covers;
    nothing is smoothed where that would blur it away.
    """
    if not photos:
        return Blend(_average(np.zeros((len(WEIGHTS), 0)))), {}
    best = plain = _average_blend(photos, 0.0, 0.0)
    if patches < _LARGE:
        return best.blend, best.scores
    other = _average_blend(photos, _SMOOTHING, _PEAK)
    gains = other.ious - plain.ious
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else 0.0
    if gains.mean() > max(_MARGIN, error):
        best = other
    return best.blend, best.scores


@dataclass(frozen=True)
class _Tried:
    """The average weight with some smoothing. ``ious``: of each photo; ``scores``: means by weight."""

    blend: Blend
    ious: NDArray[np.float64]
    scores: dict[str, float]


def _average_blend(photos: Sequence[LeftOut], smoothing: float, peak: float) -> _Tried:
    blends = [Blend(weight, smoothing, peak) for weight in WEIGHTS]
    ious = np.array([[photo.iou(blend) for photo in photos] for blend in blends])
    blend = Blend(_average(ious), smoothing, peak)
    own = np.array([photo.iou(blend) for photo in photos])
    weights, means = (*WEIGHTS, blend.weight), [*ious.mean(axis=1), own.mean()]
    scores = {f"{w:g}": round(float(mean), 4) for w, mean in zip(weights, means, strict=True)}
    return _Tried(blend, own, scores)


def _average(ious: NDArray[np.float64]) -> float:
    """Of ``WEIGHTS``, by the IoU of each (rows) on each photo (columns)."""
    gains = (ious - ious[0]).mean(axis=1) if ious.size else np.zeros(len(WEIGHTS))
    evidence = np.sign(gains) * (gains / _GAIN) ** 2
    likely = np.array(_PRIOR) * np.exp(evidence - evidence.max())
    return round(float(likely @ WEIGHTS / likely.sum()), 2)


def _pool(learned: Float, levels: Float, weight: np.float32) -> Float:
    inner = [_SUREST + (1 - 2 * _SUREST) * p for p in (learned, levels)]
    log_odds = [np.log(p / (1 - p)) for p in inner]
    p = 1 / (1 + np.exp(-(weight * log_odds[0] + (1 - weight) * log_odds[1])))
    return np.asarray(np.clip((p - _SUREST) / (1 - 2 * _SUREST), 0, 1), dtype=np.float32)


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
