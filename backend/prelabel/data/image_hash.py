"""A hash of what a picture looks like: copies of it have nearly the same bits."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 8
N_BITS = 2 * SIDE * SIDE
_SMALL = SIDE * (SIDE + 1)
"""Pixels, of which both sides of the small pictures are parts."""


def difference_hash(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (16,), the 128 bits of a picture uint8 (h, w, 3) RGB.

    In grey, at 9 × 8 pixels, a bit says whether a pixel is lighter than the one to its left; at 8 × 9,
    whether it is lighter than the one above ("dHash": N. Krawetz, Kind of Like That, Hacker Factor
    blog, 2013; there in rows only). Light, contrast, size and compression change few of them.
    """
    small = cv2.resize(pixels, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA)  # once, not twice
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    wide = cv2.resize(grey, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA)
    high = cv2.resize(grey, (SIDE, SIDE + 1), interpolation=cv2.INTER_AREA)
    bits = np.stack([wide[:, 1:] > wide[:, :-1], high[1:] > high[:-1]])
    return np.packbits(bits)
