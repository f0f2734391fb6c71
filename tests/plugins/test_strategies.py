"""The built-in strategies against values worked by hand or from other implementations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.color import rgb2lab
from sklearn.cluster import KMeans

from prelabel.data.images import resize
from prelabel.data.records import LevelResult, PatchFeatures
from prelabel.errors import UserError
from prelabel.strategies.registry import make

Float = NDArray[np.float32]


# Clusterers


def _mixture(n: int, *, seed: int, dim: int = 16, groups: int = 8, spread: float = 0.4) -> Float:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, dim))
    points = centres[rng.integers(0, groups, n)] + spread * rng.normal(size=(n, dim))
    return points.astype(np.float32)


def _cosine_objective(points: Float, labels: NDArray[Any]) -> float:
    """Mean cosine distance to the own cluster's mean direction: what spherical k-means lowers."""
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    sums = [unit[labels == label].sum(axis=0) for label in np.unique(labels)]
    return float(1 - sum(np.linalg.norm(s) for s in sums) / len(points))


def _squared_objective(points: Float, labels: NDArray[Any]) -> float:
    parts = [points[labels == label] for label in np.unique(labels)]
    return float(sum(((p - p.mean(axis=0)) ** 2).sum() for p in parts) / len(points))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [300, 5000])  # above 4096 the seedings see a sample
def test_spherical_kmeans__as_good_as_scikit_learn(n: int, seed: int) -> None:
    points = _mixture(n, seed=seed)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    reference = KMeans(8, n_init=10, random_state=seed).fit(unit).labels_
    clusterer = make("clusterer", "spherical-kmeans", {"restarts": 10, "iterations": 50})
    labels = clusterer.assign(points, clusterer.fit(points, k=8, seed=seed))
    assert _cosine_objective(points, labels) <= 1.01 * _cosine_objective(points, reference)


@pytest.mark.parametrize("seed", range(3))
def test_minibatch_kmeans__nearly_as_good_as_scikit_learns_full_one(seed: int) -> None:
    points = _mixture(2000, seed=seed)
    reference = KMeans(8, n_init=10, random_state=seed).fit(points).labels_
    clusterer = make("clusterer", "minibatch-kmeans", {"batch_size": 512, "restarts": 10})
    labels = clusterer.assign(points, clusterer.fit(points, k=8, seed=seed))
    assert _squared_objective(points, labels) <= 1.05 * _squared_objective(points, reference)


def test_spherical_kmeans__directions_by_hand() -> None:
    points = np.array([[1, 0], [2, 0], [0, 3], [0, 0.1]], dtype=np.float32)
    clusterer = make("clusterer", "spherical-kmeans", {"restarts": 3})
    centroids = clusterer.fit(points, k=2, seed=0)
    assert sorted(centroids.tolist()) == [[0, 1], [1, 0]]
    other = np.array([[5, 4], [1, 100], [-1, 0.1]], dtype=np.float32)
    nearest = centroids[clusterer.assign(other, centroids)]
    assert nearest.tolist() == [[1, 0], [0, 1], [0, 1]]


def test_minibatch_kmeans__means_by_hand() -> None:
    points = np.array([[0, 0], [2, 0], [10, 10], [10, 12]], dtype=np.float32)
    clusterer = make("clusterer", "minibatch-kmeans", {"batch_size": 64})
    centroids = clusterer.fit(points, k=2, seed=0)
    assert np.allclose(centroids, [[1, 0], [10, 11]], atol=0.5)
    assert clusterer.assign(points, centroids).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_minibatch_kmeans__nearest_centroid_however_far_out(offset: float) -> None:
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(200, 6)) + offset).astype(np.float32)
    centroids = (rng.normal(size=(5, 6)) + offset).astype(np.float32)
    gaps = points[:, None].astype(np.float64) - centroids[None].astype(np.float64)
    wanted = (gaps**2).sum(axis=-1).argmin(axis=1)
    labels = make("clusterer", "minibatch-kmeans", {}).assign(points, centroids)
    assert labels.tolist() == wanted.tolist()


