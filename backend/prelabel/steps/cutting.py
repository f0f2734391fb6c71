"""Parts of a foreground that people drew as several objects, cut at their necks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.bulges import Bulges, Labels
from prelabel.data.masks import Mask

NECKS = (0.0, 0.6, 0.75, 0.85, 0.95)
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
    """

    neck: float = 0.0
    smallest: float | None = None


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
    plain = [_Overlaps.of(b.cut(0), p.objects) for b, p in zip(bulges, photos, strict=True)]
    best, best_score = Cutting(), _f1(plain, min_area)
    unchanged = np.array([_f1([photo], min_area) for photo in plain])
    for neck in NECKS:
        overlaps = plain
        if neck:
            cut = [bulge.cut(neck) for bulge in bulges]
            overlaps = [_Overlaps.of(c, p.objects) for c, p in zip(cut, photos, strict=True)]
        for least in smallest:
            area = min_area if least is None else least
            score = _f1(overlaps, area)
            gains = np.array([_f1([photo], area) for photo in overlaps]) - unchanged
            error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else 0.0
            if score > best_score + _MARGIN and gains.mean() > 2 * error:
                best, best_score = Cutting(neck, least), score
    return best, best_score


@dataclass(frozen=True)
class _Overlaps:
    """Areas of a photo's parts as shares of it, which of them are an object, and how many there are."""

    areas: NDArray[np.float64]
    is_object: NDArray[np.bool_]
    objects: int

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
        return cls(areas / len(labels), is_object, len(objects))


def _f1(overlaps: Sequence[_Overlaps], least: float) -> float:
    """Over all photos: the share of parts and objects that are matched."""
    kept = [o.areas >= least for o in overlaps]
    right = sum(int(o.is_object[k].sum()) for o, k in zip(overlaps, kept, strict=True))
    total = sum(int(k.sum()) + o.objects for o, k in zip(overlaps, kept, strict=True))
    return 2 * right / total if total else 1.0
