"""Separators whose regions are split again by their crops."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from prelabel_plugins.separators.crop_pieces import CropPieces
from prelabel_plugins.separators.hierarchy import Hierarchy
from prelabel_plugins.separators.merge import LESS_MERGED, Merge


@dataclass(frozen=True)
class Zoom(CropPieces, Merge):
    """Like ``merge``, and then each region is split again by a closer look at it.

    Attributes:
        similar: in [-1, 1]; as in ``merge``, for the patches of the photo.
        smallest: in [0, 1); likewise.
        within: in [-1, 1]; the same for the patches of a crop. Higher splits more.
        piece: in [0.05, 1); the smallest piece, as a share of its region.
    """

    def with_more_regions(self) -> Self:
        """One that merges less, by `LESS_MERGED` in the photo and twice as much in crops."""
        return replace(
            Merge.with_more_regions(self), within=min(self.within + 2 * LESS_MERGED, 1.0)
        )


@dataclass(frozen=True)
class HierarchyZoom(CropPieces, Hierarchy):
    """Like ``hierarchy``, and then each region is split again by a closer look at it.

    Attributes:
        least: ≥ 0; as in ``hierarchy``.
        within: in [-1, 1]; patches of a crop are merged down to this similarity. Higher splits more.
        piece: in [0.05, 1); the smallest piece, as a share of its region.
    """
