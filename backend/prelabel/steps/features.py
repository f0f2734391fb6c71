"""Images to patch features: fixed batch shapes, half precision, kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prelabel.data import images
from prelabel.data.records import Image, PatchFeatures
from prelabel.errors import ContractError
from prelabel.steps import tiles
from prelabel.storage.files import cache_folder
from prelabel.storage.shards import ShardStore
from prelabel.strategies import registry
from prelabel.strategies.blame import costs_the_photo
from prelabel.strategies.checks import check_features
from prelabel.strategies.code_digest import modules_code, strategy_code
from prelabel.strategies.protocols import Backbone


class Extractor:
    """Runs a backbone over images at one input size.

    A photo's features do not depend on what is extracted with it: every call of the backbone gets a
    full batch, padded with black images.
    """

    def __init__(self, backbone: Backbone, *, name: str, size: int) -> None:
        self.backbone = backbone
        self.name = name
        self.size = size

    @property
    def chunk(self) -> int:
        """Number of images to extract at once."""
        return 1 if self.backbone.batch == 1 else 4 * self.backbone.batch

    def store(self) -> ShardStore:
        """The store of this backbone's features at this size, in the cache."""
        code = features_code(self.name)
        key = identity_key(self.name, {**self.backbone.identity(), "size": self.size, "code": code})
        return ShardStore(cache_folder() / "features" / key)

    def extract(self, photos: Sequence[Image]) -> list[PatchFeatures]:
        """Features of each image, in order. Raises PluginError."""
        with costs_the_photo():
            return self._extract(photos)

    def fits(self, photo: Image, features: PatchFeatures) -> bool:
        """Whether features may be what ``extract`` returns for that photo."""
        [grid] = self._grids([photo])
        try:
            check_features("features", features, grid, dim=self.backbone.dim)
        except ContractError:
            return False
        return True

    def _extract(self, photos: Sequence[Image]) -> list[PatchFeatures]:
        if self.size > tiles.LARGEST:
            return [self._tiled(photo) for photo in photos]
        grids = self._grids(photos)
        results: list[PatchFeatures | None] = [None] * len(photos)
        for grid in sorted(set(grids)):
            members = [i for i, g in enumerate(grids) if g == grid]
            for start in range(0, len(members), self.backbone.batch):
                batch = members[start : start + self.backbone.batch]
                answers = self._of_pixels([self._pixels(photos[i], grid) for i in batch])
                for i, answer in zip(batch, answers, strict=True):
                    results[i] = answer
        return [r for r in results if r is not None]

    def _tiled(self, photo: Image) -> PatchFeatures:
        whole = Extractor(self.backbone, name=self.name, size=tiles.TILE)
        [features], [grid] = whole.extract([photo]), self._grids([photo])
        pixels = self._pixels(photo, grid)
        return tiles.extract_tiled(
            pixels,
            features,
            self._of_pixels,
            patch=self.backbone.patch,
            batch=self.backbone.batch,
        )

    def _grids(self, photos: Sequence[Image]) -> list[tuple[int, int]]:
        patch = self.backbone.patch
        return [images.grid_size(p.width, p.height, size=self.size, patch=patch) for p in photos]

    def _pixels(self, photo: Image, grid: tuple[int, int]) -> NDArray[np.uint8]:
        height, width = (n * self.backbone.patch for n in grid)
        return images.pixels_at(photo, height=height, width=width)

    def _of_pixels(self, pixels: Sequence[NDArray[np.uint8]]) -> list[PatchFeatures]:
        """Features of at most a batch of images of the same size, in whole patches."""
        name = registry.title("backbone", self.backbone)
        height, width = pixels[0].shape[:2]
        batch = np.zeros((self.backbone.batch, height, width, 3), dtype=np.uint8)
        batch[: len(pixels)] = pixels
        answers = self.backbone.extract(batch)
        if len(answers) != len(batch):
            raise ContractError(f"{name} returned {len(answers)} results for {len(batch)} photos")
        grid = height // self.backbone.patch, width // self.backbone.patch
        own = answers[: len(pixels)]
        return [check_features(name, one, grid, dim=self.backbone.dim) for one in own]


def identity_key(name: str, identity: Mapping[str, object]) -> str:
    """16 hex digits that identify a backbone's features: all of its identity but the weights' name,
    which is for people."""
    facts = json.dumps({k: v for k, v in identity.items() if k != "weights"}, sort_keys=True)
    return hashlib.blake2b(f"{name} {facts}".encode(), digest_size=8).hexdigest()


def features_code(backbone: str) -> str:
    """Digest of the code that extracts features with the backbone of that name, as installed now."""
    return f"{modules_code(__name__)} {strategy_code('backbone', backbone)}"


def to_arrays(features: PatchFeatures) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """The arrays of a store's entry."""
    return {"patches": features.patches, "cls": features.cls, "attention": features.attention}


def from_arrays(arrays: dict[str, np.ndarray]) -> PatchFeatures:  # type: ignore[type-arg]
    """The features of a store's entry."""
    return PatchFeatures(**arrays)
