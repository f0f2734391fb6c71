"""A mask as COCO's polygons, where those hold it exactly."""

from __future__ import annotations

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from prelabel.masks import decode_rle
from prelabel.records import Rle


def polygons(rle: Rle) -> list[list[float]] | None:
    """``[[x, y, x, y, …], …]`` along the pixels' edges, one polygon for each part; None if the mask
    has holes, or if pycocotools would draw another mask from them (parts thinner than it can)."""
    mask = decode_rle(rle)
    height, width = mask.shape
    # OpenCV's contours go through pixels' centres. With each pixel doubled, the first of the two
    # stands for its left (upper) edge and the second for its right (lower) one.
    doubled = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if tree is None or (tree[0][:, 3] >= 0).any():  # one has a parent: it is a hole
        return None
    found = []
    for contour in contours:
        points = (contour[:, 0].astype(np.int64) + 1) // 2
        points = points[np.any(points != np.roll(points, 1, axis=0), axis=1)]
        before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
        corners = points[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
        if len(corners) < 4:
            return None
        found.append(corners.astype(float).ravel().tolist())
    if not found:
        return None
    drawn = coco_mask.merge(coco_mask.frPyObjects(found, height, width))
    return found if np.array_equal(coco_mask.decode(drawn), mask) else None
