"""LOST: one object, grown from the patch with the fewest that are like it."""

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
    features_of,
    part_with,
    to_pixels,
)


@dataclass(frozen=True)
class Lost:
    """LOST (arXiv 2109.14279): one object of a photo, one region.

    The seed is the patch with the fewest positive products of features with others. Of the ``patches``
    with the fewest, those with a positive product with the seed are added up; the object is what has a
    positive product with their sum, as far as it is connected with the seed. The paper draws a box
    around it. Foreground is decided here: P(foreground) and ``regions.threshold`` play no part. Where
    no product is negative the whole photo is one region, which is then left out as surroundings: choose
    ``relative``.

    Attributes:
        patches: with the fewest positive products, among which the seed grows; ≥ 1. The paper's is 100.
        features: ``raw`` as the backbone gives them, as in the paper, or ``relative`` to what is usual
            in the dataset, for weights whose patches are all alike, such as the stand-in's.
    """

    patches: Annotated[int, Field(ge=1)] = 100
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
        return to_pixels(lost_mask(features_of(patches, self.features), self.patches)[None], image)


def lost_mask(vectors: Float, patches: int) -> Mask:
    """The object's patches, bool (h, w), from their features float32 (h, w, dim)."""
    rows = vectors.reshape(-1, vectors.shape[-1])
    products = rows @ rows.T
    positive = products > 0
    degrees = np.count_nonzero(positive, axis=1) - positive.diagonal()
    fewest = np.argsort(degrees, kind="stable")[:patches]
    seed = int(fewest[0])
    like_seed = fewest[positive[seed, fewest]]
    object_side = products[like_seed].sum(axis=0) > 0
    return part_with(object_side.reshape(vectors.shape[:2]), seed)
