"""The object a person pointed at: the fitted clusters restricted to it, refined along edges.

Nothing is trained. Two patches are alike by the mean of two figures: the share of the model's
clusterings in which they share a cluster (evidence accumulation, Fred and Jain, TPAMI 2005) and
the cosine of their centred vectors. Points and boxes give every patch a prior; a random walker with
priors (Grady, CVPR 2005) spreads it over the grid, but not across borders between unlike patches.

- A patch like a wanted point belongs to the object, unless it is more like an unwanted one.
- A patch in a box belongs to it if its clusters lie in the box rather than around it, and if it is
  foreground. The cut is the highest at which the object still fills the box from side to side:
  a box is drawn around an object, so the object's own box is known.

The constants were chosen on every second photo (the first, third … by name) of three sets of photos
with masks; ``benchmarks/interactive.py`` measures on the others.
Boxes were better than their baseline on all sets. A single click was not where the automatic region
is the object already: one salient object (ecssd), or nuclei with weights trained for saliency.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import spsolve

from prelabel.data.masks import Mask, encode_rle, rle_area, rle_box
from prelabel.data.records import Image, PatchFeatures, Region
from prelabel.errors import UserError
from prelabel.segment import Segmenter
from prelabel.steps.levels import unit
from prelabel.steps.regions import enlarge, upsample
from prelabel.storage.threads import one_blas_thread
from prelabel.strategies.checks import check_array

Float = NDArray[np.float32]
Point = tuple[float, float]
Box = tuple[float, float, float, float]

ALIKE = 0.55
"""Likeness, in [-0.5, 1], from which a patch rather belongs to a point's object than not."""
IN_BOX = 0.65
"""The same for the share of a patch's clusters in a box."""
FOREGROUND = 0.3
"""Weight of P(foreground) beside that share."""
AROUND = 0.05
"""Share of the photo around a box that is enough to tell which clusters are background."""
POINT_SLOPE, BOX_SLOPE = 10.0, 8.0
"""How sharply likeness becomes a prior."""
POINT_TRUST, BOX_TRUST = 0.005, 0.3
"""Weight of a patch's prior in the random walk, where its tie to a like neighbour weighs 1."""
SURE = 10.0
"""The same for what a person said: patches with a point, patches outside the box."""
EDGE = 10.0
"""How fast ties weaken with unlikeness: exp(-EDGE · (1 - likeness))."""
CUTS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Where a box's answer may be cut."""
FILLED = 0.8
"""The object's own box has at least this share of the most that any cut gives it."""
SMALL_PART = 0.1
"""Parts in a box that are smaller than this share of the largest are left out."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """What a person pointed at, in fractions of width and height [0, 1] of the EXIF-oriented photo.

    ``points``: x, y, and whether it is wanted (False: to be excluded). ``boxes``: x0, y0, x1, y1.
    """

    points: tuple[tuple[float, float, bool], ...] = ()
    boxes: tuple[Box, ...] = ()


def object_mask(
    segmenter: Segmenter, picture: Image, features: PatchFeatures, pointed: Prompts
) -> Region | None:
    """The object there at the photo's full size, as one Region (mask RLE, box, area, score; cluster
    -1), or None where nothing remains.

    Every wanted point is inside, no unwanted one is, and nothing is outside the boxes; None where
    that cannot be, and where neither a point is wanted nor a box has an area. Several wanted points
    or boxes give the union. The score is the mean, in [0, 1], of what the patches said inside.

    Coordinates a little outside [0, 1] are moved to the edge. Raises UserError for those that are
    no fractions at all (not finite, below -1 or above 2), and ContractError.
    """
    points = [(*_fractions(point[:2]), point[2]) for point in pointed.points]
    wanted = [(x, y) for x, y, is_wanted in points if is_wanted]
    unwanted = [(x, y) for x, y, is_wanted in points if not is_wanted]
    boxes = [box for box in map(_corners, pointed.boxes) if box[0] < box[2] and box[1] < box[3]]
    if not boxes and (pointed.boxes or not wanted):
        return None

    height, width = picture.pixels.shape[:2]
    windows: Sequence[Box | None] = boxes or (None,)
    coarse: Float = np.zeros((height, width), dtype=np.float32)
    with one_blas_thread():
        patches = _Patches(segmenter, features)
        for box in windows:
            said = upsample(patches.belief(wanted, unwanted, box), height=height, width=width)
            if box:
                said = _recut(said, _cut(said[_window(box, height=height, width=width)]))
            coarse = np.maximum(coarse, said)
    refined = segmenter.refiner.refine(coarse, picture.pixels)
    refiner = segmenter.model.config.refiner.name
    check_array(f"refiner {refiner!r}", refined, coarse.shape, probability=True)

    mask = _obey(refined > 0.5, wanted, unwanted, boxes, radius=height / patches.shape[0] / 2)
    mask = _pointed_parts(mask, wanted, keep_large=bool(boxes))
    if not mask.any():
        return None
    score = float(coarse[mask].mean())
    mask = enlarge(mask, height=picture.height, width=picture.width)
    mask = _obey(mask, wanted, unwanted, boxes, radius=0)
    if not mask.any() or not all(mask[_pixel(point, mask.shape)] for point in wanted):
        return None
    rle = encode_rle(mask)
    return Region(rle=rle, box=rle_box(rle), area=rle_area(rle), score=min(max(score, 0.0), 1.0))


class _Patches:
    """A photo's patches, and how alike they are."""

    def __init__(self, segmenter: Segmenter, features: PatchFeatures) -> None:
        results = segmenter.judge(features)
        self.shape = features.attention.shape
        n = features.attention.size
        self.foreground = segmenter.consistency.combine(results)
        name = f"consistency {segmenter.model.config.consistency.name!r}"
        check_array(name, self.foreground, self.shape, probability=True)
        self.clusters = np.concatenate([r.clusters.reshape(-1, n) for r in results])
        vectors = features.patches.reshape(n, -1).astype(np.float32)
        self.vectors = unit(vectors - segmenter.model.levels.center)
        self.index = np.arange(n).reshape(self.shape)
        self.edges = np.concatenate(
            [
                np.stack([self.index[:, :-1].ravel(), self.index[:, 1:].ravel()], axis=1),
                np.stack([self.index[:-1].ravel(), self.index[1:].ravel()], axis=1),
            ]
        )

    def belief(self, wanted: Sequence[Point], unwanted: Sequence[Point], box: Box | None) -> Float:
        """How far each patch belongs to the object, float32 (h, w) in [0, 1]."""
        n = self.index.size
        logit = np.zeros(n)
        trust = np.full(n, BOX_TRUST if box else POINT_TRUST)
        if box:
            coverage = _coverage(box, self.shape).ravel()
            foreground = self.foreground.ravel()
            # With hardly anything around the box, clusters say nothing and P(foreground) must do.
            told = min(1.0, (1 - coverage).mean() / AROUND)
            share = told * self._share(coverage) + (1 - told) * foreground
            logit += BOX_SLOPE * (share + FOREGROUND * (foreground - 0.5) - IN_BOX)
        if wanted:
            logit += POINT_SLOPE * (self._likeness(wanted) - ALIKE)
        if unwanted:
            logit -= POINT_SLOPE * np.maximum(self._likeness(unwanted) - ALIKE, 0)
        prior = 1 / (1 + np.exp(-logit))
        if box:
            outside = coverage < min(0.5, coverage.max() / 2)
            prior[outside], trust[outside] = 0, SURE
        for points, said in ((wanted, 1), (unwanted, 0)):
            for point in points:
                at = self.index[_pixel(point, self.shape)]
                prior[at], trust[at] = said, SURE
        return self._walk(prior, trust)

    def _likeness(self, points: Sequence[Point]) -> NDArray[np.float64]:
        """Of each patch to the nearest of the points (n,); a point is a patch and its neighbours,
        since one patch alone may be an odd one."""
        answers = []
        for point in points:
            row, column = _pixel(point, self.shape)
            near = self.index[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].ravel()
            shared = np.mean([self.clusters == self.clusters[:, [i]] for i in near], axis=(0, 1))
            cosine = self.vectors @ unit(self.vectors[near].mean(axis=0))
            answers.append((shared + cosine) / 2)
        return np.asarray(np.max(answers, axis=0), dtype=np.float64)

    def _share(self, coverage: NDArray[np.float64]) -> NDArray[np.float64]:
        """P(in the box | cluster) of each patch (n,), both sides weighing the same whatever the
        box's size; the mean over clusterings."""
        inside, around = coverage.sum(), (1 - coverage).sum()
        answers = []
        for labels in self.clusters:
            own = np.bincount(labels, weights=coverage) / max(inside, 1e-6)
            other = np.bincount(labels, weights=1 - coverage) / max(around, 1e-6)
            answers.append((own / np.maximum(own + other, 1e-12))[labels])
        return np.asarray(np.mean(answers, axis=0))

    def _walk(self, prior: NDArray[np.float64], trust: NDArray[np.float64]) -> Float:
        """The x that minimises Σ tie · (x_i - x_j)² + Σ trust · (x_i - prior_i)²."""
        a, b = self.edges.T
        shared = (self.clusters[:, a] == self.clusters[:, b]).mean(axis=0)
        cosine = np.einsum("ed,ed->e", self.vectors[a], self.vectors[b])
        ties = np.exp(-EDGE * (1 - (shared + cosine) / 2))
        n = len(prior)
        ends = (np.concatenate([a, b]), np.concatenate([b, a]))
        weights = coo_array((np.concatenate([ties, ties]), ends), shape=(n, n))
        system = diags_array(weights.sum(axis=1) + trust) - weights
        answer = spsolve(system.tocsc(), trust * prior)
        return np.asarray(answer.clip(0, 1), dtype=np.float32).reshape(self.shape)


