"""What drawn objects look like, learned so that their like is found in any photo."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Rle
from prelabel.data.records import LabelledPatches, PatchFeatures
from prelabel.errors import UserError
from prelabel.steps.levels import unit
from prelabel.steps.patch_labels import (
    LabelledPhoto,
    class_names,
    patch_coverage,
    patch_shares,
    presume_background,
)
from prelabel.steps.region_classes import exemplars_of
from prelabel.steps.taught import Facts, Taught, points_of
from prelabel.strategies.checks import fit_learner, summarize
from prelabel.strategies.protocols import Learner

Float = NDArray[np.float32]
_PART = 0.25
"""What is found may have this share of the smallest drawn object's area at least."""
_NEARER = 0.4
"""By how much the cosine of mean patches is higher than that of regions' own vectors."""


@dataclass(frozen=True)
class Likeness:
    """What drawn objects look like.

    Attributes:
        taught: what the learner has learned of them, and their vectors.
        prototypes: float32 (n_classes, dim), the mean direction of the patches of each class, of length
            1; 0 for a class of which no patch is covered by half.
    """

    taught: Taught
    prototypes: Float


@dataclass(frozen=True)
class PhotoLikeness:
    """How like the drawn objects a photo's patches are. ``points``: float32 (h · w, dim), relative to the
    mean patch; ``classes``: P of each class, float32 (h · w, n_classes); ``p``: of any, float32
    (h, w)."""

    likeness: Likeness
    points: Float
    classes: Float
    p: Float

    def of_region(self, rle: Rle, vector: Float | None = None) -> tuple[int, float]:
        """The class of a region, and how like drawn objects it is, in [0, 1].

        The mean of two: how much higher P is inside than on the patches around it; and the cosine of
        its ``vector``, float32 (dim,), with the most similar drawn object's. Without one it is that of
        its mean patch with the drawn objects', lowered, as it is higher.
        """
        covered = patch_coverage([rle], *self.p.shape)
        shares = covered.ravel() @ self.classes
        taught = self.likeness.taught
        own = taught.exemplars.shape[1:]
        if vector is not None and vector.shape == own:
            cosines = taught.exemplars @ unit(vector[None])[0]
            best = int(np.argmax(cosines))
            number, cosine = int(taught.exemplar_classes[best]), float(cosines[best])
        else:
            number = int(shares.argmax())
            mean = unit((covered.ravel() @ unit(self.points))[None])[0]
            cosine = float(self.likeness.prototypes[number] @ mean) - _NEARER
        touched = covered > 0
        around = cv2.dilate(touched.astype(np.uint8), np.ones((3, 3), dtype=np.uint8)) > touched
        inside = float((covered * self.p).sum() / max(float(covered.sum()), 1e-9))
        outside = float(self.p[around].mean()) if around.any() else 0.0
        return number, float(np.clip((cosine + inside - outside) / 2, 0, 1))


def learn_likeness(
    photos: Sequence[LabelledPhoto],
    *,
    learner: Learner,
    center: Float,
    features_of: Callable[[str], PatchFeatures],
    seed: int,
    min_area: float,
) -> Likeness:
    """What the drawn objects of some photos, perhaps of one, look like beside all else on them.

    Unlike with ``learn``, nothing else is asked what an object is.

    Args:
        photos: with a drawn object on one of them at least.
        learner: the strategy.
        center: float32 (dim,), the mean patch.
        features_of: the features of the photo with a digest.
        seed: of everything that is drawn.
        min_area: share of a photo that a region may be small, if drawn objects are not smaller.

    Raises UserError if nothing can be learned.
    """
    classes = class_names(photos)

    def patches(photo: LabelledPhoto) -> LabelledPatches:
        features = features_of(photo.digest)
        shares = _shares(photo, classes, *features.attention.shape)
        return LabelledPatches(points_of(features, center), shares)

    learned: Mapping[str, Float] = {}
    areas = [region.area for photo in photos for region in photo.regions if region.name]
    if areas:
        learned = fit_learner(learner, [summarize(learner, map(patches, photos), seed=seed)])
    if not learned:
        raise UserError(
            "the examples teach nothing: their masks have to cover half a patch of a photo or more, and "
            "to leave some of it (a patch is 8 to 16 pixels wide at features.size); and the learner "
            "may not be none (learner.name)"
        )
    facts = Facts(
        classes=classes,
        photos=len(photos),
        weight=1.0,
        name_weight=1.0,
        scores={},
        name_scores={},
        smallest=min(min_area, _PART * min(areas)),
    )
    vectors, vector_classes = exemplars_of(photos, classes)
    taught = Taught(
        facts=facts, learned=learned, exemplars=vectors, exemplar_classes=vector_classes
    )
    return Likeness(taught, _prototypes(map(patches, photos), len(classes)))


def photo_likeness(
    likeness: Likeness, learner: Learner, features: PatchFeatures, center: Float
) -> PhotoLikeness:
    """How like the drawn objects a photo's patches are. Raises ContractError."""
    points = points_of(features, center)
    nothing = np.zeros(features.attention.shape, dtype=np.float32)
    classes, p = likeness.taught.foreground(learner, points, nothing)
    return PhotoLikeness(likeness, points, classes, p)


def _prototypes(photos: Iterable[LabelledPatches], n_classes: int) -> Float:
    """As of ``Likeness``."""
    sums: list[Float] = [
        np.stack([unit(p.vectors[share >= 0.5]).sum(axis=0) for share in p.shares.T[1:]])
        for p in photos
    ]
    total = np.sum(sums, axis=0)
    return unit(np.asarray(total, dtype=np.float32).reshape(n_classes, -1))


def _shares(photo: LabelledPhoto, classes: Sequence[str], height: int, width: int) -> Float:
    """As of ``LabelledPatches``."""
    shares = patch_shares(photo, classes, height=height, width=width)
    presume_background(shares, photo)
    return shares.reshape(height * width, -1)
