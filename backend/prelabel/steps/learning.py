"""Learning from labelled photos: a learner, and how far it is believed, found by leaving photos out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import rle_area
from prelabel.data.records import LabelledPatches, PatchFeatures
from prelabel.steps.blending import WEIGHTS, Blend, LeftOut, choose_blend, reach_of
from prelabel.steps.cutting import Cutting, Drawn, choose_cutting
from prelabel.steps.levels import unit
from prelabel.steps.patch_labels import LabelledPhoto, class_names, patch_coverage, patch_shares
from prelabel.steps.regions import upsample
from prelabel.steps.taught import (
    Facts,
    Taught,
    exemplar_scores,
    mix,
    points_of,
    predict_patches,
    region_shares,
)
from prelabel.strategies.protocols import Learner

Float = NDArray[np.float32]
FOLDS = 8
"""Groups of labelled photos, each of which is left out once to see how well the others teach."""
_UNTRIED_NAMES = 0.5
"""The learner's weight in names while no photo can be left out."""
_MOST_TRIED = 64
"""Photos on which weights are compared; the labelled photos are drawn evenly."""
_MOST_EXEMPLARS = 200
"""Vectors that are kept of a class, drawn evenly."""
_MOST_MEANS = 200
"""Labelled photos whose mean patch is kept, drawn evenly."""
_FINER = 4
"""Pixels for each patch, along one side, of the foreground on which cutting is compared."""


