"""Learning from labelled photos: a learner, and how far it is believed, found by leaving photos out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import LabelledPatches, PatchFeatures
from prelabel.steps.blending import WEIGHTS, Blend, LeftOut, choose_blend, reach_of, trust
from prelabel.steps.cutting import Cutting, Drawn, choose_cutting
from prelabel.steps.kept import Kept
from prelabel.steps.patch_labels import (
    LabelledPhoto,
    class_names,
    drawn_areas,
    patch_coverage,
    patch_shares,
    presume_background,
)
from prelabel.steps.region_classes import exemplars_of, named_right
from prelabel.steps.regions import upsample
from prelabel.steps.taught import (
    Facts,
    Taught,
    points_of,
    predict_patches,
)
from prelabel.strategies.checks import fit_learner, summarize
from prelabel.strategies.protocols import Learner

Float = NDArray[np.float32]
FOLDS = 8
"""Groups of labelled photos, each of which is left out once to see how well the others teach."""
_UNTRIED_NAMES = 0.5
"""The learner's weight in names while no photo can be left out."""
_MOST_TRIED = 64
"""Photos on which weights are compared; the labelled photos are drawn evenly."""
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
    can_make_more: bool = False,
    kept: Kept | None = None,
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
        can_make_more: as in `choose_cutting`.
        kept: of an earlier call with the same learner, center and seed; changed for the next one.
    """
    known = kept or Kept()
    known.begin()
    labels = _Labels(class_names(photos), learner, center, features_of, levels_of, seed, known)
    folds = _folds(photos)
    summaries = [labels.summarize(fold) for fold in folds]
    left_out, names = _leave_out(folds, summaries, labels)
    learned = fit_learner(learner, summaries)
    areas = drawn_areas(photos)
    blend, scores = _choose_blend(left_out, areas)
    cutting = Cutting()
    if learned:
        drawn = list(_drawn(left_out, blend, known))
        cutting, _ = choose_cutting(drawn, areas, min_area=min_area, can_make_more=can_make_more)
    means, spread = _mean_patches(photos, labels.mean_of)
    name_scores = _means(names)
    vectors, vector_classes = exemplars_of(photos, labels.classes)
    return Taught(
        facts=Facts(
            classes=labels.classes,
            photos=len(photos),
            weight=blend.weight if learned else 0.0,
            smoothing=blend.smoothing,
            peak=blend.peak,
            reach=reach_of(means, spread),
            neck=cutting.neck,
            smallest=cutting.smallest,
            more_regions=cutting.more_regions,
            name_weight=_best(name_scores, _UNTRIED_NAMES),
            scores=scores,
            name_scores=name_scores,
        ),
        learned=learned,
        means=means,
        exemplars=vectors,
        exemplar_classes=vector_classes,
    )


def left_out_ious(
    photos: Sequence[LabelledPhoto],
    *,
    learner: Learner,
    center: Float,
    features_of: Callable[[str], PatchFeatures],
    levels_of: Callable[[str], Float],
    seed: int,
) -> NDArray[np.float64]:
    """The foreground IoU (n,) of photos that are left out, with the blend that is best on them; n = 0
    if nothing can be learned. The arguments are those of ``learn``."""
    labels = _Labels(class_names(photos), learner, center, features_of, levels_of, seed, Kept())
    folds = _folds(photos)
    left_out, _ = _leave_out(folds, [labels.summarize(fold) for fold in folds], labels)
    blend = _choose_blend(left_out, drawn_areas(photos))[0]
    return np.array([one.iou(blend) for _, one in left_out])


def _folds(photos: Sequence[LabelledPhoto]) -> list[Sequence[LabelledPhoto]]:
    return [photos[i::FOLDS] for i in range(min(FOLDS, len(photos)))]


def _choose_blend(
    left_out: Sequence[tuple[LabelledPhoto, LeftOut]], areas: Sequence[float]
) -> tuple[Blend, dict[str, float]]:
    """The best blend on photos that were left out. ``areas``: of drawn objects, as shares."""
    tried = [photo for _, photo in left_out]
    size = float(np.median(areas)) * tried[0].levels.size if areas and tried else np.inf
    return choose_blend(tried, patches=size)


@dataclass(frozen=True)
class _Labels:
    """Labelled photos as a learner takes them. The attributes are those of ``learn``."""

    classes: tuple[str, ...]
    learner: Learner
    center: Float
    features_of: Callable[[str], PatchFeatures]
    levels_of: Callable[[str], Float]
    seed: int
    kept: Kept

    def patches(self, photo: LabelledPhoto) -> LabelledPatches:
        """The patches of a photo and their labels."""
        key = "shares", self.classes, photo.key
        shares = self.kept.get(key, lambda: self._shares(photo))
        return LabelledPatches(points_of(self.features_of(photo.digest), self.center), shares)

    def summarize(self, photos: Sequence[LabelledPhoto]) -> Mapping[str, Float]:
        """The learner's summary of some photos."""
        key = "summary", self.classes, tuple(photo.key for photo in photos)
        own = map(self.patches, photos)
        return self.kept.get(key, lambda: summarize(self.learner, own, seed=self.seed))

    def mean_of(self, digest: str) -> tuple[Float, float]:
        """A photo's mean patch float32 (dim,), and the mean square distance of its patches from it."""
        return self.kept.get(("mean", digest), lambda: self._mean(digest))

    def _shares(self, photo: LabelledPhoto) -> Float:
        height, width = self.features_of(photo.digest).attention.shape
        shares = patch_shares(photo, self.classes, height=height, width=width)
        if not photo.complete:
            presume_background(shares, photo, self.levels_of(photo.digest) < 0.5)
        return shares.reshape(height * width, -1)

    def _mean(self, digest: str) -> tuple[Float, float]:
        points = points_of(self.features_of(digest), self.center)
        mean = np.asarray(points.mean(axis=0), dtype=np.float32)
        return mean, float(((points - mean) ** 2).sum(axis=1).mean())


