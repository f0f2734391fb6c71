"""Regions with holes, cut into parts without."""

from __future__ import annotations

import cv2
import numpy as np

from prelabel.data.masks import Mask


def cut_holes(mask: Mask) -> list[Mask]:
    """The mask in vertical strips, as few as open every hole, from left to right; each may still
    have several parts. A mask without holes is its only strip."""
    outside = np.pad(~mask, 1, constant_values=True)
    found = cv2.connectedComponentsWithStats(outside.astype(np.uint8), connectivity=4)
    parts, stats = np.asarray(found[1]), np.asarray(found[2], dtype=np.int64)
    surroundings = int(parts[0, 0])
    # A cut before any of a hole's columns, or behind the last, opens it.
    holes = [
        (int(left) - 1, int(left) - 1 + int(width))
        for number, (left, width) in enumerate(stats[:, [0, 2]])
        if number not in (0, surroundings)
    ]
    cuts = [0]
    for first, last in sorted(holes, key=lambda hole: hole[1]):
        if cuts[-1] < first:
            cuts.append(last)
    columns = np.arange(mask.shape[1])
    place = np.searchsorted(cuts, columns, side="right")
    strips = (mask & (place == number) for number in range(1, len(cuts) + 1))
    return [strip for strip in strips if strip.any()]
