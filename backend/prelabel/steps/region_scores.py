"""How likely regions are to be objects, without any label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prelabel.data.bulges import Labels
from prelabel.steps.levels import unit

Float = NDArray[np.float32]
WEIGHTS = (2.0, -1.4, 0.25)
"""Of the three `region_facts`, in a logistic regression. Those of P and of the cosine, and ``OFFSET``, were
fitted to regions of photos of things whose objects were known (benchmarks/calibration.py); that of the
size was set lower than fitted, since it misleads where all things are small."""
OFFSET = -2.7
_SUREST = 0.98
"""P(foreground) is taken to be at most this sure, either way."""


def object_scores(labels: Labels, foreground: Float, vectors: Float) -> list[float]:
    """An estimate for each region of a photo, in (0, 1), of the P that its IoU with an object is 0.5 or
    more; arguments as of `region_facts`."""
    logits = region_facts(labels, foreground, vectors) @ np.array(WEIGHTS) + OFFSET
    return [float(score) for score in 1 / (1 + np.exp(-logits))]


def region_facts(labels: Labels, foreground: Float, vectors: Float) -> NDArray[np.float64]:
    """What tells a region from one that is no object.

    Args:
        labels: int32 (h, w), the number of each pixel's region from 1 without gaps, and 0 outside of all.
        foreground: float32 (h, w), P(foreground).
        vectors: float32 (rows, columns, dim), the photo's patches, relative to what is usual at their
            place.

    Returns:
        float64 (n, 3): the logit of the mean P(foreground) inside; the cosine of the mean of the patches
        inside with the mean of those outside of all regions; the logarithm of the area relative to the
        largest region's.
    """
    n = int(labels.max(initial=0))
    if not n:
        return np.zeros((0, len(WEIGHTS)))
    height, width = labels.shape
    rows, columns, dim = vectors.shape
    row, column = np.arange(height) * rows // height, np.arange(width) * columns // width
    patch = row[:, None] * columns + column
    pixels = np.bincount(
        (labels * np.int64(rows * columns) + patch).ravel(), minlength=(n + 1) * rows * columns
    ).reshape(n + 1, -1)
    means = unit(pixels.astype(np.float32) @ vectors.reshape(-1, dim))
    areas = pixels[1:].sum(axis=1)
    sums = np.bincount(labels.ravel(), weights=foreground.ravel(), minlength=n + 1)[1:]
    p = np.clip(sums / areas, 1 - _SUREST, _SUREST)
    facts = (np.log(p / (1 - p)), means[1:] @ means[0], np.log(areas / areas.max()))
    return np.stack(facts, axis=1)
