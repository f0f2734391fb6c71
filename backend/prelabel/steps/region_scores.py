"""How likely regions are to be objects, without any label."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Mask
from prelabel.steps.levels import unit

Float = NDArray[np.float32]
WEIGHTS = (2.0, -1.4, 0.25)
OFFSET = -2.7
"""Of a logistic regression, of `region_facts`. Those of P and of the cosine, and the offset, were fitted
to regions of photos of things whose objects were known; that of the size was set lower than fitted, since
it misleads where all things are small (benchmarks/calibration.py)."""
_SUREST = 0.98
"""P(foreground) is taken to be at most this sure, either way."""


def object_scores(masks: Sequence[Mask], foreground: Float, vectors: Float) -> list[float]:
    """An estimate for each region of a photo, in (0, 1), of the P that its IoU with an object is 0.5 or
    more; arguments as of `region_facts`."""
    logits = region_facts(masks, foreground, vectors) @ np.array(WEIGHTS) + OFFSET
    return [float(score) for score in 1 / (1 + np.exp(-logits))]


def region_facts(masks: Sequence[Mask], foreground: Float, vectors: Float) -> NDArray[np.float64]:
    """What tells a region from one that is no object.

    Args:
        masks: of all regions of a photo, bool (h, w) each, with at least one pixel.
        foreground: float32 (h, w), P(foreground).
        vectors: float32 (rows, columns, dim), the photo's patches, relative to what is usual at their
            place.

    Returns:
        (n, 3): the logit of the mean P(foreground) inside; the cosine of the mean of the patches inside
        with the mean of those outside of all regions; the logarithm of the area relative to the largest
        region's.
    """
    if not masks:
        return np.zeros((0, len(WEIGHTS)))
    rows, columns, dim = vectors.shape
    shares = [
        cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA).ravel()
        for mask in masks
    ]
    inside = np.stack(shares)
    outside = np.clip(1 - inside.sum(axis=0), 0, 1)
    patches = vectors.reshape(-1, dim)
    cosines = unit(inside @ patches) @ unit(outside @ patches)
    areas = np.array([np.count_nonzero(mask) for mask in masks])
    means = np.array([float(foreground[mask].mean()) for mask in masks])
    p = np.clip(means, 1 - _SUREST, _SUREST)
    return np.stack([np.log(p / (1 - p)), cosines, np.log(areas / areas.max())], axis=1)
