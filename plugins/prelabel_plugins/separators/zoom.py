"""Separators whose regions are split again by their crops."""

from __future__ import annotations

from dataclasses import dataclass

from prelabel_plugins.separators.crop_pieces import CropPieces
from prelabel_plugins.separators.hierarchy import Hierarchy
from prelabel_plugins.separators.merge import Merge


@dataclass(frozen=True)
class Zoom(CropPieces, Merge):
    """Like ``merge``, and then each region is split again by a closer look at it.

    Attributes:
        similar: in [-1, 1]; as in ``merge``, for the patches of the photo.
        smallest: in [0, 1); likewise.
        within: in [-1, 1]; the same for the patches of a crop. Higher splits more.
        piece: in [0.05, 1); the smallest piece, as a share of its region.
    """


@dataclass(frozen=True)
class HierarchyZoom(CropPieces, Hierarchy):
    """Like ``hierarchy``, and then each region is split again by a closer look at it.

    Attributes:
        least: ≥ 0; as in ``hierarchy``.
        within: in [-1, 1]; patches of a crop are merged down to this similarity. Higher splits more.
        piece: in [0.05, 1); the smallest piece, as a share of its region.
    """
