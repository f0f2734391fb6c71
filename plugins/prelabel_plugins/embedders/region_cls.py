"""A region's vector is the CLS token of its crop."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prelabel.data.images import resize
from prelabel.data.records import Crop, PatchFeatures
from prelabel.strategies.protocols import Backbone, CropBackbone

_Window = tuple[slice, slice]
"""Rows and columns of an image."""


@dataclass(frozen=True)
class RegionCls:
    """The CLS token of the region's crop, as a unit vector.

    The crop goes through the backbone once more (arXiv 2311.18628). It is a square where the photo
    is large enough, so that shapes keep their proportions.

    Attributes:
        size: side in pixels that the crop is resized to, rounded to whole patches; ≥ 28. Larger
            sees more detail and costs more.
        margin: context on each side of the region's box, as a share of its longer side; ≥ 0.
    """

    threads: ClassVar[int] = 1_000  # it keeps nothing
    size: Annotated[int, Field(ge=28)] = 224
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.1

    def embed(
        self,
        image: NDArray[np.uint8],
        masks: NDArray[np.bool_],
        *,
        features: PatchFeatures,
        backbone: Backbone,
    ) -> NDArray[np.float32]:
        """float32 (n, dim) unit vectors of bool (n, h, w) masks on uint8 (h, w, 3)."""
        return self.embed_crops(image, masks, features=features, backbone=backbone)[0]

    def embed_crops(
        self,
        image: NDArray[np.uint8],
        masks: NDArray[np.bool_],
        *,
        features: PatchFeatures,
        backbone: Backbone,
    ) -> tuple[NDArray[np.float32], list[Crop]]:
        """The vectors of ``embed``, and each region's crop with its patches."""
        [answer] = self.embed_photos([image], [masks], features=[features], backbone=backbone)
        return answer

    def embed_photos(
        self,
        images: Sequence[NDArray[np.uint8]],
        masks: Sequence[NDArray[np.bool_]],
        *,
        features: Sequence[PatchFeatures],
        backbone: Backbone,
    ) -> list[tuple[NDArray[np.float32], list[Crop]]]:
        """What ``embed_crops`` returns for each photo; their crops share batches."""
        windows = [[self._window(mask) for mask in own] for own in masks]
        parts = [
            image[window] for image, own in zip(images, windows, strict=True) for window in own
        ]
        all_seen = self._seen(parts, backbone)
        answers = []
        for own in windows:
            seen = list(itertools.islice(all_seen, len(own)))
            crops = [Crop(*window, found) for window, found in zip(own, seen, strict=True)]
            answers.append((_unit([found.cls for found in seen]), crops))
        return answers

    def _seen(
        self, parts: Sequence[NDArray[np.uint8]], backbone: Backbone
    ) -> Iterator[PatchFeatures]:
        """The features of each part of a photo."""
        backbone = backbone.for_crops if isinstance(backbone, CropBackbone) else backbone
        side = max(1, round(self.size / backbone.patch)) * backbone.patch
        for start in range(0, len(parts), backbone.batch):
            batch = np.zeros((backbone.batch, side, side, 3), dtype=np.uint8)
            own = parts[start : start + backbone.batch]
            for i, part in enumerate(own):
                batch[i] = resize(part, height=side, width=side)
            yield from backbone.extract(batch)[: len(own)]

    def _window(self, mask: NDArray[np.bool_]) -> _Window:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        longer = max(np.ptp(rows), np.ptp(columns)) + 1
        side = round(int(longer) * (1 + 2 * self.margin))
        return _around(rows, side, len(mask)), _around(columns, side, len(mask[0]))


def _unit(tokens: Sequence[NDArray[np.float16]]) -> NDArray[np.float32]:
    """CLS tokens (dim,) as unit vectors (n, dim)."""
    stacked = np.stack([token.astype(np.float32) for token in tokens])
    lengths = np.linalg.norm(stacked, axis=1, keepdims=True)
    return np.asarray(stacked / np.maximum(lengths, 1e-12), dtype=np.float32)


def _around(indices: NDArray[np.intp], side: int, limit: int) -> slice:
    """``side`` pixels with the indices in the middle, moved inside [0, limit) as far as they fit."""
    start = (int(indices[0]) + int(indices[-1]) + 1 - side) // 2
    start = max(0, min(start, limit - side))
    return slice(start, start + side)
