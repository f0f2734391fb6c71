"""Regions and numbers of classes, worked by hand and against pycocotools."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from scipy.spatial.distance import cdist

from prelabel.data.bulges import connected_parts
from prelabel.data.masks import decode_rle
from prelabel.data.records import LevelResult
from prelabel.steps.classes import fit_classes, number_of_classes
from prelabel.steps.regions import PhotoRegions, agreement, enlarge, find_regions, upsample

Float = NDArray[np.float32]
PICTURE = """
    ##....
    ##....
    ..#...
    .....#
    #....#
"""


def drawn(picture: str) -> NDArray[np.bool_]:
    return np.array([[c == "#" for c in line] for line in picture.split()])


def find(mask: NDArray[np.bool_], **changes: Any) -> PhotoRegions:
    height, width = mask.shape
    settings: dict[str, Any] = {
        "coarse": np.full(mask.shape, 0.8, dtype=np.float32),
        "agreed": np.full(mask.shape, 0.5, dtype=np.float32),
        "vectors": None,
        "min_area": 0.0,
        "max_frame": 1.0,
        "min_hole": 0.0,
        "min_part": 0.0,
        "min_score": 0.0,
        "full_width": width,
        "full_height": height,
    }
    return find_regions(connected_parts(mask), **(settings | changes))


def test_regions__parts_touch_at_corners_too() -> None:
    found = find(drawn(PICTURE))
    assert [(r.box, r.area) for r in found.regions] == [
        ((0, 0, 3, 3), 5),  # the square and the pixel at its corner
        ((5, 3, 1, 2), 2),
        ((0, 4, 1, 1), 1),
    ]
    assert found.dropped == 0
    assert found.masks.shape == (3, 5, 6)
    np.testing.assert_array_equal(found.masks.any(axis=0), drawn(PICTURE))
    assert all(r.cluster == -1 for r in found.regions)


def test_regions__small_parts_are_dropped_and_counted() -> None:
    found = find(drawn(PICTURE), min_area=2 / 30)
    assert [r.area for r in found.regions] == [5, 2]  # exactly the limit stays
    assert found.dropped == 1
    found = find(drawn(PICTURE), min_area=0.5)
    assert found.regions == ()
    assert found.dropped == 3
    assert found.masks.shape == (0, 5, 6)


def test_regions__score_is_mean_p_times_mean_agreement_inside() -> None:
    coarse = np.zeros((5, 6), dtype=np.float32)
    agreed = np.zeros((5, 6), dtype=np.float32)
    coarse[3, 5], coarse[4, 5] = 0.6, 1.0  # mean 0.8
    agreed[3, 5], agreed[4, 5] = 0.2, 0.8  # mean 0.5
    coarse[4, 0], agreed[4, 0] = 0.9, 1.0
    found = find(drawn(PICTURE), coarse=coarse, agreed=agreed)
    assert [r.area for r in found.regions] == [1, 2, 5]  # highest score first
    assert [r.score for r in found.regions] == pytest.approx([0.9, 0.4, 0.0])
    assert [int(mask.sum()) for mask in found.masks] == [1, 2, 5]


def test_regions__unlikely_ones_are_dropped_and_counted() -> None:
    coarse = np.full((5, 6), 0.5, dtype=np.float32)
    coarse[3:, 5] = 0.75
    found = find(drawn(PICTURE), coarse=coarse, agreed=coarse * 0 + 1, min_score=0.75)
    assert [r.area for r in found.regions] == [2]  # exactly the limit stays
    assert found.dropped == 2
    found = find(drawn(PICTURE), coarse=coarse, agreed=coarse * 0 + 1, min_score=0.8)
    assert found.regions == ()


def test_regions__surroundings_are_not_a_region() -> None:
    picture = """
        ######
        #....#
        #.##.#
        #.....
        ######
    """  # 17 of 18 outermost pixels belong to the ring, none to the bar
    assert [r.box for r in find(drawn(picture), max_frame=0.95).regions] == [
        (0, 0, 6, 5),
        (2, 2, 2, 1),
    ]
    found = find(drawn(picture), max_frame=0.9)
    assert [r.box for r in found.regions] == [(2, 2, 2, 1)]
    assert found.dropped == 1
    assert not find(np.ones((3, 4), dtype=np.bool_), max_frame=0.9).regions


def test_regions__box_and_area_equal_pycocotools() -> None:
    rng = np.random.default_rng(0)
    found = find(cv2.blur(rng.random((40, 60)).astype(np.float32), (7, 7)) > 0.5)
    assert len(found.regions) > 3
    for region, mask in zip(found.regions, found.masks, strict=True):
        rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        assert region.rle == {"size": [40, 60], "counts": rle["counts"].decode()}
        assert region.box == tuple(coco_mask.toBbox(rle))
        assert region.area == coco_mask.area(rle) == mask.sum()


def test_regions__are_as_large_as_the_photo() -> None:
    found = find(drawn("##..\n##..\n....\n...."), full_width=400, full_height=200)
    [region] = found.regions
    assert region.rle["size"] == [200, 400]
    assert region.box == (0, 0, 200, 100)
    assert 0.97 * 200 * 100 < region.area < 200 * 100  # its inner corner is rounded
    assert found.masks.shape == (1, 4, 4)


def test_regions__a_part_that_vanishes_at_the_photos_size_is_dropped() -> None:
    """A photo little larger than the working size: a pixel lies between four others."""
    mask = np.zeros((100, 100), dtype=np.bool_)
    mask[50, 50] = mask[10:20, 10:20] = True
    assert not enlarge(mask, height=101, width=101)[45:55, 45:55].any()
    found = find(mask, full_width=101, full_height=101)
    assert len(found.regions) == len(found.masks) == 1
    assert found.dropped == 1
    assert found.regions[0].area > 0


def test_regions__none() -> None:
    found = find(np.zeros((1, 1), dtype=np.bool_))
    assert (found.regions, found.dropped) == ((), 0)
    found = find(np.ones((1, 1), dtype=np.bool_), full_width=20_000, full_height=3)
    assert found.regions[0].box == (0, 0, 20_000, 3)


def test_enlarge__interpolates_the_outline() -> None:
    step = enlarge(np.array([[False, True]]), height=1, width=8)
    assert step.tolist() == [[False] * 4 + [True] * 4]
    same = np.array([[True, False]])
    assert enlarge(same, height=1, width=2) is same
    # A corner is rounded, not blown up to a square.
    corner = enlarge(np.eye(2, dtype=np.bool_), height=40, width=40)
    assert corner[0, 0]
    assert not corner[0, -1]
    assert 600 < corner.sum() < 1000


def test_enlarge__wider_than_16_bits() -> None:
    wide = enlarge(np.array([[False, True]]), height=2, width=70_000)
    assert wide.sum() == pytest.approx(70_000, rel=0.01)
    assert decode_rle(find(wide).regions[0].rle).sum() == wide.sum()


def test_upsample__bilinear() -> None:
    grown = upsample(np.array([[0.0, 1.0]], dtype=np.float32), height=1, width=4)
    assert grown.tolist() == [[0.0, 0.25, 0.75, 1.0]]


def test_agreement__one_minus_mean_distance() -> None:
    def level(value: float) -> LevelResult:
        clusters = np.zeros((1, 1, 1), dtype=np.int16)
        p = np.full((1, 1), value, dtype=np.float32)
        return LevelResult("x", clusters, (p[0],), p)

    combined = np.full((1, 1), 0.5, dtype=np.float32)
    levels = [level(0.2), level(0.5), level(0.8)]  # distances 0.3, 0, 0.3: mean 0.2
    assert agreement(levels, combined).item() == pytest.approx(0.8)
    assert agreement([level(0.5)], combined).item() == 1.0


@pytest.mark.parametrize(
    ("count", "n_labels", "n_regions", "expected"),
    [
        (7, 3, 100, 7),
        (7, 3, 5, 5),  # never more than regions
        (0, 3, 100, 6),  # two per label
        (0, 0, 200, 10),  # sqrt(100)
        (0, 0, 1, 1),  # sqrt(0.5) rounds to 1
        (0, 0, 0, 0),
        (7, 0, 0, 0),
    ],
)
def test_number_of_classes(count: int, n_labels: int, n_regions: int, expected: int) -> None:
    assert number_of_classes(count=count, n_labels=n_labels, n_regions=n_regions) == expected


class Nearest:
    """The first k distinct points are the centroids."""

    def fit(self, points: Float, *, k: int, seed: int) -> Float:
        return np.unique(points, axis=0)[:k]

    def assign(self, points: Float, centroids: Float) -> NDArray[np.int64]:
        return np.asarray(cdist(points, centroids).argmin(axis=1))

    def similarity(self, points: Float, point: Float) -> Float:
        return np.asarray(-cdist(points, point[None])[:, 0], dtype=np.float32)


class Unlucky(Nearest):
    """Each seed misses one of the three corners: it takes the middle of the other two for it."""

    def fit(self, points: Float, *, k: int, seed: int) -> Float:
        if k == 1:
            return np.asarray(points.mean(axis=0, keepdims=True))
        corners = np.array([[0, 0], [10, 0], [0, 10]], dtype=np.float32)
        corners[seed % 3] = (corners.sum(axis=0) - corners[seed % 3]) / 2
        return corners


def test_fit_classes__what_most_runs_put_together() -> None:
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0], [10, 0], [0, 10]], dtype=np.float32).repeat([5, 3, 4], axis=0)
    vectors = corners + rng.uniform(-1, 1, corners.shape).astype(np.float32)
    found = fit_classes(vectors, k=3, clusterer=Unlucky(), seed=0)
    expected = [vectors[:5].mean(axis=0), vectors[8:].mean(axis=0), vectors[5:8].mean(axis=0)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_fit_classes__no_class_without_regions() -> None:
    vectors = np.ones((4, 2), dtype=np.float32)
    assert fit_classes(vectors, k=3, clusterer=Nearest(), seed=0).tolist() == [[1, 1]]


def test_fit_classes__of_many_regions_a_sample() -> None:
    vectors = np.repeat(np.eye(3, dtype=np.float32), [2500, 40, 500], axis=0)
    found = fit_classes(vectors, k=3, clusterer=Nearest(), seed=0)
    assert found.tolist() == np.eye(3)[[0, 2, 1]].tolist()


def test_fit_classes__more_classes_than_the_sample_has_regions() -> None:
    angles = np.linspace(0, np.pi / 2, 2100)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = fit_classes(vectors, k=2050, clusterer=Nearest(), seed=0)
    assert 0 < len(found) <= 2000


def test_fit_classes__largest_first() -> None:
    vectors = np.array([[1], [2], [2], [3], [3], [3]], dtype=np.float32)
    assert fit_classes(vectors, k=3, clusterer=Nearest(), seed=0).tolist() == [[3], [2], [1]]
    assert fit_classes(vectors[:0], k=0, clusterer=Nearest(), seed=0).shape == (0, 1)


def test_regions__small_holes_are_filled_and_crumbs_left_out() -> None:
    mask = np.zeros((40, 40), dtype=np.bool_)
    mask[4:38, 4:38] = True
    mask[2:4, 2:4] = True  # touches at a corner only
    mask[10, 10] = False  # a hole of one pixel
    mask[20:30, 20:30] = False  # a hole with another region in it
    mask[24:26, 24:26] = True
    for full in (40, 100):
        size = {"full_width": full, "full_height": full}
        exact, *_ = find(mask, **size).regions
        tidy, other = find(mask, **size, min_hole=0.5, min_part=0.01).regions
        small, large = int(10.5 * full / 40), int(22 * full / 40)
        assert [r.mask[small, small] for r in (exact, tidy)] == [False, True]
        assert [r.mask[large, large] for r in (exact, tidy)] == [False, False]
        assert not tidy.mask[full // 13, full // 13]
        assert exact.mask[full // 13, full // 13]
        assert tidy.score == exact.score
        assert other.mask[full * 25 // 40, full * 25 // 40]