@pytest.mark.parametrize("name", ["spherical-kmeans", "minibatch-kmeans"])
@given(
    n=st.integers(1, 12),
    distinct=st.integers(1, 6),
    k=st.integers(1, 15),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=25, deadline=None)
def test_clusterers__never_more_centroids_than_distinct_points(
    name: str, n: int, distinct: int, k: int, seed: int
) -> None:
    # Points on a circle: distinct ones have distinct directions too.
    angles = (np.arange(n) % distinct) * (2 * np.pi / distinct)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    clusterer = make("clusterer", name, {})
    centroids = clusterer.fit(points, k=k, seed=seed)
    assert centroids.dtype == np.float32
    assert 1 <= len(centroids) <= min(k, n, distinct)
    if name == "spherical-kmeans" and k >= distinct:  # each distinct point is its own cluster
        labels = clusterer.assign(points, centroids)
        assert np.allclose(centroids[labels], points, atol=1e-5)


# Foreground rules


def _score(name: str, clusters: list[int], *, k: int, **given: Any) -> Float:
    n = len(clusters)
    rule = make("foreground", name, given.pop("settings", {}))
    answer: Float = rule.score(
        np.array(clusters, dtype=np.int64),
        k=k,
        attention=np.array(given.get("attention", np.ones(n)), dtype=np.float32),
        border=np.array(given.get("border", np.zeros(n)), dtype=np.bool_),
    )
    return answer


def test_attention__by_hand() -> None:
    # Means of the clusters are 2 and 0 where the mean of all is 1; cluster 2 is empty.
    for sharpness, expected in [(1, 2 / 3), (4, 16 / 17)]:
        settings = {"clip": 1.0, "sharpness": sharpness}
        scores = _score("attention", [0, 0, 1, 1], k=3, attention=[3, 1, 0, 0], settings=settings)
        assert np.allclose(scores, [expected, 0, 0])


def test_attention__outliers_are_clipped() -> None:
    # The 0.9 quantile of nine 1s and an 11 lies a tenth of the way from 1 to 11: at 2.
    settings = {"clip": 0.9, "sharpness": 1}
    scores = _score("attention", [0] * 9 + [1], k=2, attention=[1] * 9 + [11], settings=settings)
    assert np.allclose(scores, [(1 / 1.1) / (1 / 1.1 + 1), (2 / 1.1) / (2 / 1.1 + 1)])


def test_attention__says_half_where_the_network_says_nothing() -> None:
    assert np.allclose(_score("attention", [0, 1, 1], k=2, settings={"clip": 1.0}), [0.5, 0.5])


def test_border__by_hand() -> None:
    # Inside: three of four in cluster 0. On the frame: two of eight. 0.75 / (0.75 + 0.25).
    clusters = [0, 0, 0, 1] + [0, 0] + [1] * 6
    scores = _score("border", clusters, k=3, border=[0] * 4 + [1] * 8)
    assert np.allclose(scores, [0.75, 0.25, 0])


def test_border__one_sided() -> None:
    assert _score("border", [0, 1], k=2, border=[0, 1]).tolist() == [1, 0]
    assert _score("border", [0, 0], k=1, border=[1, 1]).tolist() == [0]


# Consistency


def _level(clusters: Any, *scores: Sequence[float]) -> LevelResult:
    """A level from its clusterings (n_runs, h, w) and a score for each cluster of each."""
    runs = np.array(clusters, dtype=np.int16)
    tables = tuple(np.array(table, dtype=np.float32) for table in scores)
    said = [table[run] for table, run in zip(tables, runs, strict=True)]
    return LevelResult("level", runs, tables, np.mean(said, axis=0, dtype=np.float32))


def test_level__is_the_mean_of_its_runs() -> None:
    level = _level([[[0, 1], [1, 1]], [[0, 0], [0, 1]]], [0.0, 1.0], [0.5, 1.0])
    assert level.foreground.tolist() == [[0.25, 0.75], [0.75, 1.0]]