def learn(
    photos: Sequence[LabelledPhoto],
    *,
    learner: Learner,
    center: Float,
    features_of: Callable[[str], PatchFeatures],
    levels_of: Callable[[str], Float],
    seed: int,
    min_area: float = 0.0,
) -> Taught:
    """Learn from labelled photos.

    Args:
        photos: in any order that stays when photos are added at its end.
        learner: the strategy.
        center: float32 (dim,), the mean patch.
        features_of: the features of the photo with a digest.
        levels_of: P(foreground) float32 (h, w) of the levels alone, of the photo with a digest.
        seed: of everything that is drawn.
        min_area: share of a photo from which on parts are kept, if labels do not tell.
    """
    classes = class_names(photos)

    def labelled(photo: LabelledPhoto) -> LabelledPatches:
        features = features_of(photo.digest)
        height, width = features.attention.shape
        shares = patch_shares(photo, classes, height=height, width=width)
        return LabelledPatches(points_of(features, center), shares.reshape(height * width, -1))

    folds = [photos[i::FOLDS] for i in range(min(FOLDS, len(photos)))]
    summaries = [learner.summarize(map(labelled, fold), seed=seed) for fold in folds]
    left_out: list[tuple[LabelledPhoto, LeftOut]] = []
    names: list[list[float]] = []
    for number, fold in enumerate(folds):
        others = learner.fit([s for i, s in enumerate(summaries) if i != number])
        if not others:
            continue
        rest = [photo for i, other in enumerate(folds) if i != number for photo in other]
        exemplars = _exemplars(rest, classes)
        for photo in fold[: max(1, _MOST_TRIED // len(folds))]:
            patches = labelled(photo)
            levels = levels_of(photo.digest)
            p = predict_patches(learner, others, patches.vectors, len(classes))[:, 1:]
            left_out.append((photo, _left_out(p.sum(axis=1), levels, patches.shares)))
            names += _named_right(photo, classes, p, levels.shape, exemplars)
    learned = learner.fit(summaries)
    tried = [photo for _, photo in left_out]
    areas = _areas(photos)
    size = float(np.median(areas)) * tried[0].levels.size if areas and tried else np.inf
    blend, scores = choose_blend(tried, patches=size)
    cutting = _choose_cutting(left_out, blend, areas, min_area) if learned else Cutting()
    means, spread = _mean_patches(photos, center, features_of)
    name_scores = _means(names)
    vectors, vector_classes = _exemplars(photos, classes)
    return Taught(
        facts=Facts(
            classes=classes,
            photos=len(photos),
            weight=blend.weight if learned else 0.0,
            smoothing=blend.smoothing,
            peak=blend.peak,
            reach=reach_of(means, spread),
            neck=cutting.neck,
            smallest=cutting.smallest,
            name_weight=_best(name_scores, _UNTRIED_NAMES),
            scores=scores,
            name_scores=name_scores,
        ),
        learned=learned,
        means=means,
        exemplars=vectors,
        exemplar_classes=vector_classes,
    )


def _means(rows: Sequence[Sequence[float]]) -> dict[str, float]:
    """The mean for each of ``WEIGHTS``, by weight; none without rows."""
    if not rows:
        return {}
    means = np.mean(rows, axis=0).round(4).tolist()
    return {f"{weight:g}": mean for weight, mean in zip(WEIGHTS, means, strict=True)}


def _best(scores: Mapping[str, float], untried: float) -> float:
    """The weight with the highest score, the lowest of several."""
    return float(max(scores, key=lambda weight: scores[weight])) if scores else untried


def _left_out(learned: Float, levels: Float, shares: Float) -> LeftOut:
    grid = levels.shape
    truth, known = shares[:, 1:].sum(axis=1), shares.sum(axis=1)
    return LeftOut(learned.reshape(grid), levels, truth.reshape(grid), known.reshape(grid))


def _choose_cutting(
    left_out: Sequence[tuple[LabelledPhoto, LeftOut]],
    blend: Blend,
    areas: Sequence[float],
    min_area: float,
) -> Cutting:
    """How the foreground of photos that were left out is best cut into what was drawn."""
    drawn = []
    for photo, known in left_out:
        if any(r.weight < 1 for r in photo.regions) or not photo.complete:
            continue  # of boxes and of photos that are labelled in part the objects are not known
        height, width = (_FINER * n for n in known.levels.shape)
        p = upsample(blend(known.learned, known.levels), height=height, width=width)
        own = [r.rle for r in photo.regions if r.name]
        objects = [patch_coverage([rle], height, width) >= 0.5 for rle in own]
        masks = np.stack(objects) if objects else np.zeros((0, height, width), dtype=np.bool_)
        drawn.append(Drawn(p > 0.5, masks[masks.any(axis=(1, 2))]))
    return choose_cutting(drawn, areas, min_area=min_area)[0]


def _areas(photos: Sequence[LabelledPhoto]) -> list[float]:
    """Of the objects whose masks were drawn, as shares of their photos."""
    drawn = [r.rle for photo in photos for r in photo.regions if r.name and r.weight == 1]
    return [rle_area(rle) / (rle["size"][0] * rle["size"][1]) for rle in drawn]


def _mean_patches(
    photos: Sequence[LabelledPhoto], center: Float, features_of: Callable[[str], PatchFeatures]
) -> tuple[Float, float]:
    """The mean patch of labelled photos float32 (n, dim), and the root mean square distance of patches
    from it."""
    chosen = np.unique(np.linspace(0, len(photos) - 1, min(len(photos), _MOST_MEANS)).astype(int))
    means, squares = [], []
    for i in chosen:
        points = points_of(features_of(photos[i].digest), center)
        means.append(points.mean(axis=0))
        squares.append(float(((points - means[-1]) ** 2).sum(axis=1).mean()))
    if not means:
        return np.zeros((0, len(center)), dtype=np.float32), 0.0
    return np.stack(means).astype(np.float32), float(np.sqrt(np.mean(squares)))


def _named_right(
    photo: LabelledPhoto,
    classes: Sequence[str],
    p: Float,
    grid: tuple[int, ...],
    exemplars: tuple[Float, Float],
) -> list[list[float]]:
    """For each region with a name and a vector: for each of ``WEIGHTS``, whether it gets its own
    class. ``p``: the learner's P of each class at the patches."""
    own = [region for region in photo.regions if region.name and region.vector is not None]
    if not own or len(classes) < 2:
        return []
    shares = region_shares(p, [region.rle for region in own], *grid[:2])
    vectors = np.stack([region.vector for region in own if region.vector is not None])
    nearest = exemplar_scores(vectors, *exemplars, len(classes))
    truth = np.array([classes.index(region.name) for region in own])
    right = [mix(shares, nearest, weight).argmax(axis=1) == truth for weight in WEIGHTS]
    found: list[list[float]] = np.stack(right, axis=1).astype(float).tolist()
    return found


def _exemplars(photos: Sequence[LabelledPhoto], classes: Sequence[str]) -> tuple[Float, Float]:
    """Vectors float32 (n, dim) of length 1 of regions with a name, and their classes float32 (n,)."""
    vectors: list[Float] = []
    numbers: list[float] = []
    for number, name in enumerate(classes):
        own = [
            region.vector
            for photo in photos
            for region in photo.regions
            if region.name == name and region.vector is not None
        ]
        chosen = np.unique(np.linspace(0, len(own) - 1, min(len(own), _MOST_EXEMPLARS)).astype(int))
        vectors += [own[i] for i in chosen]
        numbers += [float(number)] * len(chosen)
    if not vectors:
        return np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.float32)
    return unit(np.stack(vectors)), np.array(numbers, dtype=np.float32)
