"""How foreground is cut into the objects that people drew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.bulges import Bulges, Labels
from prelabel.data.masks import Mask

_CROWDED_NECK, _CROWDED_LIMB = 0.75, 0.2
"""The neck and the limb (as in `Bulges.cut`) where objects share parts of the foreground. On photos of animals and of
everyday scenes, after ten photos, necks of 0.65 to 0.85 find 1 to 8 more of 100 objects of other photos than no cutting,
but ten photos are too few to tell that. With the limb as many are found, and a quarter fewer regions are wrong."""
_CROWDED = 0.2
"""Objects that share a part with another, for each part that holds one, from which on that is the rule. Of 5 to 20
photos of animals it was 0.2 to 1.6, of everyday scenes 0.6 to 4.5; where a photo shows one object, at most 0.12 in
several photos."""
NECKS = (0.0, 0.6, _CROWDED_NECK, 0.85, 0.95)
"""Widths of necks that are compared; 0 does not cut."""
_SMALLEST, _SMALL = (0.05, 1 / 4), (0.25, 1 / 2)
"""Quantiles of the drawn areas, and the shares of them that may be the smallest area that is kept. The second
only where it keeps more than the settings do: else it leaves out objects of other photos, after 20 photos of
ecssd 10 to 20 of 100, and after as many of kvasir foreground IoU was 0.1 lower."""
_MARGIN = 0.01
"""What cutting, or another smallest area, must gain in F1 before it is done, beside twice the standard
error of the gain over photos: of a dozen candidates one is better on a few objects by chance."""
_FOUND = 0.5
"""IoU from which an object counts as found."""


@dataclass(frozen=True)
class Cutting:
    """How foreground becomes objects.

    Attributes:
        neck: in [0, 1]; two bulges of a part are two objects if the neck between them is narrower
            than this share of the thinner bulge. 0 leaves parts as they are.
        smallest: share of the photo; smaller objects are left out. None: as the settings say.
        more_regions: whether the separator makes more regions than by its settings; limbs then stay where
            they are.
    """

    neck: float = 0.0
    smallest: float | None = None
    more_regions: bool = False

    @property
    def limb(self) -> float:
        """As in `Bulges.cut`."""
        return _CROWDED_LIMB if self.more_regions else 0.0


@dataclass(frozen=True)
class Drawn:
    """A labelled photo at one size: its foreground as it was predicted, and the objects as they were
    drawn, bool (h, w) and (n, h, w)."""

    foreground: Mask
    objects: NDArray[np.bool_]


def choose_cutting(
    photos: Sequence[Drawn],
    areas: Sequence[float],
    *,
    min_area: float,
    can_make_more: bool = False,
) -> tuple[Cutting, float]:
    """The cutting that gives back most of the drawn objects, and its F1 over all photos.

    ``areas``: of drawn objects, as shares of their photos. ``min_area``: the settings'. ``can_make_more``:
    whether the separator can make more regions; then, where the photos tell nothing for sure and objects
    share parts of the foreground, these are cut.
    """
    if not photos or not areas:
        return Cutting(), 0.0
    tried = [float(np.quantile(areas, q)) * share for q, share in (_SMALLEST, _SMALL)]
    smallest = [None, tried[0], *(area for area in tried[1:] if area < min_area)]
    bulges = [Bulges.of(photo.foreground) for photo in photos]

    def overlaps(cutting: Cutting) -> list[_Overlaps]:
        parts = (one.cut(cutting.neck, cutting.limb) for one in bulges)
        return [_Overlaps.of(own, p.objects) for own, p in zip(parts, photos, strict=True)]

    best, plain = Cutting(), overlaps(Cutting())
    best_score = _f1(plain, min_area)
    for neck in NECKS:
        found = overlaps(Cutting(neck)) if neck else plain
        for least in smallest:
            area = min_area if least is None else least
            score = _f1(found, area)
            if score > best_score + _MARGIN and _is_sure(plain, min_area, found, area):
                best, best_score = Cutting(neck, least), score
    if best == Cutting() and can_make_more and _share_parts(plain, min_area):
        crowded = Cutting(_CROWDED_NECK, more_regions=True)
        found = overlaps(crowded)
        score = _f1(found, min_area)
        if best_score <= score + _MARGIN or not _is_sure(found, min_area, plain, min_area):
            best, best_score = crowded, score
    return best, best_score


@dataclass(frozen=True)
class _Overlaps:
    """Areas of a photo's parts as shares of it, which of them are an object, the objects' areas, and the
    number from 0 of the part that holds half of each or more, or -1."""

    areas: NDArray[np.float64]
    is_object: NDArray[np.bool_]
    objects: NDArray[np.float64]
    held_by: NDArray[np.int64]

    @classmethod
    def of(cls, parts: Labels, objects: NDArray[np.bool_]) -> _Overlaps:
        labels = parts.ravel()
        n = int(labels.max()) + 1
        areas = np.bincount(labels, minlength=n)[1:]
        is_object = np.zeros(n - 1, dtype=np.bool_)
        held_by = np.full(len(objects), -1)
        for i, drawn in enumerate(objects):
            both = np.bincount(labels[drawn.ravel()], minlength=n)[1:]
            if len(both):
                top = int(both.argmax())
                union = areas[top] + int(drawn.sum()) - both[top]
                is_object[top] |= bool(both[top] >= _FOUND * union)
                held_by[i] = top if 2 * both[top] >= drawn.sum() else -1
        return cls(areas / len(labels), is_object, objects.mean(axis=(1, 2)), held_by)

    def holders(self, least: float) -> tuple[int, int]:
        """The number of parts that hold objects, and of these objects; both as large as ``least``."""
        held = self.held_by[(self.objects >= least) & (self.held_by >= 0)]
        held = held[self.areas[held] >= least]
        return len(np.unique(held)), len(held)


def _share_parts(photos: Sequence[_Overlaps], least: float) -> bool:
    """Whether objects share parts of the foreground with others as a rule, and in two photos or more."""
    counts = [photo.holders(least) for photo in photos]
    shared = [objects - parts for parts, objects in counts]
    rule = sum(shared) >= _CROWDED * sum(parts for parts, _ in counts)
    return rule and sum(n > 0 for n in shared) >= 2


def _is_sure(
    before: Sequence[_Overlaps], least_before: float, after: Sequence[_Overlaps], least_after: float
) -> bool:
    """Whether photos gain F1 by more than twice the standard error."""
    gains = np.array(
        [
            _f1([one], least_after) - _f1([other], least_before)
            for one, other in zip(after, before, strict=True)
        ]
    )
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else 0.0
    return bool(gains.mean() > 2 * error)


def _f1(overlaps: Sequence[_Overlaps], least: float) -> float:
    """Over all photos: the share of parts and objects that are matched."""
    kept = [o.areas >= least for o in overlaps]
    right = sum(int(o.is_object[k].sum()) for o, k in zip(overlaps, kept, strict=True))
    total = sum(int(k.sum()) + len(o.objects) for o, k in zip(overlaps, kept, strict=True))
    return 2 * right / total if total else 1.0
