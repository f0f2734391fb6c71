"""Vectors of the regions of photos; some separators split the regions by the crops that are seen for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import Crop, PatchFeatures
from prelabel.errors import ContractError
from prelabel.steps.regions import PhotoRegions
from prelabel.steps.splitting import split_regions
from prelabel.strategies import registry
from prelabel.strategies.checks import check_array, check_crops
from prelabel.strategies.protocols import (
    Backbone,
    CropEmbedder,
    Embedder,
    PhotosEmbedder,
    Splitter,
)

Float = NDArray[np.float32]
Found = tuple[NDArray[np.uint8], PatchFeatures, PhotoRegions]
"""A photo's pixels uint8 (h, w, 3), its features and its regions."""
_Masked = tuple[NDArray[np.uint8], PatchFeatures, NDArray[np.bool_]]
"""The same with masks bool (n, h, w), n ≥ 1."""


@dataclass(frozen=True)
class RegionEmbedding:
    """Gives regions their vectors. ``relative``: features to vectors, relative to what is usual at their
    place."""

    embedder: Embedder
    backbone: Backbone
    separator: object
    relative: Callable[[PatchFeatures], Float]

    def __call__(self, photos: Sequence[Found]) -> list[tuple[PhotoRegions, Float]]:
        """The regions of each photo with vectors float32 (n, dim), in order; crops of several photos go
        through the backbone together. Raises ContractError."""
        none: Float = np.zeros((0, 0), dtype=np.float32)
        results = [(found, none) for _, _, found in photos]
        some = [i for i, (_, _, found) in enumerate(photos) if found.regions]
        split = [i for i in some if photos[i][2].source and isinstance(self.embedder, CropEmbedder)]
        for i, answer in zip(split, self._split([photos[i] for i in split]), strict=True):
            results[i] = answer
        whole = [i for i in some if i not in split]
        masked = [(*photos[i][:2], photos[i][2].masks) for i in whole]
        for i, vectors in zip(whole, self._vectors(masked), strict=True):
            results[i] = photos[i][2], vectors
        return results

    def _split(self, photos: Sequence[Found]) -> list[tuple[PhotoRegions, Float]]:
        """The regions, split by their crops: pieces get vectors of their own, what is not split keeps
        that of its crop."""
        if not photos:
            return []
        assert isinstance(self.separator, Splitter)
        seen = self._crops([(image, features, found.masks) for image, features, found in photos])
        results, pieces, of_pieces = [], [], []
        for (image, features, found), (known, crops) in zip(photos, seen, strict=True):
            split = split_regions(
                found, crops, image, splitter=self.separator, relative=self.relative
            )
            before = np.array(split.before, dtype=np.int64)
            vectors, is_piece = known[before], before < 0
            results.append((split.found, vectors))
            if is_piece.any():
                pieces.append((image, features, split.found.masks[is_piece]))
                of_pieces.append((vectors, is_piece))
        for (vectors, is_piece), own in zip(of_pieces, self._vectors(pieces), strict=True):
            vectors[is_piece] = own
        return results

    def _vectors(self, photos: Sequence[_Masked]) -> list[Float]:
        """A vector for each mask."""
        if isinstance(self.embedder, PhotosEmbedder):
            return [vectors for vectors, _ in self._crops(photos)]
        name = registry.title("embedder", self.embedder)
        vectors = []
        for image, features, masks in photos:
            answer = self.embedder.embed(image, masks, features=features, backbone=self.backbone)
            vectors.append(check_array(name, answer, (len(masks), None)))
        return vectors

    def _crops(self, photos: Sequence[_Masked]) -> list[tuple[Float, Sequence[Crop]]]:
        """A vector and a crop for each mask."""
        name = registry.title("embedder", self.embedder)
        answers: Sequence[object]
        if isinstance(self.embedder, PhotosEmbedder):
            answers = self.embedder.embed_photos(
                [image for image, _, _ in photos],
                [masks for _, _, masks in photos],
                features=[features for _, features, _ in photos],
                backbone=self.backbone,
            )
        else:
            assert isinstance(self.embedder, CropEmbedder)
            answers = [
                self.embedder.embed_crops(image, masks, features=features, backbone=self.backbone)
                for image, features, masks in photos
            ]
        if len(answers) != len(photos):
            raise ContractError(f"{name} returned {len(answers)} results for {len(photos)} photos")
        return [
            check_crops(name, answer, masks)
            for answer, (_, _, masks) in zip(answers, photos, strict=True)
        ]
