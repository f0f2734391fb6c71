"""A region is split by the patches of its crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prelabel.data.bulges import numbered
from prelabel.data.masks import Mask
from prelabel.data.patch_regions import enlarge_labels, inside_patches, nearest_known
from prelabel_plugins.separators.merging import merge_patches

Float = NDArray[np.float32]
Labels = NDArray[np.int32]


@dataclass(frozen=True)
class CropPieces:
    """Splits regions by a closer look at them.

    The embedder puts each region's crop through the backbone, for the region's vector; the patches of that
    crop are finer than those of the photo. Those of the region are merged as by ``merge``, and what stays
    apart are regions of their own (as UnSAM conquers what it has divided, arXiv 2406.20081). Regions that
    are not split cost nothing more; each piece of one that is costs another forward pass for its vector, at
    most 1 / ``piece`` for a region. Without a fitted model, and with an embedder that does not see crops,
    such as ``region-pool``, nothing is split.

    Attributes:
        within: in [-1, 1]; patches of a crop are merged down to this similarity. Higher splits more.
        piece: in [0.05, 1); the smallest piece, as a share of its region.
    """

    within: Annotated[float, Field(ge=-1, le=1)] = 0.5
    piece: Annotated[float, Field(ge=0.05, lt=1)] = 0.2

    def split(self, mask: Mask, *, vectors: Float, image: NDArray[np.uint8]) -> Labels:
        """int32 (h, w), numbers of pieces from 1; 0 outside the mask."""
        inside = inside_patches(mask, *vectors.shape[:2])
        merged = merge_patches(inside, vectors, self.within, self.piece)
        sizes = np.bincount(merged.ravel())
        is_piece = sizes >= self.piece * inside.sum()
        is_piece[0] = False
        if is_piece.sum() < 2:
            return mask.astype(np.int32)
        merged = nearest_known(merged, is_piece[merged])  # what is small and touches no other piece
        of_pixels = np.where(mask, enlarge_labels(merged, image), 0)
        return numbered(of_pixels.astype(np.int64))
