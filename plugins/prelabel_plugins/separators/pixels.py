"""Numbers of patches as numbers of pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Mask

Labels = NDArray[np.int32]
_COVERED = 0.25
"""Share of a patch that a mask covers from which the patch is inside."""


def inside_patches(mask: Mask, rows: int, columns: int) -> NDArray[np.bool_]:
    """The patches of a grid that a mask bool (h, w) covers, bool (rows, columns)."""
    share = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(share > _COVERED)


def enlarged(merged: Labels, image: NDArray[np.uint8]) -> Labels:
    """The region of each pixel of the image, int32 (h, w).

    That of the nearest patch, but within half a patch of another region's the image decides: there
    regions are flooded up to its edges (watershed, Meyer 1992).
    """
    height, width = image.shape[:2]
    everywhere = nearest(merged, merged > 0)
    large = cv2.resize(
        everywhere.astype(np.uint16), (width, height), interpolation=cv2.INTER_NEAREST
    )
    step = round(width / merged.shape[1]), round(height / merged.shape[0])
    around = cv2.getStructuringElement(cv2.MORPH_RECT, (step[0] + 1, step[1] + 1))
    certain = cv2.erode(large, around) == cv2.dilate(large, around)
    markers = np.where(certain, large, 0).astype(np.int32)
    cv2.watershed(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), markers)
    return nearest(markers, markers > 0)


def nearest(numbers: Labels, known: NDArray[np.bool_]) -> Labels:
    """Numbers int32 (h, w), each that is not ``known`` replaced by the nearest that is."""
    if known.all() or not known.any():
        return numbers
    _, places = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_place = np.zeros(int(places.max()) + 1, dtype=np.int32)
    of_place[places[known]] = numbers[known]
    return np.asarray(of_place[places])


def numbered(values: NDArray[np.int64]) -> Labels:
    """The same regions with numbers from 1 without gaps; 0 stays."""
    kinds, numbers = np.unique(values, return_inverse=True)
    return np.asarray(numbers.reshape(values.shape) + (kinds[0] != 0), dtype=np.int32)