def _fractions(values: Sequence[float]) -> tuple[float, ...]:
    if not all(math.isfinite(v) and -1 <= v <= 2 for v in values):
        raise UserError(
            f"pointed at {tuple(values)}: fractions of the photo's width and height wanted, "
            "0 to 1; divide percents by 100, pixels by the photo's size"
        )
    return tuple(min(max(float(v), 0.0), 1.0) for v in values)


def _corners(box: Box) -> Box:
    """From any two opposite corners."""
    x0, y0, x1, y1 = _fractions(box)
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _pixel(point: Point, shape: tuple[int, ...]) -> tuple[int, int]:
    """Row and column of a point in a grid of pixels or patches."""
    x, y = point
    return min(int(y * shape[0]), shape[0] - 1), min(int(x * shape[1]), shape[1] - 1)


def _window(box: Box, *, height: int, width: int) -> tuple[slice, slice]:
    """A box's pixels; one at least."""
    x0, y0, x1, y1 = box
    top, left = min(round(y0 * height), height - 1), min(round(x0 * width), width - 1)
    bottom, right = max(round(y1 * height), top + 1), max(round(x1 * width), left + 1)
    return np.s_[top:bottom, left:right]


def _coverage(box: Box, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The share of each patch (h, w) that lies in the box."""
    x0, y0, x1, y1 = box

    def along(start: float, stop: float, n: int) -> NDArray[np.float64]:
        edges = np.arange(n + 1)
        inside = np.minimum(stop * n, edges[1:]) - np.maximum(start * n, edges[:-1])
        return np.asarray(inside.clip(0, 1), dtype=np.float64)

    return along(y0, y1, shape[0])[:, None] * along(x0, x1, shape[1])


def _cut(said: Float) -> float:
    """The highest cut at which what is left of a box's belief (h, w) fills the box."""
    filled = []
    for cut in CUTS:
        left = said > cut
        spans = [np.flatnonzero(left.any(axis=axis)) for axis in (0, 1)]
        filled.append(math.prod(float(np.ptp(s) + 1) if len(s) else 0.0 for s in spans))
    return max(cut for cut, area in zip(CUTS, filled, strict=True) if area >= FILLED * max(filled))


def _recut(said: Float, cut: float) -> Float:
    """``said`` bent so that ``cut`` becomes 0.5, where refiners expect it."""
    return np.asarray(np.interp(said, (0, cut, 1), (0, 0.5, 1)), dtype=np.float32)


def _obey(
    mask: Mask,
    wanted: Sequence[Point],
    unwanted: Sequence[Point],
    boxes: Sequence[Box],
    radius: float,
) -> Mask:
    """The mask (h, w) with wanted points inside, unwanted ones outside, and nothing outside the
    boxes. A point decides over ``radius`` pixels around it, where no other point is nearer."""
    mask = mask.copy()
    if radius:
        to_wanted, to_unwanted = (_distance(points, mask.shape) for points in (wanted, unwanted))
        mask |= (to_wanted <= radius) & (to_wanted < to_unwanted)
        mask &= (to_unwanted > radius) | (to_wanted < to_unwanted)
    for points, said in ((wanted, True), (unwanted, False)):
        for point in points:
            mask[_pixel(point, mask.shape)] = said
    if boxes:
        allowed = np.zeros_like(mask)
        for box in boxes:
            allowed[_window(box, height=mask.shape[0], width=mask.shape[1])] = True
        mask &= allowed
    return mask


def _distance(points: Sequence[Point], shape: tuple[int, ...]) -> Float:
    """Of each pixel to the nearest point, in pixels, float32 (h, w); infinite without points."""
    if not points:
        return np.full(shape, np.inf, dtype=np.float32)
    free = np.ones(shape, dtype=np.uint8)
    for point in points:
        free[_pixel(point, shape)] = 0
    return np.asarray(cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_5), dtype=np.float32)


def _pointed_parts(mask: Mask, wanted: Sequence[Point], *, keep_large: bool) -> Mask:
    """The connected parts with a wanted point; with ``keep_large`` all but small ones as well."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    keep = np.zeros(len(areas), dtype=np.bool_)
    if keep_large:
        keep = areas >= SMALL_PART * areas[1:].max(initial=0)
    keep[[labels[_pixel(point, mask.shape)] for point in wanted]] = True
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)
