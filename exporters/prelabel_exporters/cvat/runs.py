"""CVAT's RLE: run lengths row by row inside a mask's box, background first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prelabel.data.masks import Mask


def runs_of(mask: Mask) -> list[int]:
    """The runs of a mask that is cut to its box, (height, width)."""
    flat = np.concatenate([[False], mask.ravel(), [not mask.ravel()[-1]] if mask.size else []])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(n) for n in np.diff(edges, prepend=0)]


def mask_of(runs: Sequence[int], height: int, width: int) -> Mask:
    """The mask of such runs. Raises ValueError if they do not fill the box; CVAT leaves out the last
    run of background in some versions."""
    if any(n < 0 for n in runs):
        raise ValueError("a run is negative")
    total, pixels = sum(runs), height * width
    if total > pixels:
        raise ValueError(f"its runs hold {total} pixels, its box {pixels}")
    values = np.arange(len(runs) + 1) % 2 == 1
    lengths = [*runs, pixels - total]
    values[-1] = False
    flat = np.repeat(values, lengths)
    return flat.reshape(height, width)
