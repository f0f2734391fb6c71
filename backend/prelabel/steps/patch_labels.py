"""Labels of a photo on its grid of patches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from prelabel.data.masks import Rle, decode_rle, rle_area

Float = NDArray[np.float32]
_PRESUMED = 0.3
"""How far what is not drawn counts as background on a photo that is labelled in part."""
BOX_WEIGHT = 0.3
"""How far the inside of a box counts as its object, of which nobody knows where in the box it is."""


@dataclass(frozen=True)
class LabelledRegion:
    """A region that a person has drawn, or has deleted.

    Attributes:
        rle: its mask at the photo's size.
        name: of its class; "" for one that was deleted.
        weight: in (0, 1], how far its inside counts as its class; the rest of it is unknown.
        vector: float32 (dim,) of the embedder, if it is known.
    """

    rle: Rle
    name: str
    weight: float = 1.0
    vector: Float | None = None

    @property
    def area(self) -> float:
        """Its share of the photo."""
        height, width = self.rle["size"]
        return rle_area(self.rle) / (height * width)


@dataclass(frozen=True)
class LabelledPhoto:
    """What is known of a photo.

    Attributes:
        digest: of its bytes.
        regions: what people have drawn and deleted.
        unknown: masks that teach nothing, as of regions without a label.
        complete: whether all the rest is background; else it is unknown.
    """

    digest: str
    regions: tuple[LabelledRegion, ...]
    unknown: tuple[Rle, ...] = ()
    complete: bool = True

    @cached_property
    def key(self) -> str:
        """32 hex digits of the photo and of what is drawn on it, but not of the regions' vectors."""
        facts = [
            self.digest,
            [[region.name, region.weight, region.rle] for region in self.regions],
            self.unknown,
            self.complete,
        ]
        return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()


def class_names(photos: Iterable[LabelledPhoto]) -> tuple[str, ...]:
    """The names of the classes of their regions, sorted."""
    return tuple(sorted({r.name for photo in photos for r in photo.regions if r.name}))


def drawn_areas(photos: Iterable[LabelledPhoto]) -> list[float]:
    """Of the objects whose masks were drawn, as shares of their photos."""
    return [r.area for photo in photos for r in photo.regions if r.name and r.weight == 1]


def patch_shares(
    labels: LabelledPhoto, classes: Sequence[str], *, height: int, width: int
) -> Float:
    """How much of each patch background and each class cover: float32 (height, width, 1 + n_classes)
    in [0, 1]; the grid has height × width patches. What is missing to 1 is unknown.

    Where regions of several classes overlap, each counts in proportion.
    """
    shares = np.zeros((height, width, 1 + len(classes)), dtype=np.float32)
    for column, name in enumerate(("", *classes)):
        own = [region for region in labels.regions if region.name == name]
        for weight in sorted({region.weight for region in own}):
            rles = [region.rle for region in own if region.weight == weight]
            covered = weight * patch_coverage(rles, height, width)
            shares[..., column] = np.maximum(shares[..., column], covered)
    drawn = [region.rle for region in labels.regions if region.name]
    inside = patch_coverage(drawn, height, width)
    rest = 1 - inside
    together = shares[..., 1:].sum(axis=-1)
    shares[..., 1:] *= (inside / np.maximum(np.maximum(together, inside), 1e-9))[..., None]
    shares[..., 0] = rest if labels.complete else np.minimum(shares[..., 0], rest)
    shares *= 1 - patch_coverage(labels.unknown, height, width)[..., None]
    return shares


def presume_background(
    shares: Float, labels: LabelledPhoto, where: NDArray[np.bool_] | bool = True
) -> None:
    """On a photo that is labelled in part, count what is unknown weakly as background, as little of it
    is like what was drawn. Changes ``shares``, of ``patch_shares``, on the patches bool (height, width)
    ``where``."""
    if labels.complete:
        return
    teaches_nothing = patch_coverage(labels.unknown, *shares.shape[:2])
    unknown = np.maximum(1 - shares.sum(axis=-1) - teaches_nothing, 0)
    shares[..., 0] += _PRESUMED * unknown * where


def patch_coverage(rles: Sequence[Rle], height: int, width: int) -> Float:
    """How much of each patch some region covers, float32 (height, width)."""
    if not rles:
        return np.zeros((height, width), dtype=np.float32)
    together = rles[0] if len(rles) == 1 else coco_mask.merge(list(rles))
    mask = decode_rle(together).astype(np.float32)
    larger = mask.shape[0] < height or mask.shape[1] < width  # INTER_AREA takes single pixels then
    way = cv2.INTER_LINEAR if larger else cv2.INTER_AREA
    return np.clip(cv2.resize(mask, (width, height), interpolation=way), 0, 1)
