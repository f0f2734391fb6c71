"""TokenCut: one object, by a normalised cut of the patches."""

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


@dataclass(frozen=True)
class TokenCut:
    """TokenCut (arXiv 2202.11539): the salient object of a photo, one region.

    The graph of patches that are alike is cut in two by its second eigenvector, at the mean. The
    object is the side with the patch of the greatest absolute value, and of that side the connected
    part with this patch. Foreground is decided here: P(foreground) and ``regions.threshold`` play no
    part. Where all patches are alike the whole photo is one region, which is then left out as
    surroundings: choose ``relative``, or a higher ``tau``.

    Attributes:
        tau: in [-1, 1]; patches are alike if their cosine is above. The paper's is 0.2, for DINO.
        features: ``raw`` as the backbone gives them, as in the paper, or ``relative`` to what is usual
            in the dataset, for weights whose patches are all alike, such as the stand-in's.
    """

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
        return to_pixels(tokencut_mask(features_of(patches, self.features), self.tau)[None], image)


def tokencut_mask(vectors: Float, tau: float) -> Mask:
    """The object's patches, bool (h, w), from their features float32 (h, w, dim)."""
    halves = second_eigenvector(binary_graph(cosines(vectors), tau))
    seed = first_largest(np.abs(halves))
    side = halves > halves.mean()
    return part_with((side == side[seed]).reshape(vectors.shape[:2]), seed)
