"""How foreground is cut into the objects that people drew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from prelabel.data.bulges import Bulges, Labels
from prelabel.data.masks import Mask

_OF_MANY = 0.75
"""The neck where the foreground hides objects. On photos of animals and of everyday scenes, after ten photos, 0.65 to
0.85 find 1 to 8 more of 100 objects of the others than 0 does, but ten photos are too few to tell that."""
_LIMB = 0.2
"""The limb there: with it, a quarter of the regions that are no object are spared, and as many are found. Cells are
of all sizes, and have none."""
NECKS = (0.0, 0.6, _OF_MANY, 0.85, 0.95)
"""Widths of necks that are compared; 0 does not cut."""
_MORE = 0.2
"""By how much more objects were drawn than the foreground has parts, as a share of these, from which on it hides
some, which lie side by side in one. Of up to 35 photos of animals it was 0.2 to 1.5, where each photo shows one object
-0.8 to 0."""
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
        more_regions: whether the separator makes more regions than by its settings, if it can; limbs then
            stay where they are.
    """

    neck: float = 0.0
    smallest: float | None = None
    more_regions: bool = False

    @property
    def limb(self) -> float:
        """As in `Bulges.cut`."""
        return _LIMB if self.more_regions else 0.0


@dataclass(frozen=True)
class Drawn:
    """A labelled photo at one size: its foreground as it was predicted, and the objects as they were
    drawn, bool (h, w) and (n, h, w)."""

    foreground: Mask
    objects: NDArray[np.bool_]


def choose_cutting(
    photos: Sequence[Drawn], areas: Sequence[float], *, min_area: float
) -> tuple[Cutting, float]:
    """The cutting that gives back most of the drawn objects, and its F1 over all photos.

    ``areas``: of drawn objects, as shares of their photos. ``min_area``: the settings'.
    """
    if not photos or not areas:
        return Cutting(), 0.0
    tried = [float(np.quantile(areas, q)) * share for q, share in (_SMALLEST, _SMALL)]
    smallest = [None, tried[0], *(area for area in tried[1:] if area < min_area)]
    bulges = [Bulges.of(photo.foreground) for photo in photos]

    @cache
    def overlaps(way: Cutting) -> list[_Overlaps]:
        parts = (one.cut(way.neck, way.limb) for one in bulges)
        return [_Overlaps.of(own, p.objects) for own, p in zip(parts, photos, strict=True)]

    plain = overlaps(Cutting())
    best = Cutting(_OF_MANY, more_regions=True) if _hides_objects(plain, min_area) else Cutting()
    found = overlaps(best)
    best_score = _f1(found, min_area)
    unchanged = np.array([_f1([photo], min_area) for photo in found])
    for way in dict.fromkeys([best, *(Cutting(neck) for neck in NECKS)]):
        found = overlaps(way)
        for least in smallest:
            area = min_area if least is None else least
            score = _f1(found, area)
            gains = np.array([_f1([photo], area) for photo in found]) - unchanged
            error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else 0.0
            if score > best_score + _MARGIN and gains.mean() > 2 * error:
                best, best_score = replace(way, smallest=least), score
    return best, best_score


@dataclass(frozen=True)
class _Overlaps:
    """Areas of a photo's parts as shares of it, which of them are an object, and the objects' areas."""

    areas: NDArray[np.float64]
    is_object: NDArray[np.bool_]
    objects: NDArray[np.float64]

    @classmethod
    def of(cls, parts: Labels, objects: NDArray[np.bool_]) -> _Overlaps:
        labels = parts.ravel()
        n = int(labels.max()) + 1
        areas = np.bincount(labels, minlength=n)[1:]
        is_object = np.zeros(n - 1, dtype=np.bool_)
        for drawn in objects:
            both = np.bincount(labels[drawn.ravel()], minlength=n)[1:]
            if len(both):
                top = int(both.argmax())
                union = areas[top] + int(drawn.sum()) - both[top]
                is_object[top] |= bool(both[top] >= _FOUND * union)
        return cls(areas / len(labels), is_object, objects.mean(axis=(1, 2)))


def _hides_objects(overlaps: Sequence[_Overlaps], least: float) -> bool:
    """Whether more objects were drawn than the foreground has parts, clearly and not by chance (by the square root
    of their number, as in counts); objects and parts as large as is kept."""
    parts = sum(int((o.areas >= least).sum()) for o in overlaps)
    drawn = sum(int((o.objects >= least).sum()) for o in overlaps)
    return parts > 0 and drawn - parts >= max(_MORE * parts, np.sqrt(drawn))


def _f1(overlaps: Sequence[_Overlaps], least: float) -> float:
    """Over all photos: the share of parts and objects that are matched."""
    kept = [o.areas >= least for o in overlaps]
    right = sum(int(o.is_object[k].sum()) for o, k in zip(overlaps, kept, strict=True))
    total = sum(int(k.sum()) + len(o.objects) for o, k in zip(overlaps, kept, strict=True))
    return 2 * right / total if total else 1.0
