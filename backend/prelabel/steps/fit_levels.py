"""Features of many photos to the dataset and category levels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prelabel.config import Config
from prelabel.steps import levels
from prelabel.steps.groups import group_photos
from prelabel.steps.photo_features import StoredFeatures
from prelabel.steps.positions import PositionSums
from prelabel.storage.progress import RunLog

Float = NDArray[np.float32]


def fit_levels(
    digests: Sequence[str], stored: StoredFeatures, config: Config, log: RunLog
) -> levels.Levels:
    """Both levels, from the stored features of the photos with these digests, n ≥ 1."""
    digests = sorted(digests)  # names must not decide which patches are drawn
    sums, tokens = PositionSums(), []
    for digest in digests:
        features = stored.read(digest)
        sums.add(features.patches, features.attention)
        tokens.append(features.cls)
    positions = sums.offsets()
    groups, reach, members = group_photos(
        np.stack(tokens).astype(np.float32),
        settings=config.levels,
        clusterer=config.strategy("clusterer"),
        seed=config.fit.seed,
    )
    with log.stage("levels", 1 + len(groups)):
        center, dataset = _fit_dataset(digests, stored, positions, config)
        log.advance()
        categories = []
        for group in range(len(groups)):
            own = [d for d, g in zip(digests, members, strict=True) if g == group]
            categories.append(_fit_category(own, stored, positions, center, dataset, config))
            log.advance()
    return levels.Levels(center, dataset, groups, reach, tuple(categories), positions)


def _fit_dataset(
    digests: Sequence[str], stored: StoredFeatures, positions: Float, config: Config
) -> tuple[Float, levels.Clusters]:
    """The mean patch float32 (dim,) and the dataset level."""
    patches = _draw_patches(digests, stored, positions, ks=config.levels.dataset_k, config=config)
    center = patches.vectors.mean(axis=0)
    patches.vectors[:] -= center
    return center, levels.fit_dataset(
        patches,
        ks=config.levels.dataset_k,
        clusterer=config.strategy("clusterer"),
        foreground=config.strategy("foreground"),
        seed=config.fit.seed,
    )


def _fit_category(
    digests: Sequence[str],
    stored: StoredFeatures,
    positions: Float,
    center: Float,
    dataset: levels.Clusters,
    config: Config,
) -> levels.Clusters:
    """The category level of one group of photos."""
    clusterer = config.strategy("clusterer")
    patches = _draw_patches(digests, stored, positions, ks=config.levels.category_k, config=config)
    patches.vectors[:] -= center
    return levels.fit_category(
        patches,
        levels.score_patches(patches.vectors, dataset, clusterer),
        ks=config.levels.category_k,
        clusterer=clusterer,
        foreground=config.strategy("foreground"),
        seed=config.fit.seed,
    )


def _draw_patches(
    digests: Sequence[str],
    stored: StoredFeatures,
    positions: Float,
    *,
    ks: Sequence[int],
    config: Config,
) -> levels.Patches:
    """Patches of all photos, without what their place adds: as many of each, drawn with the seed, as
    make ``patches_per_cluster`` for the largest k in all."""
    per_photo = -(-config.levels.patches_per_cluster * max(ks) // len(digests))
    patches, n = levels.Patches.empty(0, 0), 0
    for i, digest in enumerate(digests):
        features = stored.read(digest)
        height, width, dim = features.patches.shape
        order = np.random.default_rng((config.fit.seed, i)).permutation(height * width)
        chosen = order[:per_photo]
        if i == 0:  # one block, not a piece for each photo: memory must not grow with them
            patches = levels.Patches.empty(per_photo * len(digests), dim)
        own = slice(n, n := n + len(chosen))
        vectors = levels.without_place(features, positions)
        patches.vectors[own] = vectors.reshape(height * width, -1)[chosen]
        patches.attention[own] = features.attention.ravel()[chosen]
        patches.border[own] = levels.border_patches(height, width).ravel()[chosen]
    return patches.first(n)
