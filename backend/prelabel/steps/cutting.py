"""Parts of a foreground that people drew as several objects, cut at their necks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Mask

Float = NDArray[np.float32]
Labels = NDArray[np.int32]
NECKS = (0.0, 0.6, 0.75, 0.85, 0.95)
"""Widths of necks that are compared; 0 does not cut."""
_SMALLEST = (0.0, 0.05, 0.25)
"""Quantiles of the drawn areas, half of which is the smallest area that is kept; 0: the settings'."""
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


def cut_parts(mask: Mask, neck: float) -> Labels:
    """Numbers of the parts (8 neighbours) of a mask from 1, int32 (h, w), cut at necks."""
    return _Bulges.of(mask).cut(neck) if neck > 0 else _connected(mask)


def _connected(mask: Mask) -> Labels:
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return np.asarray(parts, dtype=np.int32)


@dataclass(frozen=True)
class _Bulges:
    """The bulges of a mask. ``depth``: float32 (h, w), of each pixel in the mask. ``basins``: numbers
    of the bulges from 1. ``peaks``: float64 (1 + n,), the greatest depth of each."""

    mask: Mask
    depth: Float
    basins: Labels
    peaks: NDArray[np.float64]

    @classmethod
    def of(cls, mask: Mask) -> _Bulges:
        raw = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        depth: Float = np.asarray(cv2.GaussianBlur(raw, (0, 0), 1.0) * mask, dtype=np.float32)
        basins = _basins(depth, mask)
        peaks = np.zeros(int(basins.max()) + 1)
        np.maximum.at(peaks, basins.ravel(), depth.ravel())
        return cls(mask, depth, basins, peaks)

    def cut(self, neck: float) -> Labels:
        """Numbers of the parts from 1, cut at necks."""
        if neck <= 0 or not self.mask.any():
            return _connected(self.mask)
        return _numbered(_joined(self, neck)[self.basins])


def _numbered(values: NDArray[np.int64] | Labels) -> Labels:
    """The same parts with numbers from 1 without gaps; 0 stays."""
    is_there = np.bincount(values.ravel()) > 0
    is_there[0] = False
    return np.asarray(np.cumsum(is_there)[values] * (values > 0), dtype=np.int32)


def _basins(depth: Float, mask: Mask) -> Labels:
    """Numbers of the bulges from 1: each pixel's is that of the summit that is reached by always going
    to the deepest of the 8 neighbours."""
    height, width = depth.shape
    padded = np.pad(depth, 1, constant_values=-1)
    steps = [(0, 0), *((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x)]  # itself if equal
    around = np.stack([padded[1 + y :, 1 + x :][:height, :width] for y, x in steps])
    offsets = np.array([y * width + x for y, x in steps])
    following = np.arange(height * width) + offsets[around.argmax(axis=0)].ravel()
    while (further := following[following]).tobytes() != following.tobytes():
        following = further
    return _numbered(np.where(mask, following.reshape(mask.shape) + 1, 0))


def _joined(bulges: _Bulges, neck: float) -> Labels:
    """For each bulge the number of its object: neighbours join, the widest neck first, while the neck
    is not narrower than ``neck`` of the thinner one."""
    basins, depth, peaks = bulges.basins, bulges.depth, bulges.peaks.copy()
    n = len(peaks)
    first, second, width = [], [], []
    for a, b, da, db in (
        (basins[:, :-1], basins[:, 1:], depth[:, :-1], depth[:, 1:]),
        (basins[:-1], basins[1:], depth[:-1], depth[1:]),
        (basins[:-1, :-1], basins[1:, 1:], depth[:-1, :-1], depth[1:, 1:]),
        (basins[:-1, 1:], basins[1:, :-1], depth[:-1, 1:], depth[1:, :-1]),
    ):
        touching = (a != b) & (a > 0) & (b > 0)
        first.append(np.minimum(a, b)[touching])
        second.append(np.maximum(a, b)[touching])
        width.append(np.minimum(da, db)[touching])
    pairs, where = np.unique(
        np.concatenate(first).astype(np.int64) * n + np.concatenate(second), return_inverse=True
    )
    widest = np.zeros(len(pairs))
    np.maximum.at(widest, where.ravel(), np.concatenate(width))
    parent = np.arange(n)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for k in np.argsort(-widest, kind="stable"):
        low, high = sorted((root(int(pairs[k] // n)), root(int(pairs[k] % n))))
        if low != high and widest[k] >= neck * min(peaks[low], peaks[high]):
            parent[high] = low
            peaks[low] = max(peaks[low], peaks[high])
    return np.array([root(i) for i in range(n)], dtype=np.int32)


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
    smallest = [float(np.quantile(areas, q)) / 2 if q else None for q in _SMALLEST]
    bulges = [_Bulges.of(photo.foreground) for photo in photos]
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
