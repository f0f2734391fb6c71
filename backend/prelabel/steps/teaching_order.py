"""In which order photos are best labelled, so that the first ones teach most."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import LevelResult, PatchFeatures
from prelabel.steps.levels import unit

Float = NDArray[np.float32]
_LEADING = 200
"""Photos that are chosen one by one, each for what those before it do not explain."""
_COMPARED = 2000
"""Photos that the chosen ones have to explain; of more, a sample is drawn."""

_DOUBT = 0.3
"""Weight of a photo's doubt, relative to the mean doubt, beside what it explains."""


def photo_descriptor(features: PatchFeatures, foreground: Float) -> Float:
    """What a photo and its objects are like: float32 (2, dim), the CLS token and the mean patch by
    P(foreground) float32 (h, w)."""
    patches = features.patches.reshape(-1, features.patches.shape[-1]).astype(np.float32)
    weights = foreground.ravel() / max(float(foreground.sum()), 1e-6)
    return np.stack([features.cls.astype(np.float32), weights @ patches]).astype(np.float32)


def photo_doubt(levels: Sequence[LevelResult], learned: Float | None = None) -> float:
    """How far the answers for a photo disagree, in [0, 1]: twice the mean standard deviation of
    P(foreground) over its patches, among the levels; once taught, between their mean and the
    learner's ``learned``, float32 (h, w)."""
    answers = [level.foreground for level in levels]
    if learned is not None:
        answers = [np.mean(answers, axis=0), learned]
    return float(2 * np.std(answers, axis=0).mean())


def teaching_order(
    descriptors: Float,
    *,
    classes: Sequence[Collection[int]] | None = None,
    doubt: Float | None = None,
    taught: Collection[int] = (),
    seed: int = 0,
) -> list[int]:
    """The photos that are not labelled yet, those first that would teach most.

    First come photos with a class that has no name and that no photo before them has. Beyond these,
    a photo comes early if many photos are more like it than like any labelled one or any before it,
    the more so the more doubtful its own regions are beside those of other photos (greedy facility
    location); for the very first photo, doubt does not count. After 200 photos the others follow by
    their doubt alone.

    Args:
        descriptors: float32 (n, parts, dim), as ``photo_descriptor`` makes them.
        classes: of each photo, the classes without a name among its regions.
        doubt: float32 (n,) in [0, 1], as of ``photo_doubt``.
        taught: indices of photos that are labelled already.
        seed: of the sample that is drawn of more than 2000 photos.

    Returns:
        Indices of the photos that are not in ``taught``, each once.
    """
    n = len(descriptors)
    doubts = np.zeros(n, dtype=np.float32) if doubt is None else doubt
    weights = 1 + _DOUBT * doubts / max(float(doubts.mean()) if n else 0.0, 1e-6)
    own = [frozenset(numbers) for numbers in classes] if classes is not None else [frozenset()] * n
    likeness = _likeness(descriptors, seed)
    left = np.ones(n, dtype=np.bool_)
    explained = np.zeros(likeness.shape[1], dtype=np.float32)
    seen: set[int] = set()

    def label(photo: int) -> None:
        left[photo] = False
        np.maximum(explained, likeness[photo], out=explained)
        seen.update(own[photo])

    for photo in taught:
        label(photo)
    order: list[int] = []
    while left.any() and len(order) < _LEADING:
        candidates = np.flatnonzero(left)
        new = np.array([bool(own[i] - seen) for i in candidates])
        if new.any():
            candidates = candidates[new]
        gains = np.maximum(likeness[candidates] - explained, 0).mean(axis=1)
        if explained.any():  # the very first is one that the most others are like
            gains *= weights[candidates]
        chosen = int(candidates[np.argmax(gains)])
        label(chosen)
        order.append(chosen)
    rest = np.flatnonzero(left)
    return [*order, *map(int, rest[np.argsort(-doubts[rest], kind="stable")])]


def _likeness(descriptors: Float, seed: int) -> Float:
    """How like each photo is to each that is compared, float32 (n, m) in [0, 1]. What all photos
    share tells nothing, so cosines are taken of what differs from the mean."""
    n = len(descriptors)
    if not n:
        return np.zeros((0, 0), dtype=np.float32)
    points: Float = unit(descriptors - descriptors.mean(axis=0)).reshape(n, -1)
    compared: Float = points
    if n > _COMPARED:
        drawn = np.random.default_rng(seed).choice(n, _COMPARED, replace=False)
        compared = points[np.sort(drawn)]
    cosines = points @ compared.T / descriptors.shape[1]
    return np.asarray((1 + cosines) / 2, dtype=np.float32)
