"""From prompts to the mask of one object."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Mask, encode_rle, rle_area, rle_box
from prelabel.data.records import Image, PatchFeatures, Region
from prelabel.interactive.patch_graph import PatchGraph
from prelabel.interactive.prompts import Box, Point, Prompts, cell_of, distance, window_of
from prelabel.interactive.sam import sam_mask
from prelabel.segment import Segmenter
from prelabel.steps.regions import enlarge, upsample
from prelabel.storage.threads import one_blas_thread
from prelabel.strategies.checks import refine

Float = NDArray[np.float32]

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""At which a box's P(object) may be cut."""
FILLED = 0.8
"""The object's own box has at least this share of the most that any threshold gives it."""
SMALL_PART = 0.1
"""Parts in a box that are smaller than this share of the largest are left out."""


def object_mask(
    segmenter: Segmenter,
    image: Image,
    features: PatchFeatures,
    prompts: Prompts,
    *,
    sam: str = "",
) -> Region | None:
    """The object there at the photo's full size, as one Region (mask RLE, box, area, score; cluster
    -1), or None where nothing remains.

    Every positive point is inside, no negative one is, and nothing is outside the boxes; None where
    that cannot be, and where there is neither a positive point nor a box with an area. Several
    positive points or boxes give the union. The score is the mean P(object) of the patches inside.

    ``sam``: one of osam's models, whose mask takes the place of the clusters' one if it has a
    positive point (any pixel, where there is none), and to which several positive points without a
    box are one object; "" for the clusters alone.

    Coordinates a little outside [0, 1] are moved to the edge. Raises UserError for those that are
    not fractions at all (not finite, below -1 or above 2) and for a model that cannot be used, and
    ContractError.
    """
    positive, negative, boxes = prompts.positive(), prompts.negative(), prompts.upright_boxes()
    if not boxes and (prompts.boxes or not positive):
        return None

    height, width = image.pixels.shape[:2]
    windows: Sequence[Box | None] = boxes or (None,)
    coarse: Float = np.zeros((height, width), dtype=np.float32)
    with one_blas_thread():
        graph = PatchGraph(segmenter, features)
        for box in windows:
            patches = graph.probability(positive, negative, box)
            own = upsample(patches, height=height, width=width)
            if box:
                own = _centred(own, _threshold(own[window_of(box, height=height, width=width)]))
            coarse = np.maximum(coarse, own)
    drawn = np.zeros(coarse.shape, dtype=np.bool_)
    if sam:
        drawn = sam_mask(sam, image.pixels, positive=positive, negative=negative, boxes=boxes)
    if drawn.any() and (not positive or any(drawn[cell_of(p, drawn.shape)] for p in positive)):
        radius = 0.0  # SAM knows the prompts: no more than the pixels at the points is made to fit
    else:
        drawn = refine(segmenter.refiner, coarse, image.pixels) > 0.5
        radius = height / graph.shape[0] / 2
    mask = _with_prompts(drawn, positive, negative, boxes, radius=radius)
    mask = _prompted_parts(mask, positive, keep_large=bool(boxes))
    if not mask.any():
        return None
    score = float(coarse[mask].mean())
    mask = enlarge(mask, height=image.height, width=image.width)
    mask = _with_prompts(mask, positive, negative, boxes, radius=0)
    if not mask.any() or not all(mask[cell_of(point, mask.shape)] for point in positive):
        return None
    rle = encode_rle(mask)
    return Region(rle=rle, box=rle_box(rle), area=rle_area(rle), score=min(max(score, 0.0), 1.0))


def _threshold(probability: Float) -> float:
    """The highest threshold at which the object (h, w) in a box still fills the box."""
    filled = []
    for threshold in THRESHOLDS:
        inside = probability > threshold
        spans = [np.flatnonzero(inside.any(axis=axis)) for axis in (0, 1)]
        filled.append(math.prod(float(np.ptp(s) + 1) if len(s) else 0.0 for s in spans))
    enough = FILLED * max(filled)
    return max(t for t, area in zip(THRESHOLDS, filled, strict=True) if area >= enough)


def _centred(probability: Float, threshold: float) -> Float:
    """Bent so that ``threshold`` becomes 0.5, where refiners expect the border."""
    bent = np.interp(probability, (0, threshold, 1), (0, 0.5, 1))
    return np.asarray(bent, dtype=np.float32)


def _with_prompts(
    mask: Mask,
    positive: Sequence[Point],
    negative: Sequence[Point],
    boxes: Sequence[Box],
    radius: float,
) -> Mask:
    """The mask (h, w) with positive points inside, negative ones outside, and nothing outside the
    boxes. A point decides over ``radius`` pixels around it, where no other point is nearer."""
    mask = mask.copy()
    if radius:
        to_positive, to_negative = (distance(points, mask.shape) for points in (positive, negative))
        mask |= (to_positive <= radius) & (to_positive < to_negative)
        mask &= (to_negative > radius) | (to_positive < to_negative)
    for points, value in ((positive, True), (negative, False)):
        for point in points:
            mask[cell_of(point, mask.shape)] = value
    if boxes:
        allowed = np.zeros_like(mask)
        for box in boxes:
            allowed[window_of(box, height=mask.shape[0], width=mask.shape[1])] = True
        mask &= allowed
    return mask


def _prompted_parts(mask: Mask, positive: Sequence[Point], *, keep_large: bool) -> Mask:
    """The connected parts with a positive point; with ``keep_large`` all but small ones as well."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    keep = np.zeros(len(areas), dtype=np.bool_)
    if keep_large:
        keep = areas >= SMALL_PART * areas[1:].max(initial=0)
    keep[[labels[cell_of(point, mask.shape)] for point in positive]] = True
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)
