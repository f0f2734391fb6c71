"""Connected parts are cut between patches that show different things."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prelabel.data.bulges import connected_parts, numbered
from prelabel.data.patch_regions import enlarge_labels, inside_patches
from prelabel.data.records import PatchMaps
from prelabel_plugins.separators.merging import merge_patches

Float = NDArray[np.float32]
Labels = NDArray[np.int32]
LESS_MERGED = 0.05
"""What is added to the similarity down to which patches are merged, for more regions."""


@dataclass(frozen=True)
class Merge:
    """Connected parts, cut between patches that show different things.

    Patches of the foreground that are neighbours are merged, the most similar first, until no two
    neighbours are similar enough (regions grown by merging as in Nock and Nielsen, TPAMI 2004). The
    similarity of two regions is the mean of two cosines: that of their mean vectors (average
    linkage), and that of neighbouring patches along their common border, which stays high where one
    thing goes on. Each pixel of the foreground has the region of the nearest patch, and where regions
    meet the cut follows the photo's edges.

    Attributes:
        similar: in [-1, 1]; neighbours are merged down to this similarity. Higher cuts more.
        smallest: in [0, 1); what is less than this share of its connected part is merged with the most
            similar neighbour, however unlike.
    """

    similar: Annotated[float, Field(ge=-1, le=1)] = 0.55
    smallest: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def with_more_regions(self) -> Self:
        """One that merges less, by `LESS_MERGED`."""
        return replace(self, similar=min(self.similar + LESS_MERGED, 1.0))

    def separate(
        self,
        refined: Float,
        *,
        threshold: float,
        patches: PatchMaps,
        image: NDArray[np.uint8],
    ) -> Labels:
        """int32 (h, w), numbers from 1."""
        mask = refined > threshold
        inside = inside_patches(mask, *patches.foreground.shape)
        merged = merge_patches(inside, patches.vectors, self.similar, self.smallest)
        parts = connected_parts(mask)
        if merged.max() < 2:
            return parts
        of_pixels = np.where(mask, enlarge_labels(merged, image), 0)
        return numbered(parts.astype(np.int64) * (merged.max() + 1) + of_pixels)
