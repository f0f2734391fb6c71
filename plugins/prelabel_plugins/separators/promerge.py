"""ProMerge: masks prompted on a grid, without background, merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prelabel.data.masks import Mask
from prelabel.data.records import PatchMaps
from prelabel_plugins.separators.patch_cuts import (
    Features,
    Float,
    features_of,
    to_pixels,
    unit_rows,
)

Masks = NDArray[np.bool_]
# These are the values of the authors' code (github.com/facebookresearch/ProMerge).
_PROMPTS = 15
"""Prompts on a side of the photo: every fourth of 60 patches."""
_SPLIT = 0.5
"""A part of a prompt's mask counts if it is as large as this share of the part with the prompt."""
_VOTES = 0.5
"""Share of the background masks above which a patch is background."""
_LEAST_BACKGROUND = 0.1
"""Share of the photo that must be background for anything to be told from it."""
_INSIDE = 0.8
"""Share of a mask's new patches that are background from which it is left out."""
_LIKE_BACKGROUND = 0.1
"""Product of the mean features of a mask and of the background from which it is left out."""
_OVERLAP, _LITTLE_OVERLAP = 0.5, 0.1
"""Share of a mask inside another above which the two are merged; the lower one if they are alike."""
_ALIKE = 0.1
"""Product of the mean features of two masks from which they are alike."""


@dataclass(frozen=True)
class ProMerge:
    """ProMerge (Li and Shin, ECCV 2024): all objects of a photo, without an eigenvector.

    Each of 15 × 15 patches prompts a mask: what is like it. Masks on more than half of two sides of the
    photo vote for background. Of the others, split into connected parts, the smallest first are
    kept if they add something that is not background and do not look like it; masks that overlap
    are then merged, the largest first. Foreground is decided here: P(foreground) and
    ``regions.threshold`` play no part. Without background, as where all patches are alike, there is
    no region: choose ``relative``, or a higher ``tau``.

    Attributes:
        tau: in [-1, 1]; a patch is like the prompt if their cosine is above. The authors' code has 0.2,
            for DINO.
        features: ``raw`` as the backbone gives them, as in the paper, or ``relative`` to what is usual
            in the dataset, for weights whose patches are all alike, such as the stand-in's.
    """

    tau: Annotated[float, Field(ge=-1, le=1)] = 0.2
    features: Features = "raw"

    def separate(
        self,
        refined: NDArray[np.float32],
        *,
        threshold: float,
        patches: PatchMaps,
        image: NDArray[np.uint8],
    ) -> NDArray[np.int32]:
        """int32 (h, w), numbers from 1."""
        return to_pixels(promerge_masks(features_of(patches, self.features), self.tau), image)


def promerge_masks(vectors: Float, tau: float) -> Masks:
    """The objects' patches, bool (n, h, w), which may overlap, of features float32 (h, w, dim)."""
    shape = vectors.shape[:2]
    rows = unit_rows(vectors)
    proposals, votes = _prompted(rows, shape, tau)
    nothing = np.zeros((0, *shape), dtype=np.bool_)
    if not len(votes) or not len(proposals):
        return nothing
    background = np.asarray(np.mean(votes, axis=0) > _VOTES)
    if background.mean() < _LEAST_BACKGROUND:
        return nothing
    kept = _without_background(proposals, background, rows)
    return np.stack(_merged(kept, rows)) if kept else nothing


def stride(n_patches: int) -> int:
    """Patches from one prompt to the next on a side of ``n_patches``."""
    return max(1, round(n_patches / _PROMPTS))


def _prompted(rows: Float, shape: tuple[int, ...], tau: float) -> tuple[list[Mask], list[Mask]]:
    """Parts of what the prompts look like, and the masks that are background."""
    height, width = shape
    proposals, votes = [], []
    places = np.arange(height * width).reshape(shape)
    for prompt in places[:: stride(height), :: stride(width)].ravel():
        mask = (rows @ rows[prompt] > tau).reshape(shape)
        if not mask.flat[prompt]:  # a patch without features is like nothing
            continue
        sides = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
        if sum(side.mean() > 0.5 for side in sides) > 1:
            votes.append(mask)
            continue
        n, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
        areas = np.bincount(parts.ravel(), minlength=n)
        counts = areas >= _SPLIT * areas[parts.flat[prompt]]
        numbers = 1 + np.flatnonzero(counts[1:])
        numbers = numbers[np.argsort(-areas[numbers], kind="stable")]
        proposals += [parts == number for number in numbers]
    return proposals, votes


def _without_background(proposals: Sequence[Mask], background: Mask, rows: Float) -> list[Mask]:
    """Those that are neither background nor like it, the smallest first; each adds something."""
    like = rows @ _mean(background, rows)
    taken = np.zeros_like(background)
    kept = []
    for mask in sorted(proposals, key=np.count_nonzero):
        new = mask & ~taken
        if not new.any() or background[new].mean() >= _INSIDE:
            continue
        if like[mask.ravel()].mean() < _LIKE_BACKGROUND:
            taken |= mask
            kept.append(mask)
    return kept


def _merged(masks: Sequence[Mask], rows: Float) -> list[Mask]:
    """Masks, the largest first, each merged with all those before that it overlaps enough."""
    merged: list[Mask] = []
    for mask in sorted(masks, key=np.count_nonzero, reverse=True):
        found, others = mask, []
        for other in merged:
            share = other[mask].mean()
            if share > _OVERLAP or (
                share > _LITTLE_OVERLAP and _mean(mask, rows) @ _mean(other, rows) >= _ALIKE
            ):
                found = found | other
            else:
                others.append(other)
        merged = [*others, found]
    return merged


def _mean(mask: Mask, rows: Float) -> Float:
    return np.asarray(rows[mask.ravel()].mean(axis=0))
