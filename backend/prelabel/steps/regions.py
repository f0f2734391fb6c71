"""A label image to regions, each with its mask, box and score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from prelabel.data.bulges import Labels
from prelabel.data.masks import Mask, encode_rle, rle_area, rle_box
from prelabel.data.records import LevelResult, Region
from prelabel.steps.region_scores import object_scores
from prelabel.steps.tidying import drop_parts, fill_holes

Float = NDArray[np.float32]


@dataclass(frozen=True)
class PhotoRegions:
    """Regions of one photo, highest score first.

    ``masks``: bool (n, h, w) at working size, in the same order. ``numbers``: of the same in the label
    image. ``dropped``: parts left out as too small, too unlikely or surroundings. ``shares``: as in `Segment`.
    ``source``: only where regions may be split.
    """

    regions: tuple[Region, ...]
    masks: NDArray[np.bool_]
    numbers: tuple[int, ...]
    dropped: int
    shares: Float
    source: RegionSource | None = None


@dataclass(frozen=True)
class RegionSource:
    """What regions were made of: a label image int32 (h, w), numbers from 1 without gaps, and how they
    are made of one of that size."""

    labels: Labels
    make: Callable[[Labels], PhotoRegions]


def upsample(patches: Float, *, height: int, width: int) -> Float:
    """float32 (h, w) on the patch grid to float32 (height, width), bilinear."""
    return np.asarray(cv2.resize(patches, (width, height), interpolation=cv2.INTER_LINEAR))


def agreement(levels: Sequence[LevelResult], foreground: Float) -> Float:
    """How far the levels agree at each patch, float32 (h, w) in [0, 1]: 1 minus the mean distance
    between a level's P(foreground) and the combined one."""
    distances = [np.abs(level.foreground - foreground) for level in levels]
    return np.asarray(1 - np.mean(distances, axis=0), dtype=np.float32)


def find_regions(
    labels: Labels,
    *,
    coarse: Float,
    agreed: Float | None,
    vectors: Float | None,
    min_area: float,
    max_frame: float,
    min_hole: float,
    min_part: float,
    min_score: float,
    full_width: int,
    full_height: int,
) -> PhotoRegions:
    """The regions of a label image int32 (h, w), numbers from 1 without gaps.

    ``coarse`` (P before refinement) and ``agreed`` are float32 (h, w) at working size, as it is. A
    region's score is its mean of coarse times that of agreed; without ``agreed``, that of
    `object_scores`, which takes the photo's ``vectors``. Regions smaller than ``min_area`` (a share of the
    photo) are dropped and counted, and so are those on more than ``max_frame`` of the photo's
    outermost pixels, as what surrounds everything else is not an object, and those with a score under
    ``min_score``. Of what is kept, holes smaller than ``min_hole`` (a share of the region) are filled,
    except where another region lies in one, and parts smaller than ``min_part`` are left out, which the
    outline at full size may have. The score is of the region as it was found.
    """
    height, width = labels.shape
    n_parts = int(labels.max()) + 1
    areas = np.bincount(labels.ravel(), minlength=n_parts)
    windows = find_objects(labels)
    smallest = max(1.0, min_area * height * width)
    frame = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    on_frame = np.bincount(frame, minlength=n_parts) / len(frame)
    kept = [i for i in range(1, n_parts) if areas[i] >= smallest and on_frame[i] <= max_frame]
    if agreed is not None:
        scores = {i: _mean_product(labels, i, windows[i - 1], coarse, agreed) for i in kept}
    else:
        assert vectors is not None
        renumbered = np.zeros(n_parts, dtype=np.int32)
        renumbered[kept] = np.arange(1, len(kept) + 1)
        scores = dict(zip(kept, object_scores(renumbered[labels], coarse, vectors), strict=True))
    kept = sorted((i for i in kept if scores[i] >= min_score), key=lambda i: (-scores[i], i))
    is_kept = np.zeros(n_parts, dtype=np.bool_)
    is_kept[kept] = True
    masks = np.zeros((len(kept), height, width), dtype=np.bool_)
    regions: list[Region] = []
    numbers: list[int] = []
    for i in kept:
        inside = labels == i
        others = is_kept[labels] & ~inside
        inside = fill_holes(inside, min_hole, others)
        full = enlarge(inside, height=full_height, width=full_width)
        others = enlarge(others, height=full_height, width=full_width)
        rle = encode_rle(drop_parts(fill_holes(full, min_hole, others), min_part))
        if area := rle_area(rle):  # a lone pixel may vanish between the pixels of another size
            masks[len(regions)] = inside
            numbers.append(i)
            regions.append(Region(rle=rle, box=rle_box(rle), area=area, score=scores[i]))
    return PhotoRegions(
        tuple(regions),
        masks[: len(regions)],
        tuple(numbers),
        dropped=n_parts - 1 - len(regions),
        shares=np.zeros((len(regions), 0), dtype=np.float32),
    )


def _mean_product(
    labels: Labels, number: int, window: tuple[slice, slice], coarse: Float, agreed: Float
) -> float:
    inside = labels[window] == number
    product = float(coarse[window][inside].mean()) * float(agreed[window][inside].mean())
    return min(max(product, 0.0), 1.0)


def enlarge_or_point(mask: Mask, *, height: int, width: int) -> Mask:
    """A mask at another size, of which a pixel is left even if it is thinner than that."""
    found = enlarge(mask, height=height, width=width)
    if not found.any() and mask.any():
        rows, columns = np.nonzero(mask)
        found = found.copy()
        found[int(rows.mean() * height / len(mask)), int(columns.mean() * width / len(mask[0]))] = (
            True
        )
    return found


def enlarge(mask: Mask, *, height: int, width: int) -> Mask:
    """A mask at another size, with its outline interpolated."""
    if mask.shape == (height, width):
        return mask
    soft = mask.astype(np.uint8) * 255
    larger = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(larger >= 128)
