"""Deep Spectral Methods: the foreground by the Laplacian's second eigenvector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.bulges import connected_parts
from prelabel.data.masks import Mask
from prelabel.data.records import PatchMaps
from prelabel_plugins.separators.patch_cuts import (
    Features,
    Float,
    cosines,
    features_of,
    second_eigenvector,
    to_pixels,
)


@dataclass(frozen=True)
class DeepSpectral:
    """Deep Spectral Methods (arXiv 2205.07839): the foreground of a photo, a region for each part.

    Patches are tied by their cosines, where these are positive. Foreground is where the second
    eigenvector of the normalised Laplacian is positive, with the sign that makes it the smaller side;
    the ties by colour are left out, as in the authors' commands. The paper takes all of it as the
    mask and draws a box around the largest connected part; here each connected part is a region.
    Foreground is decided here: P(foreground) and ``regions.threshold`` play no part.

    Attributes:
        features: ``raw`` as the backbone gives them, as in the paper, or ``relative`` to what is usual
            in the dataset, for weights whose patches are all alike, such as the stand-in's.
    """

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
        parts = connected_parts(deep_spectral_mask(features_of(patches, self.features)))
        numbers = np.arange(1, parts.max() + 1)
        return to_pixels(parts == numbers[:, None, None], image)


def deep_spectral_mask(vectors: Float) -> Mask:
    """The foreground's patches, bool (h, w), from their features float32 (h, w, dim)."""
    halves = second_eigenvector(np.maximum(cosines(vectors), 0))
    side = halves > 0
    smaller = halves < 0 if side.mean() > 0.5 else side
    return np.asarray(smaller.reshape(vectors.shape[:2]))