COARSE = _level([[[0, 0], [1, 1]]], [0.9, 0.1])
MIDDLE = _level([[[0, 1], [0, 1]]], [0.6, 0.3])
FINE = _level([[[0, 1], [2, 3]]], [0.0, 0.9, 0.6, 0.0])


def test_mean__by_hand() -> None:
    combined = make("consistency", "mean", {}).combine([COARSE, MIDDLE, FINE])
    assert np.allclose(combined, [[0.5, 0.7], [1.3 / 3, 0.4 / 3]])


def test_vote__by_hand() -> None:
    combined = make("consistency", "vote", {}).combine([COARSE, MIDDLE, FINE])
    assert np.allclose(combined, [[2 / 3, 2 / 3], [2 / 3, 0]])


def test_vote__an_even_split_is_a_half() -> None:
    combined = make("consistency", "vote", {}).combine([COARSE, MIDDLE])
    assert combined.tolist() == [[1, 0.5], [0.5, 0]]


def test_cascade__by_hand() -> None:
    # Of the finest cluster 0 (three patches) COARSE has two in the foreground, MIDDLE two: kept.
    # Its cluster 1 (the last patch) is background in both.
    fine = _level([[[0, 0], [0, 1]]], [0.0, 1.0])
    cascade = make("consistency", "cascade", {})
    assert cascade.combine([COARSE, MIDDLE, fine]).tolist() == [[1, 1], [1, 0]]
    # One patch each: only the first is foreground in every coarser level.
    assert cascade.combine([COARSE, MIDDLE, FINE]).tolist() == [[1, 0], [0, 0]]


def test_cascade__half_is_not_most_and_runs_are_averaged() -> None:
    # First run: the top row is all foreground in COARSE, the bottom row is not.
    # Second run: one cluster of four patches, two of them in the foreground.
    fine = _level([[[0, 0], [1, 1]], [[0, 0], [0, 0]]], [0.5, 0.5], [0.5])
    combined = make("consistency", "cascade", {}).combine([COARSE, fine])
    assert combined.tolist() == [[0.5, 0.5], [0, 0]]


def test_cascade__one_level_is_its_own_answer() -> None:
    assert make("consistency", "cascade", {}).combine([COARSE]).tolist() == (
        COARSE.foreground.tolist()
    )


# Refiners


def _plain_guided_filter(p: Float, image: NDArray[np.uint8], radius: int, epsilon: float) -> Any:
    """He, Sun and Tang's equations 5 to 8, window by window, as ridge regressions."""
    side = 2 * radius + 1
    guide = np.pad(image / 255.0, ((radius,) * 2, (radius,) * 2, (0, 0)), mode="symmetric")
    target = np.pad(p.astype(np.float64), radius, mode="symmetric")
    height, width = p.shape
    model = np.zeros((height, width, 4))
    ridge = np.hstack([np.sqrt(epsilon * side * side) * np.eye(3), np.zeros((3, 1))])
    for y in range(height):
        for x in range(width):
            window = guide[y : y + side, x : x + side].reshape(-1, 3)
            rows = np.vstack([np.hstack([window, np.ones((side * side, 1))]), ridge])
            values = np.append(target[y : y + side, x : x + side].ravel(), np.zeros(3))
            model[y, x] = np.linalg.lstsq(rows, values, rcond=None)[0]
    padded = np.pad(model, ((radius,) * 2, (radius,) * 2, (0, 0)), "symmetric")
    result = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            mean = padded[y : y + side, x : x + side].reshape(-1, 4).mean(axis=0)
            result[y, x] = mean[:3] @ (image[y, x] / 255.0) + mean[3]
    return np.clip(result, 0, 1)


def test_guided_filter__one_round_is_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prelabel_plugins.refiners.guided_filter._REDUCTION", 1)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (10, 16, 3), dtype=np.uint8)
    said = rng.random((10, 16)).astype(np.float32)
    refiner = make("refiner", "guided-filter", {"radius": 0.125, "epsilon": 0.01, "rounds": 1})
    wanted = _plain_guided_filter(said, image, radius=2, epsilon=0.01)
    assert np.allclose(refiner.refine(said, image), wanted, atol=1e-4)


