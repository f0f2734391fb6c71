"""Which recipe suits photos, by what their features show without labels: ``--recipe auto``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from prelabel.config import Config, load
from prelabel.data.records import PatchFeatures
from prelabel.errors import UserError
from prelabel.steps.levels import border_patches
from prelabel.steps.photo_features import StoredFeatures, extract_photos
from prelabel.steps.photos import PhotoSet, draw_sample, find_photos
from prelabel.steps.scales import Scales
from prelabel.storage.progress import RunLog

PHOTOS = 50
"""Photos that are looked at."""
_BLUR = 1.0
"""Sigma in patches, so that single patches that draw attention are no parts."""
_PART = 3
"""Patches of the smallest part that counts."""
MANY_PARTS, NO_MAIN_PART = 5, 0.7
"""Of the median photo: parts of the foreground from which, and share of the largest below which, there
are many small things."""
OFF_FRAME, PLAIN_FRAME = 0.02, 0.25
"""Of the median photo: share of the frame that is foreground, and spread of the frame, up to which
there is one thing on plain ground."""


@dataclass(frozen=True)
class PhotoFigures:
    """What the features of one photo show. What gets more than average attention is its foreground.

    Attributes:
        parts: of the foreground that are connected, small ones left out.
        largest: share of the foreground that is in its largest part, in [0, 1].
        on_frame: share of the photo's outermost patches that are foreground, in [0, 1].
        frame_spread: variance of the outermost patches, relative to that of all patches of the photo;
            near 0 where the photo's frame shows one thing.
    """

    parts: int
    largest: float
    on_frame: float
    frame_spread: float

    @classmethod
    def of(cls, features: PatchFeatures) -> PhotoFigures:
        """Those of a photo."""
        attention = cv2.GaussianBlur(features.attention.astype(np.float32), (0, 0), _BLUR)
        is_foreground = attention > 1.0
        _, _, stats, _ = cv2.connectedComponentsWithStats(
            is_foreground.astype(np.uint8), connectivity=4
        )
        sizes = stats[1:, cv2.CC_STAT_AREA]
        frame = border_patches(*attention.shape)
        vectors = features.patches.astype(np.float32)
        everywhere = float(vectors.var(axis=(0, 1)).sum())
        return cls(
            parts=int((sizes >= _PART).sum()),
            largest=float(sizes.max() / sizes.sum()) if len(sizes) else 0.0,
            on_frame=float(is_foreground[frame].mean()),
            frame_spread=float(vectors[frame].var(axis=0).sum()) / everywhere
            if everywhere
            else 1.0,
        )


@dataclass(frozen=True)
class RecipeChoice:
    """The recipe that suits some photos.

    Attributes:
        name: of the recipe.
        reason: what of the photos speaks for it, for people, on one line.
        config: the recipe, with the changes that were asked for.
    """

    name: str
    reason: str
    config: Config


def choose(photos: Sequence[PhotoFigures]) -> tuple[str, str]:
    """The name of the recipe that suits photos with these figures, n ≥ 1, and the reason.

    ``default`` unless the medians over the photos are clear.
    """
    parts = float(np.median([one.parts for one in photos]))
    largest = float(np.median([one.largest for one in photos]))
    on_frame = float(np.median([one.on_frame for one in photos]))
    spread = float(np.median([one.frame_spread for one in photos]))
    seen = f"in the median photo {parts:.3g} part{'s' * (parts != 1)} stand{'s' * (parts == 1)} out"
    if parts >= MANY_PARTS and largest < NO_MAIN_PART:
        return "microscopy", f"{seen}, the largest is {largest:.0%} of what does"
    ground = f"the frame varies {spread:.0%} as much as the photo"
    if parts == 1 and on_frame <= OFF_FRAME and spread <= PLAIN_FRAME:
        return "product", f"{seen}, not at the frame, and {ground}"
    return "default", f"{seen}, the largest is {largest:.0%} of what does; {ground}"


def choose_recipe(
    source: str | Path | Sequence[str | Path] | PhotoSet,
    overrides: Iterable[str] = (),
    *,
    log: RunLog | None = None,
) -> RecipeChoice:
    """Find the recipe that suits photos, by what their features show without labels.

    Args:
        source: as for `fit`. At most 50 photos are looked at, drawn with the seed of the fit. Their
            features are those of the recipe ``default``, and stay in the cache for a fit of that size.
        overrides: changes to any recipe, as ``section.name=value``.
        log: takes seconds, skipped photos and progress.

    Returns:
        The recipe, with what speaks for it. It is ``default`` unless the photos are clear.

    Raises:
        UserError: no photo can be used, weights cannot be loaded, or an override does not go with the
            recipe.

    Example:
        >>> choice = choose_recipe("photos/")
        >>> choice.name
        'microscopy'
        >>> model = fit("photos/", choice.config)
    """
    photos = source if isinstance(source, PhotoSet) else find_photos(source)
    overrides, log = list(overrides), log or RunLog()
    config = load("default", overrides)
    backbone = config.strategy("backbone").resolve()
    scales = Scales(backbone, name=config.backbone.name, sizes=config.features.sizes)
    sample = draw_sample(photos.photos, most=PHOTOS, seed=config.fit.seed)
    with scales:
        seen = extract_photos(sample, scales, log)
        stored = StoredFeatures(seen, scales)
        figures = [PhotoFigures.of(stored.read(digest)) for _, digest in seen]
    name, reason = choose(figures)
    try:
        return RecipeChoice(name, reason, load(name, overrides))
    except UserError as error:
        raise UserError(f"recipe 'auto' chose {name!r}, but: {error}") from error
