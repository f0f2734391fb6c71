"""Parts of a mask, and where they are thin between two bulges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from prelabel.data.masks import Mask

Float = NDArray[np.float32]
Labels = NDArray[np.int32]
_BLUR = 4
"""Pixels that the depth of a pixel takes from around it."""


def cut_parts(mask: Mask, neck: float, limb: float = 0.0) -> Labels:
    """Numbers of the parts (8 neighbours) of a mask from 1, int32 (h, w), cut as by `Bulges.cut`."""
    return Bulges.of(mask).cut(neck, limb) if neck > 0 else connected_parts(mask)


def connected_parts(mask: Mask) -> Labels:
    """Numbers of the parts (8 neighbours) of a mask from 1, int32 (h, w)."""
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return np.asarray(parts, dtype=np.int32)


def cut_regions(labels: Labels, neck: float, limb: float = 0.0) -> Labels:
    """Regions int32 (h, w), numbers from 1, each cut into its parts as by `Bulges.cut`; not cut if ``neck``
    is 0."""
    if neck <= 0:
        return labels
    found, n = np.zeros_like(labels), 0
    for number, window in enumerate(find_objects(labels), start=1):
        if window is None:
            continue
        wide = tuple(slice(max(0, side.start - _BLUR), side.stop + _BLUR) for side in window)
        inside = labels[wide] == number
        parts = cut_parts(inside, neck, limb)
        found[wide][inside] = parts[inside] + n
        n += int(parts.max())
    return found


@dataclass(frozen=True)
class Bulges:
    """The bulges of a mask, by a watershed of the distance from its outline.

    ``depth``: float32 (h, w), of each pixel in the mask. ``basins``: numbers of the bulges from 1.
    ``peaks``: float64 (1 + n,), the greatest depth of each.
    """

    mask: Mask
    depth: Float
    basins: Labels
    peaks: NDArray[np.float64]

    @classmethod
    def of(cls, mask: Mask) -> Bulges:
        """The bulges of a mask bool (h, w)."""
        raw = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        depth: Float = np.asarray(cv2.GaussianBlur(raw, (0, 0), 1.0) * mask, dtype=np.float32)
        basins = _basins(depth, mask)
        peaks = np.zeros(int(basins.max()) + 1)
        np.maximum.at(peaks, basins.ravel(), depth.ravel())
        return cls(mask, depth, basins, peaks)

    @cached_property
    def borders(self) -> list[tuple[int, int, float]]:
        """Two neighbouring bulges and the width of the neck between them, the widest first."""
        basins, depth, n = self.basins, self.depth, len(self.peaks)
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
        order = np.argsort(-widest, kind="stable")
        return [(int(pairs[k] // n), int(pairs[k] % n), float(widest[k])) for k in order]

    def cut(self, neck: float, limb: float = 0.0) -> Labels:
        """Numbers of the parts from 1, cut where a neck is narrower than the share ``neck`` of the thinner
        bulge; but bulges that are smaller than the share ``limb`` of their neighbour, with what has joined
        it, stay on it as a leg or a head does."""
        if neck <= 0 or not self.mask.any():
            return connected_parts(self.mask)
        return numbered(_joined(self, neck, limb)[self.basins])


def numbered(values: NDArray[np.int64] | Labels) -> Labels:
    """Numbers int32 (h, w) of the same parts from 1 without gaps; 0 stays."""
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
    return numbered(np.where(mask, following.reshape(mask.shape) + 1, 0))


def _joined(bulges: Bulges, neck: float, limb: float) -> Labels:
    """For each bulge the number of its object: neighbours join, the widest neck first, while the neck
    is not narrower than ``neck`` of the thinner one; then limbs join what they are on."""
    peaks, areas = bulges.peaks.copy(), np.bincount(bulges.basins.ravel())
    parent = list(range(len(peaks)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(are_one: Callable[[int, int, float], bool]) -> bool:
        """Join neighbours for which ``are_one``, of their numbers and the width of the neck between them, is
        true; whether there were some."""
        n_joined = 0
        for first, second, width in bulges.borders:
            low, high = sorted((root(first), root(second)))
            if low != high and are_one(low, high, width):
                parent[high] = low
                peaks[low] = max(peaks[low], peaks[high])
                areas[low] += areas[high]
                n_joined += 1
        return n_joined > 0

    join(lambda a, b, width: width >= neck * min(peaks[a], peaks[b]))
    while limb > 0 and join(
        lambda a, b, _: areas[a] < limb * areas[b] or areas[b] < limb * areas[a]
    ):
        pass
    return np.array([root(i) for i in range(len(peaks))], dtype=np.int32)
