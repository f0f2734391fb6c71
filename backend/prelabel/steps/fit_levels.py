"""Features of many photos to the dataset and category levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from prelabel.config import Config
from prelabel.steps import levels, patch_clusters
from prelabel.steps.groups import group_photos
from prelabel.steps.patch_blocks import PatchTotals, stored_blocks
from prelabel.steps.photo_features import StoredFeatures
from prelabel.steps.photos import draw_sample
from prelabel.steps.positions import PositionSums
from prelabel.storage.progress import RunLog

Float = NDArray[np.float32]


def fit_levels(
    digests: Sequence[str], stored: StoredFeatures, config: Config, log: RunLog
) -> levels.Levels:
    """Both levels, from the stored features of the photos with these digests, n ≥ 1."""
    digests = sorted(digests)  # names must not decide which patches are drawn
    photos = _survey(digests, stored, config)
    groups, reach, members = group_photos(
        photos.tokens,
        settings=config.levels,
        clusterer=config.strategy("clusterer"),
        seed=config.fit.seed,
        every=photos.every,
    )
    with log.stage("levels", 1 + len(groups)):
        center, dataset = _fit_dataset(photos)
        log.advance()
        categories = []
        for group in range(len(groups)):
            own = np.flatnonzero(members == group)
            categories.append(_fit_category(photos.of(own), center, dataset))
            log.advance()
    return levels.Levels(center, dataset, groups, reach, tuple(categories), photos.positions)


@dataclass(frozen=True)
class _Photos:
    """What is known of the photos after one look at each.

    ``tokens``: float16 (n, length), the CLS tokens. ``sizes``: int32 (n,), the number of patches.
    ``positions``: as in ``Levels``. ``center``: float32 (dim,) of all patches, if every patch is
    clustered.
    """

    digests: Sequence[str]
    stored: StoredFeatures
    config: Config
    tokens: NDArray[np.float16]
    sizes: NDArray[np.int32]
    positions: Float
    center: Float | None

    @property
    def every(self) -> bool:
        """Whether all patches are clustered, not a sample."""
        return self.center is not None

    def of(self, members: NDArray[np.int64]) -> _Photos:
        """The same of some of the photos, int64 (m,)."""
        return replace(
            self,
            digests=[self.digests[i] for i in members],
            tokens=self.tokens[members],
            sizes=self.sizes[members],
        )

    def blocks(self, center: Float) -> levels.PatchBlocks | None:
        """All patches relative to the center, if they are clustered."""
        if not self.every:
            return None
        return stored_blocks(
            self.digests,
            self.stored,
            n=int(self.sizes.sum(dtype=np.int64)),
            positions=self.positions,
            center=center,
        )


def _survey(digests: Sequence[str], stored: StoredFeatures, config: Config) -> _Photos:
    every, n = config.fit.photos == 0, len(digests)
    sums, totals = PositionSums(), PatchTotals()
    tokens, sizes = np.zeros((n, 0), np.float16), np.zeros(n, np.int32)
    for i, digest in enumerate(digests):
        features = stored.read(digest)
        if i == 0:  # one block, not a piece for each photo
            tokens = np.empty((n, len(features.cls)), np.float16)
        tokens[i], sizes[i] = features.cls, features.attention.size
        sums.add(features.patches, features.attention)
        if every:
            totals.add(features.patches)
    positions = sums.offsets()
    center = totals.mean(positions) if every else None
    return _Photos(digests, stored, config, tokens, sizes, positions, center)


def _fit_dataset(photos: _Photos) -> tuple[Float, levels.Clusters]:
    """The mean patch float32 (dim,) and the dataset level."""
    config = photos.config
    patches = _draw_patches(photos, ks=config.levels.dataset_k)
    center = patches.vectors.mean(axis=0) if photos.center is None else photos.center
    patches.vectors[:] -= center
    return center, patch_clusters.fit_dataset(
        patches,
        ks=config.levels.dataset_k,
        clusterer=config.strategy("clusterer"),
        foreground=config.strategy("foreground"),
        seed=config.fit.seed,
        every=photos.blocks(center),
    )


def _fit_category(photos: _Photos, center: Float, dataset: levels.Clusters) -> levels.Clusters:
    """The category level of one group of photos."""
    config = photos.config
    clusterer = config.strategy("clusterer")
    patches = _draw_patches(photos, ks=config.levels.category_k)
    patches.vectors[:] -= center
    return patch_clusters.fit_category(
        patches,
        partial(levels.score_patches, clusters=dataset, clusterer=clusterer),
        ks=config.levels.category_k,
        clusterer=clusterer,
        foreground=config.strategy("foreground"),
        seed=config.fit.seed,
        every=photos.blocks(center),
    )


def _draw_patches(photos: _Photos, *, ks: Sequence[int]) -> levels.Patches:
    """Patches of the photos, without what their place adds: as many of each, drawn with the seed, as
    make ``patches_per_cluster`` for the largest k in all; of more photos than that, one each of some."""
    seed, most = photos.config.fit.seed, photos.config.levels.patches_per_cluster * max(ks)
    digests = draw_sample(photos.digests, most=most, seed=seed)
    per_photo = -(-most // len(digests))
    patches, n = levels.Patches.empty(0, 0), 0
    for i, digest in enumerate(digests):
        features = photos.stored.read(digest)
        height, width, dim = features.patches.shape
        order = np.random.default_rng((seed, i)).permutation(height * width)
        chosen = order[:per_photo]
        if i == 0:  # one block, not a piece for each photo: memory must not grow with them
            patches = levels.Patches.empty(per_photo * len(digests), dim)
        own = slice(n, n := n + len(chosen))
        vectors = levels.without_place(features, photos.positions)
        patches.vectors[own] = vectors.reshape(height * width, -1)[chosen]
        patches.attention[own] = features.attention.ravel()[chosen]
        patches.border[own] = levels.border_patches(height, width).ravel()[chosen]
        patches.photos[own] = i
    return patches.first(n)
