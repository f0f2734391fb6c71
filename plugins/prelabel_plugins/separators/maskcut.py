"""MaskCut: several objects, by normalised cuts one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prelabel.data.masks import Mask
from prelabel.data.records import PatchMaps
from prelabel_plugins.separators.patch_cuts import (
    Features,
    Float,
    binary_graph,
    cosines,
    features_of,
    first_largest,
    part_with,
    second_eigenvector,
    to_pixels,
)

_SAME = 0.5
"""IoU with the mask before above which a mask is left out (the authors' code, as what follows)."""
_SMALLEST = 0.01
"""Share of the photo up to which a further mask is left out."""
_CORNERS = 3
"""Corners of the photo from which a side is background."""


@dataclass(frozen=True)
class MaskCut:
    """MaskCut of CutLER (arXiv 2301.11320): up to ``masks`` objects of a photo.

    As TokenCut, several times: what was found loses its ties before the next cut. A side with three
    of the photo's corners is background. Foreground is decided here: P(foreground) and
    ``regions.threshold`` play no part. A later mask that is nearly the last one, or tiny, is left out.
    Where all patches are alike there is no region: choose ``relative``, or a higher ``tau``.

    Attributes:
        masks: cuts, ≥ 1; 3 in the paper. Each takes as long as TokenCut.
        tau: in [-1, 1]; patches are alike if their cosine is above. The authors' code has 0.2, for DINO.
        features: ``raw`` as the backbone gives them, as in the paper, or ``relative`` to what is usual
            in the dataset, for weights whose patches are all alike, such as the stand-in's.
    """

    masks: Annotated[int, Field(ge=1)] = 3
    tau: Annotated[float, Field(ge=-1, le=1)] = 0.2
    features: Features = "raw"

    def separate(
        self,
        refined: NDArray[np.float32],
        *,
        threshold: float,
        patches: PatchMaps,
        image: NDArray[np.uint8],
    ) -> NDArray[np.int32]:
        """int32 (h, w), numbers from 1."""
        vectors = features_of(patches, self.features)
        return to_pixels(maskcut_masks(vectors, self.tau, n=self.masks), image)


def maskcut_masks(vectors: Float, tau: float, *, n: int) -> NDArray[np.bool_]:
    """The objects' patches, bool (up to ``n``, h, w) and apart, of features float32 (h, w, dim)."""
    shape = vectors.shape[:2]
    alike = cosines(vectors)
    last, taken = np.zeros((2, *shape), dtype=np.bool_)
    mask, masks = last, []
    for i in range(n):
        if i == 0 or last.any():  # else the same cut again
            found = last.ravel()
            alike[found] = alike[:, found] = 0
            mask = _cut(second_eigenvector(binary_graph(alike, tau)), shape)
        is_new = i == 0 or (mask.mean() > _SMALLEST and not _is_same(mask, last))
        last = mask & is_new
        masks.append(last & ~taken)
        taken = taken | last
    return np.array([m for m in masks if m.any()], dtype=np.bool_).reshape(-1, *shape)


def _cut(halves: NDArray[np.float64], shape: tuple[int, ...]) -> Mask:
    """The object of one cut.

    The authors look at the corners of the side above the mean, and so at the sign of an eigenvector,
    which is open. Here it is that with which the greatest absolute value is positive.
    """
    seed = first_largest(np.abs(halves))
    side = halves > halves.mean()
    side = (side == side[seed]).reshape(shape)
    if np.count_nonzero(side[[0, 0, -1, -1], [0, -1, 0, -1]]) >= _CORNERS:
        side = ~side
        seed = first_largest(-halves * np.sign(halves[seed]))
    return part_with(side, seed)


def _is_same(one: Mask, other: Mask) -> bool:
    return bool(np.count_nonzero(one & other) > _SAME * np.count_nonzero(one | other))
