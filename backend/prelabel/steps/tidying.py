"""Small holes and parts of a region, which cost annotators clicks and are hardly ever right."""

from __future__ import annotations

import cv2
import numpy as np

from prelabel.data.masks import Mask


def fill_holes(mask: Mask, share: float, others: Mask) -> Mask:
    """The mask, with holes filled that have fewer pixels than this share of the mask's.

    A hole is background (4 neighbours) that does not reach the picture's edge. ``others``: bool, of
    the same shape: a hole with a pixel of these stays.
    """
    most = share * np.count_nonzero(mask)
    if most <= 1:
        return mask
    window = _window(mask)
    crop = mask[window]
    ground = np.pad(~crop, 1, constant_values=True).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ground, connectivity=4)
    is_small = stats[:, cv2.CC_STAT_AREA] < most
    is_small[[0, labels[0, 0]]] = False
    inside = labels[1:-1, 1:-1]
    is_small[inside[others[window] & ~crop]] = False
    if not is_small.any():
        return mask
    filled = mask.copy()
    filled[window] |= is_small[inside]
    return filled


def drop_parts(mask: Mask, share: float) -> Mask:
    """The mask without parts (4 neighbours) that have fewer pixels than this share of the mask's: one
    that only touches at a corner is a part. A mask that has no larger part stays as it is."""
    least = share * np.count_nonzero(mask)
    if least <= 1:
        return mask
    window = _window(mask)
    n_parts, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask[window].astype(np.uint8), connectivity=4
    )
    is_kept = stats[:, cv2.CC_STAT_AREA] >= least
    is_kept[0] = False
    if is_kept.sum() in (0, n_parts - 1):
        return mask
    kept = np.zeros_like(mask)
    kept[window] = is_kept[labels]
    return kept


def _window(mask: Mask) -> tuple[slice, slice]:
    """Where a mask has pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