def _leave_out(
    folds: Sequence[Sequence[LabelledPhoto]],
    summaries: Sequence[Mapping[str, Float]],
    labels: _Labels,
) -> tuple[list[tuple[LabelledPhoto, LeftOut]], list[list[float]]]:
    """What the photos of the other folds teach about those of each; and for each of their regions what
    ``named_right`` says."""
    left_out: list[tuple[LabelledPhoto, LeftOut]] = []
    names: list[list[float]] = []
    classes = labels.classes
    for number, fold in enumerate(folds):
        others = fit_learner(labels.learner, [s for i, s in enumerate(summaries) if i != number])
        if not others:
            continue
        rest = [photo for i, other in enumerate(folds) if i != number for photo in other]
        exemplars = exemplars_of(rest, classes)
        means, spread = _mean_patches(rest, labels.mean_of)
        reach = reach_of(means, spread)
        for photo in fold[: max(1, _MOST_TRIED // len(folds))]:
            patches, levels = labels.patches(photo), labels.levels_of(photo.digest)
            p = predict_patches(labels.learner, others, patches.vectors, len(classes))[:, 1:]
            believed = trust(labels.mean_of(photo.digest)[0], means, reach)
            left_out.append((photo, _left_out(p.sum(axis=1), levels, patches.shares, believed)))
            names += named_right(photo, classes, p, levels.shape, exemplars)
    return left_out, names


def _means(rows: Sequence[Sequence[float]]) -> dict[str, float]:
    """The mean for each of ``WEIGHTS``, by weight; none without rows."""
    if not rows:
        return {}
    means = np.mean(rows, axis=0).round(4).tolist()
    return {f"{weight:g}": mean for weight, mean in zip(WEIGHTS, means, strict=True)}


def _best(scores: Mapping[str, float], untried: float) -> float:
    """The weight with the highest score, the lowest of several."""
    return float(max(scores, key=lambda weight: scores[weight])) if scores else untried


def _left_out(learned: Float, levels: Float, shares: Float, believed: float) -> LeftOut:
    grid = levels.shape
    truth, known = shares[:, 1:].sum(axis=1), shares.sum(axis=1)
    learned, truth, known = (array.reshape(grid) for array in (learned, truth, known))
    return LeftOut(learned, levels, truth, known, believed)


def _drawn(
    left_out: Sequence[tuple[LabelledPhoto, LeftOut]], blend: Blend, kept: Kept
) -> Iterator[Drawn]:
    """The foreground of photos that were left out, and what was drawn on them."""
    for photo, known in left_out:
        if any(r.weight < 1 for r in photo.regions) or not photo.complete:
            continue  # of boxes and of photos that are labelled in part the objects are not known
        height, width = (_FINER * n for n in known.levels.shape)
        p = blend(known.learned, known.levels, known.trust)
        p = upsample(p, height=height, width=width)
        objects = kept.get(("objects", photo.key), partial(_objects, photo, height, width))
        yield Drawn(p > 0.5, objects)


def _objects(photo: LabelledPhoto, height: int, width: int) -> NDArray[np.bool_]:
    """The objects that were drawn on a photo bool (n, height, width), but for what is too small to see."""
    own = [r.rle for r in photo.regions if r.name]
    objects = [patch_coverage([rle], height, width) >= 0.5 for rle in own]
    masks = np.stack(objects) if objects else np.zeros((0, height, width), dtype=np.bool_)
    return np.asarray(masks[masks.any(axis=(1, 2))])


def _mean_patches(
    photos: Sequence[LabelledPhoto], mean_of: Callable[[str], tuple[Float, float]]
) -> tuple[Float, float]:
    """The mean patch of labelled photos float32 (n, dim), and the root mean square distance of patches
    from it. ``mean_of``: of the photo with a digest, as ``_Labels`` gives it."""
    chosen = np.unique(np.linspace(0, len(photos) - 1, min(len(photos), _MOST_MEANS)).astype(int))
    found = [mean_of(photos[i].digest) for i in chosen]
    if not found:
        return np.zeros((0, 0), dtype=np.float32), 0.0
    means, squares = zip(*found, strict=True)
    return np.stack(means).astype(np.float32), float(np.sqrt(np.mean(squares)))