def _step(height: int, width: int, at: int) -> NDArray[np.uint8]:
    image = np.full((height, width, 3), 30, dtype=np.uint8)
    image[:, at:] = (220, 180, 90)
    return image


@pytest.mark.parametrize("rounds", [1, 3])
def test_guided_filter__a_blurred_step_is_cut_at_the_photos_step(rounds: int) -> None:
    image = _step(64, 96, at=48)
    ramp = np.clip((np.arange(96) - 51.5) / 24 + 0.5, 0, 1).astype(np.float32)  # 4 pixels off
    said = np.tile(ramp, (64, 1))
    assert (said > 0.5).sum(axis=1).tolist() == [44] * 64
    options = {"radius": 0.1, "epsilon": 1e-4, "rounds": rounds, "sharpness": 20.0}
    refined = make("refiner", "guided-filter", options).refine(said, image)
    assert ((refined > 0.5) == (np.arange(96) >= 48)).all()
    assert (refined[:, 48] - refined[:, 47]).min() > 0.3


@given(value=st.sampled_from([0.0, 0.25, 0.5, 1.0]), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_guided_filter__constant_p_stays_constant(value: float, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    said = np.full((24, 40), value, dtype=np.float32)
    refiner = make("refiner", "guided-filter", {"radius": 0.1, "epsilon": 1e-3, "rounds": 1})
    assert np.allclose(refiner.refine(said, image), value, atol=2e-3)
    rounds = make(
        "refiner",
        "guided-filter",
        {"radius": 0.1, "epsilon": 1e-3, "rounds": 3, "sharpness": 20.0},
    )
    refined = rounds.refine(said, image)
    assert np.ptp(refined) < 5e-3
    assert np.sign(np.round(refined.mean() - 0.5, 3)) == np.sign(value - 0.5)


@pytest.mark.parametrize("name", ["guided-filter", "dense-crf", "none"])
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 300),
    seed=st.integers(0, 99),
    tall=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_refiners__any_shape(name: str, height: int, width: int, seed: int, tall: bool) -> None:
    if name == "dense-crf":
        pytest.importorskip("pydensecrf", reason="pydensecrf is not installed (no compiler)")
    shape = (width, height) if tall else (height, width)
    rng = np.random.default_rng(seed)
    said = rng.random(shape).astype(np.float32)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    refined = make("refiner", name, {}).refine(said, image)
    assert refined.shape == shape
    assert refined.dtype == np.float32
    assert np.isfinite(refined).all()
    assert refined.min() >= 0
    assert refined.max() <= 1


def test_none__hands_on_a_copy() -> None:
    said = np.array([[0.1, 0.9]], dtype=np.float32)
    refined = make("refiner", "none", {}).refine(said, np.zeros((1, 2, 3), dtype=np.uint8))
    assert refined.tolist() == said.tolist()
    assert not np.shares_memory(refined, said)


def _disc(side: int, radius: float) -> NDArray[np.bool_]:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.asarray(np.hypot(y, x) < radius)


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("name", ["dense-crf", "guided-filter"])
def test_refiners__better_than_what_the_patches_said(name: str) -> None:
    if name == "dense-crf":
        pytest.importorskip("pydensecrf", reason="pydensecrf is not installed (no compiler)")
    truth = _disc(96, 30)
    image = np.where(truth[..., None], (200, 60, 40), (40, 90, 160)).astype(np.uint8)
    image.flags.writeable = False  # Pillow's arrays are
    patches = truth.reshape(6, 16, 6, 16).mean(axis=(1, 3)).astype(np.float32)
    said = np.kron(patches * 0.8 + 0.1, np.ones((16, 16), dtype=np.float32))
    options = {"radius": 0.15, "epsilon": 1e-4, "rounds": 3} if name == "guided-filter" else {}
    refined = make("refiner", name, options).refine(said, image)
    before, after = _iou(said > 0.5, truth), _iou(refined > 0.5, truth)
    assert before < 0.9
    assert after > 0.98


# Embedders


def _features(patches: Any) -> PatchFeatures:
    grid = np.array(patches, dtype=np.float16)
    return PatchFeatures(grid, grid.mean(axis=(0, 1)), np.ones(grid.shape[:2], np.float16))


def test_region_pool__by_hand() -> None:
    features = _features([[[3, 0], [0, 8]], [[100, 100], [-100, 7]]])
    mask = np.zeros((1, 4, 4), dtype=np.bool_)
    mask[0, :2, :3] = True  # all of the first patch and half of the second: (3, 0) + (0, 8) / 2
    vectors = make("embedder", "region-pool", {}).embed(
        np.zeros((4, 4, 3), np.uint8), mask, features=features, backbone=None
    )
    assert np.allclose(vectors, [[0.6, 0.8]])


@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_region_pool__a_whole_photos_region_is_the_mean_and_no_region_is_lost(
    height: int, width: int, rows: int, columns: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    features = _features(rng.random((rows, columns, 5)) + 0.1)
    masks = np.zeros((2, height, width), dtype=np.bool_)
    masks[0] = True
    masks[1, rng.integers(height), rng.integers(width)] = True
    vectors = make("embedder", "region-pool", {}).embed(
        np.zeros((height, width, 3), np.uint8), masks, features=features, backbone=None
    )
    mean = features.patches.astype(np.float64).mean(axis=(0, 1))
    assert np.allclose(vectors[0], mean / np.linalg.norm(mean), atol=1e-3)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@dataclass(frozen=True)
class _Recorder:
    """A backbone that keeps what it is given; its CLS token is (1, mean of the photo / 255)."""

    batch: int = 3
    patch: int = 4
    dim: int = 1
    seen: list[NDArray[np.uint8]] = field(default_factory=list)

    def resolve(self) -> _Recorder:
        return self

    def identity(self) -> Mapping[str, Any]:
        return {}

    def extract(self, images: NDArray[np.uint8]) -> list[PatchFeatures]:
        self.seen.append(images.copy())
        one = np.ones((1, 1, 1), np.float16)
        return [
            PatchFeatures(one, np.array([1, image.mean() / 255], np.float16), one[0])
            for image in images
        ]


def test_region_cls__crops_with_margin_in_full_batches() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    masks = np.zeros((4, 40, 60), dtype=np.bool_)
    masks[0, 10:20, 30:50] = True  # 10 × 20: a square of 20 and two margins of 4
    masks[1, 0:10, 0:10] = True  # at the corner: moved into the photo
    masks[2, 39, 59] = True  # one pixel: no margin
    masks[3] = True  # the photo is too small for a square
    crops = [image[1:29, 26:54], image[:14, :14], image[39:, 59:], image]
    backbone = _Recorder()
    vectors = make("embedder", "region-cls", {"size": 30, "margin": 0.2}).embed(
        image, masks, features=_features([[[0]]]), backbone=backbone
    )
    assert [batch.shape for batch in backbone.seen] == [(3, 32, 32, 3)] * 2  # whole patches of 4
    seen = np.concatenate(backbone.seen)
    for got, crop, vector in zip(seen, crops, vectors, strict=False):
        assert (got == resize(crop, height=32, width=32)).all()
        token = np.array([1, np.float16(got.mean() / 255)])
        assert np.allclose(vector, token / np.linalg.norm(token), atol=1e-4)
    assert not seen[4:].any()  # the last batch is filled up with black


def test_region_cls__a_region_does_not_know_the_others() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    masks = np.zeros((5, 50, 70), dtype=np.bool_)
    for mask in masks:
        y, x = rng.integers(0, 40, 2)
        mask[y : y + 9, x : x + 17] = True
    backbone = make("backbone", "color-texture", {"patch": 8})
    embedder = make("embedder", "region-cls", {"size": 32})
    known = {"features": _features([[[0]]]), "backbone": backbone}
    together = embedder.embed(image, masks, **known)
    alone = [embedder.embed(image, masks[i : i + 1], **known)[0] for i in range(5)]
    assert (together == np.stack(alone)).all()


# The backbone without weights


def _extract(image: NDArray[np.uint8], patch: int) -> PatchFeatures:
    answer: PatchFeatures = make("backbone", "color-texture", {"patch": patch}).extract(
        image[None]
    )[0]
    return answer


def test_color_texture__plain_red() -> None:
    answer = _extract(np.full((8, 12, 3), (255, 0, 0), dtype=np.uint8), 4)
    red = [0.5324, 0.8009, 0.6720]  # CIE Lab of sRGB red under D65, over 100
    assert answer.patches.shape == (2, 3, 17)
    assert np.allclose(answer.patches[..., 0:3], red, atol=2e-3)  # mean
    assert np.allclose(answer.patches[..., 3:6], 0, atol=2e-3)  # spread
    assert np.allclose(answer.patches[..., 6:9], red, atol=2e-3)  # around
    assert not answer.patches[..., 9:].any()  # no gradient
    assert (answer.attention == 1).all()  # nothing stands out
    assert np.allclose(answer.cls, answer.patches[0, 0], atol=2e-3)


def test_color_texture__a_white_patch_amid_black_ones() -> None:
    image = np.zeros((12, 12, 3), dtype=np.uint8)
    image[4:8, 4:8] = 255
    answer = _extract(image, 4)
    # The frame is black; only the middle differs from it, and the mean of nine is 1.
    assert np.allclose(answer.attention, [[0, 0, 0], [0, 9, 0], [0, 0, 0]], atol=0.01)
    assert np.allclose(answer.patches[1, 1, 6], 1 / 9, atol=1e-3)  # around it: one of nine is white


def test_color_texture__spread_and_orientation() -> None:
    image = np.zeros((8, 16, 3), dtype=np.uint8)
    image[:, 4:8] = 255  # left patch: an upright edge in its middle
    image[4:, 8:] = 255  # right patch: a level edge in its middle
    left, right = _extract(image, 8).patches[0].astype(np.float32)
    assert np.allclose([left[0], left[3]], 0.5, atol=1e-3)  # half white: mean and spread of L
    assert np.allclose([right[0], right[3]], 0.5, atol=1e-3)
    assert left[9:].argmax() == 0  # the gradient points along x
    assert right[9:].argmax() == 4  # and along y: 90 of 180 degrees


@given(rows=st.integers(1, 4), columns=st.integers(1, 4), patch=st.integers(2, 9))
@settings(max_examples=20, deadline=None)
def test_color_texture__mean_colour_is_scikit_images(rows: int, columns: int, patch: int) -> None:
    rng = np.random.default_rng(rows * 100 + columns * 10 + patch)
    image = rng.integers(0, 256, (rows * patch, columns * patch, 3), dtype=np.uint8)
    lab = rgb2lab(image).reshape(rows, patch, columns, patch, 3) / 100
    answer = _extract(image, patch)
    assert np.allclose(answer.patches[..., :3], lab.mean(axis=(1, 3)), atol=4e-3)
    assert np.allclose(answer.patches[..., 3:6], lab.std(axis=(1, 3)), atol=4e-3)
    assert answer.attention.min() >= 0
    assert abs(float(answer.attention.mean(dtype=np.float64)) - 1) < 2e-3


# Settings by name


def test_make__settings_are_converted_and_checked() -> None:
    assert make("clusterer", "spherical-kmeans", {"restarts": "7"}).restarts == 7
    with pytest.raises(UserError, match="'restart'; did you mean 'restarts'"):
        make("clusterer", "spherical-kmeans", {"restart": 7})
    with pytest.raises(UserError, match=r"clusterer\.restarts = 'many'"):
        make("clusterer", "spherical-kmeans", {"restarts": "many"})
    with pytest.raises(UserError, match="'sperical-kmeans'; did you mean 'spherical-kmeans'"):
        make("clusterer", "sperical-kmeans", {})
