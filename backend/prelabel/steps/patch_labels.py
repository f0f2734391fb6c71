"""Labels of a photo on its grid of patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from prelabel.data.masks import Rle, decode_rle

Float = NDArray[np.float32]


@dataclass(frozen=True)
class LabelledPhoto:
    """What is known of a photo.

    ``digest``: of its bytes. ``classes``: for each class its regions, at full size. ``background``:
    regions without an object. ``unknown``: regions that teach nothing. ``complete``: whether all
    the rest is background; else it is unknown.
    """

    digest: str
    classes: tuple[tuple[Rle, ...], ...]
    background: tuple[Rle, ...] = ()
    unknown: tuple[Rle, ...] = ()
    complete: bool = True


def patch_shares(labels: LabelledPhoto, *, height: int, width: int) -> Float:
    """How much of each patch background and each class cover: float32 (height, width, 1 + n_classes)
    in [0, 1]; the grid has height × width patches. What is missing to 1 is unknown.

    Where regions of several classes overlap, each counts in proportion.
    """
    shares = np.stack(
        [_covered(rles, height, width) for rles in (labels.background, *labels.classes)], axis=-1
    )
    objects = shares[..., 1:].sum(axis=-1)
    shares[..., 1:] /= np.maximum(objects, 1)[..., None]
    rest = np.maximum(1 - objects, 0)
    shares[..., 0] = rest if labels.complete else np.minimum(shares[..., 0], rest)
    shares *= 1 - _covered(labels.unknown, height, width)[..., None]
    return shares


def _covered(rles: Sequence[Rle], height: int, width: int) -> Float:
    """How much of each patch some region covers, float32 (height, width)."""
    if not rles:
        return np.zeros((height, width), dtype=np.float32)
    together = rles[0] if len(rles) == 1 else coco_mask.merge(list(rles))
    mask = decode_rle(together).astype(np.float32)
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA))
