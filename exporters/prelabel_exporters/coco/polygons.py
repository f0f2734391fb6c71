"""A mask as COCO's polygons, where those hold it exactly."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco_mask

from prelabel.data.masks import Rle, decode_rle
from prelabel.data.polygons import outlines


def polygons(rle: Rle) -> list[list[float]] | None:
    """``[[x, y, x, y, …], …]`` along the pixels' edges, one polygon for each part; None where
    pycocotools would draw another mask from them: with holes, without a pixel, or thinner parts
    than it can draw."""
    mask = decode_rle(rle)
    if not mask.any():
        return None
    found = [outline.ravel().tolist() for outline in outlines(mask)]
    drawn = coco_mask.merge(coco_mask.frPyObjects(found, *mask.shape))
    return found if np.array_equal(coco_mask.decode(drawn), mask) else None
