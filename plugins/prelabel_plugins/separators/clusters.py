"""Connected parts of one clustering's clusters are regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prelabel.data.bulges import connected_parts
from prelabel.data.patch_regions import enlarge_labels, nearest_known
from prelabel.data.records import PatchMaps

Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Clusters:
    """Connected parts of the clusters of one clustering are regions, cut along the photo's edges.

    With the foreground rule ``everything`` they cover the photo. A pixel has the cluster of its patch,
    but within half a patch of another cluster the photo's edges decide (watershed, Meyer 1992), so that
    what is one patch wide becomes part of what is around it.

    Attributes:
        clustering: which one; 0 is that of the dataset level with the first of ``levels.dataset_k``,
            whose clusters mean the same in all photos. Those behind it are finer, up to the image
            level's; beyond the last, the last is taken.
        smallest: in [0, 1); parts under this share of the photo become part of what is around them.
    """

    clustering: Annotated[int, Field(ge=0)] = 0
    smallest: Annotated[float, Field(ge=0, lt=1)] = 0.005

    def separate(
        self,
        refined: NDArray[np.float32],
        *,
        threshold: float,
        patches: PatchMaps,
        image: NDArray[np.uint8],
    ) -> Labels:
        """int32 (h, w), numbers from 1."""
        of_patches = patches.clusters[min(self.clustering, len(patches.clusters) - 1)]
        of_pixels = enlarge_labels(of_patches.astype(np.int32) + 1, image)
        sizes = np.bincount((parts := _parts(of_pixels)).ravel())
        is_large = sizes >= self.smallest * parts.size
        if is_large.any():
            of_pixels = nearest_known(of_pixels, is_large[parts])
        return _parts(np.where(refined > threshold, of_pixels, 0).astype(np.int32))


def _parts(labels: Labels) -> Labels:
    """Numbers from 1 of the connected parts of equal labels int32 (h, w); 0 stays."""
    found, n = np.zeros_like(labels), 0
    for label in np.unique(labels[labels > 0]):
        parts = connected_parts(labels == label)
        found += np.where(parts > 0, parts + n, 0).astype(np.int32)
        n += int(parts.max())
    return found
