"""Masks and their RLE. A mask is bool (height, width), a box x, y, width, height in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]


class Rle(TypedDict):
    """COCO's compressed run lengths: ``size`` is [height, width], ``counts`` ASCII."""

    size: list[int]
    counts: str


def encode_rle(mask: Mask) -> Rle:
    """COCO's compressed RLE, with ``counts`` as str so that it can go into JSON."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode("ascii")}


def decode_rle(rle: Rle) -> Mask:
    """The mask of a COCO RLE (compressed, ``counts`` as str or bytes)."""
    return np.asarray(coco_mask.decode(rle), dtype=np.bool_)


def box_rle(box: Box, *, height: int, width: int) -> Rle:
    """The mask of a box, filled, which lies inside a photo of this size."""
    (rle,) = coco_mask.frPyObjects(np.array([box], dtype=np.float64), height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}


def rles_share(rles: Sequence[Rle], *, height: int, width: int) -> float:
    """The share of a photo's pixels that lie in any of the masks, in [0, 1]."""
    if not rles:
        return 0.0
    together = rles[0] if len(rles) == 1 else coco_mask.merge(list(rles))
    return rle_area(together) / (height * width)


def rle_area(rle: Rle) -> int:
    """Pixels inside."""
    return int(coco_mask.area(rle))


def rle_box(rle: Rle) -> Box:
    """The tight box; (0, 0, 0, 0) for an empty mask."""
    x, y, width, height = (int(v) for v in coco_mask.toBbox(rle))
    return x, y, width, height
