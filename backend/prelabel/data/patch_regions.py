"""From pixels to patches, and from numbers of patches to numbers of pixels along the photo's edges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data.bulges import Labels
from prelabel.data.masks import Mask

_COVERED = 0.25
"""Share of a patch that a mask covers from which the patch is inside."""


def inside_patches(mask: Mask, rows: int, columns: int) -> NDArray[np.bool_]:
    """The patches of a grid that a mask bool (h, w) covers, bool (rows, columns)."""
    share = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(share > _COVERED)


def enlarge_labels(of_patches: Labels, image: NDArray[np.uint8]) -> Labels:
    """The number of each pixel of an image uint8 (h, w, 3), int32 (h, w), from those of its patches;
    patches with 0 take the nearest one's.

    It is that of the nearest patch, but within half a patch of another number's the image decides:
    there regions are flooded up to its edges (watershed, Meyer 1992).
    """
    height, width = image.shape[:2]
    everywhere = nearest_known(of_patches, of_patches > 0)
    large = cv2.resize(
        everywhere.astype(np.uint16), (width, height), interpolation=cv2.INTER_NEAREST
    )
    step = round(width / of_patches.shape[1]), round(height / of_patches.shape[0])
    around = cv2.getStructuringElement(cv2.MORPH_RECT, (step[0] + 1, step[1] + 1))
    certain = cv2.erode(large, around) == cv2.dilate(large, around)
    markers = np.where(certain, large, 0).astype(np.int32)
    cv2.watershed(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), markers)
    if not (markers > 0).any():  # a photo of a few pixels is all border
        return np.asarray(large, dtype=np.int32)
    return nearest_known(markers, markers > 0)


def nearest_known(numbers: Labels, known: NDArray[np.bool_]) -> Labels:
    """Numbers int32 (h, w), each that is not ``known`` replaced by the nearest that is."""
    if known.all() or not known.any():
        return numbers
    _, places = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_place = np.zeros(int(places.max()) + 1, dtype=np.int32)
    of_place[places[known]] = numbers[known]
    return np.asarray(of_place[places])
