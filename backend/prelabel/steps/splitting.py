"""Regions that are split into pieces by a look at their crops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import Crop, PatchFeatures
from prelabel.steps.regions import PhotoRegions
from prelabel.strategies import registry
from prelabel.strategies.checks import check_pieces
from prelabel.strategies.protocols import Splitter

Float = NDArray[np.float32]


@dataclass(frozen=True)
class SplitRegions:
    """The regions of a photo, of which some were split.

    ``before``: for each region the index of the same one before, or -1 for a piece.
    """

    found: PhotoRegions
    before: tuple[int, ...]


def split_regions(
    found: PhotoRegions,
    crops: Sequence[Crop],
    image: NDArray[np.uint8],
    *,
    splitter: Splitter,
    relative: Callable[[PatchFeatures], Float],
) -> SplitRegions:
    """Split each region by its crop. Pieces are found and left out as other regions are.

    ``relative``: features to vectors, relative to what is usual at their place. Raises ContractError.
    """
    source = found.source
    if source is None:
        raise ValueError(
            "these regions cannot be split: they were found by a separator that cannot"
        )
    labels, new = source.labels.copy(), int(source.labels.max())
    pieces: set[int] = set()
    for number, mask, crop in zip(found.numbers, found.masks, crops, strict=True):
        window = crop.rows, crop.columns
        # With its holes that were filled, but for what lay in them and was left out.
        own = mask[window] & ((labels[window] == 0) | (labels[window] == number))
        answer = splitter.split(own, vectors=relative(crop.features), image=image[window])
        split = check_pieces(registry.title("separator", splitter), answer, own)
        if split.max() < 2:
            continue
        is_first = split == 1
        labels[window][split > 0] = np.where(is_first, number, split + new - 1)[split > 0]
        pieces |= {number, *range(new + 1, new + int(split.max()))}
        new += int(split.max()) - 1
    if not pieces:
        return SplitRegions(found, tuple(range(len(found.regions))))
    again = source.make(labels)
    index = {number: i for i, number in enumerate(found.numbers)}
    before = tuple(-1 if n in pieces else index.get(n, -1) for n in again.numbers)
    return SplitRegions(again, before)
