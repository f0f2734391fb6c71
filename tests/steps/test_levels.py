"""The three clusterings and the grouping of photos, on values worked by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from prelabel.config import Levels as Settings
from prelabel.data.records import LevelResult, PatchFeatures
from prelabel.errors import ContractError
from prelabel.steps import groups, levels
from prelabel.steps.groups import group_photos
from prelabel.steps.levels import Clusters, Levels, Patches
from prelabel.steps.patch_clusters import fit_category, fit_dataset
from prelabel.strategies.protocols import Clusterer
from prelabel.strategies.registry import make
from support.messages import assert_says

Float = NDArray[np.float32]
SPHERICAL: Clusterer = make("clusterer", "spherical-kmeans", {"restarts": 5})
ATTENTION = make("foreground", "attention", {"clip": 1.0, "sharpness": 1})

Vectors = Sequence[Sequence[float]]

X, Y = [1.0, 0.0], [0.0, 1.0]


def _array(values: ArrayLike) -> Float:
    return np.array(values, dtype=np.float32)


def _patches(vectors: Vectors, attention: ArrayLike) -> Patches:
    n = len(vectors)
    nothing = np.zeros(n, dtype=np.int64)
    return Patches(_array(vectors), _array(attention), np.zeros(n, dtype=np.bool_), nothing)


def _by_direction(clusters: Clusters, run: int = 0) -> tuple[float, float]:
    """Scores of the cluster along x and of the one along y, in whichever order they came."""
    labels = SPHERICAL.assign(_array([X, Y]), clusters.centroids[run])
    along_x, along_y = clusters.scores[run][labels]
    return float(along_x), float(along_y)


def test_border_patches__the_frame() -> None:
    assert levels.border_patches(3, 4).astype(int).tolist() == [
        [1, 1, 1, 1],
        [1, 0, 0, 1],
        [1, 1, 1, 1],
    ]
    assert levels.border_patches(1, 1).all()


def test_unit__zero_stays_zero() -> None:
    assert levels.unit(_array([[3, 4], [0, 0]])).tolist() == [
        [np.float32(0.6), np.float32(0.8)],
        [0, 0],
    ]


def test_fit_dataset__scores_each_k() -> None:
    patches = _patches([X, X, Y, Y], [3, 3, 1, 1])  # relative to their mean, 2: 1.5 and 0.5
    fitted = fit_dataset(patches, ks=(2, 3), clusterer=SPHERICAL, foreground=ATTENTION, seed=0)
    assert [c.shape for c in fitted.centroids] == [(2, 2), (2, 2)]  # only two directions are there
    for run in range(2):
        assert _by_direction(fitted, run) == pytest.approx((1.5 / 2.5, 0.5 / 1.5))


def test_refit__a_clusters_score_is_the_mean_of_what_is_above() -> None:
    fitted = levels.refit(
        _array([X, X, Y, Y, Y]),
        _array([0.2, 0.4, 0.9, 0.6, 0.9]),
        ks=(2,),
        clusterer=SPHERICAL,
        seed=0,
    )
    assert _by_direction(fitted) == pytest.approx((0.3, 0.8))
    assert fitted.scores[0].dtype == np.float32


def test_fit_category__half_from_above_and_half_its_own() -> None:
    fitted = fit_category(
        _patches([X, X, Y, Y], [3, 3, 1, 1]),
        lambda _: _array([0.2, 0.4, 0.9, 0.7]),
        ks=(2,),
        clusterer=SPHERICAL,
        foreground=ATTENTION,
        seed=0,
    )
    assert _by_direction(fitted) == pytest.approx(((0.3 + 0.6) / 2, (0.8 + 1 / 3) / 2))


def test_score_patches__the_mean_over_the_clusterings() -> None:
    clusters = Clusters(
        (_array([X, Y]), _array([[-1.0, 0.0], Y])), (_array([0.8, 0.2]), _array([0.5, 0.4]))
    )
    # x: 0.8 and, nearest by cosine to Y (0) rather than to -x, 0.4. y: 0.2 and 0.4.
    assert np.allclose(levels.score_patches(_array([X, Y]), clusters, SPHERICAL), [0.6, 0.3])


def _fitted(*, groups: Vectors, reach: ArrayLike, center: ArrayLike = (0.0, 0.0)) -> Levels:
    dataset = Clusters((_array([X, Y]),), (_array([0.9, 0.1]),))
    category = Clusters((_array([X, Y]),), (_array([0.5, 0.3]),))
    return Levels(
        center=_array(center),
        dataset=dataset,
        groups=_array(groups).reshape(-1, 2),
        reach=_array(reach),
        categories=(category,) * len(groups),
    )


def _features(cls: ArrayLike = X, *, shift: ArrayLike = (0.0, 0.0)) -> PatchFeatures:
    grid = np.array([[X, X, Y], [Y, X, Y]]) + np.array(shift)
    return PatchFeatures(
        grid.astype(np.float16), np.array(cls, np.float16), np.ones((2, 3), np.float16)
    )


def _apply_levels(features: PatchFeatures, fitted: Levels) -> list[LevelResult]:
    return list(levels.apply_levels(features, fitted, image_ks=(2,), clusterer=SPHERICAL, seed=0))


def test_apply_levels__three_levels_by_hand() -> None:
    results = _apply_levels(_features(), _fitted(groups=[X, Y], reach=[0.9, 0.9]))
    assert [r.name for r in results] == ["dataset", "category", "image"]
    on_x = np.array([[1, 1, 0], [0, 1, 0]], dtype=bool)
    assert np.allclose(results[0].foreground, np.where(on_x, 0.9, 0.1))
    assert np.allclose(results[1].foreground, np.where(on_x, 0.5, 0.3))
    # The photo's own two clusters have the mean of the levels above.
    assert np.allclose(results[2].foreground, np.where(on_x, 0.7, 0.2))
    assert results[0].clusters.tolist() == [[[0, 0, 1], [1, 0, 1]]]
    for result in results:
        assert result.clusters.dtype == np.int16
        assert result.clusters.shape == (1, 2, 3)
        assert result.foreground.dtype == np.float32


def test_apply_levels__a_photo_unlike_all_groups_has_no_category() -> None:
    fitted = _fitted(groups=[X, Y], reach=[0.9, 0.9])
    between = _features(cls=[1, 1])  # cosine 0.71 with both
    results = _apply_levels(between, fitted)
    assert [r.name for r in results] == ["dataset", "image"]
    assert np.allclose(results[1].foreground, results[0].foreground)
    assert [r.name for r in _apply_levels(between, _fitted(groups=[X, Y], reach=[0.7, 0.7]))] == [
        "dataset",
        "category",
        "image",
    ]


@pytest.mark.parametrize(
    ("cls", "group"),
    [([7, 0], 0), ([1, 2], 1), ([0, -1], None), ([0, 0], None), ([2, 1.9], None), ([3, 1], 0)],
)
def test_find_group__the_nearest_one_within_its_reach(cls: ArrayLike, group: int | None) -> None:
    # (2, 1.9) is nearest to x, at 0.72, out of its reach, although it is within that of y.
    fitted = _fitted(groups=[X, Y], reach=[0.9, 0.5])
    assert levels.find_group(np.array(cls, np.float16), fitted, SPHERICAL) == group


def test_apply_levels__without_groups() -> None:
    results = _apply_levels(_features(), _fitted(groups=[], reach=[]))
    assert [r.name for r in results] == ["dataset", "image"]


def test_apply_levels__relative_to_the_centre() -> None:
    fitted = _fitted(groups=[], reach=[], center=[8.0, -4.0])
    moved = _apply_levels(_features(shift=[8.0, -4.0]), fitted)
    plain = _apply_levels(_features(), _fitted(groups=[], reach=[]))
    for one, other in zip(moved, plain, strict=True):
        assert np.allclose(one.foreground, other.foreground)


def test_apply_levels__relative_to_what_the_place_adds() -> None:
    fitted = _fitted(groups=[], reach=[])
    place = _array([[[3, 0], [-1, 1], [0, 5]], [[2, 2], [0, 1], [-1, 0]]])
    placed = dataclasses.replace(fitted, positions=place)
    moved = _apply_levels(_features(shift=place), placed)
    for one, other in zip(moved, _apply_levels(_features(), fitted), strict=True):
        assert np.allclose(one.foreground, other.foreground)


def test_levels__those_of_an_older_prelabel_have_no_places() -> None:
    fitted = _fitted(groups=[], reach=[], center=[8.0, -4.0])
    assert "positions" not in fitted.to_arrays()
    again = Levels.from_arrays(fitted.to_arrays())
    assert again.relative(_features(shift=[8.0, -4.0])).tolist() == [[X, X, Y], [Y, X, Y]]


def test_apply_levels__a_photo_of_one_patch() -> None:
    one = PatchFeatures(
        np.array([[X]], np.float16), np.array(X, np.float16), np.ones((1, 1), np.float16)
    )
    results = levels.apply_levels(
        one, _fitted(groups=[], reach=[]), image_ks=(3, 4), clusterer=SPHERICAL, seed=0
    )
    assert [r.clusters.shape for r in results] == [(1, 1, 1), (2, 1, 1)]
    assert np.allclose([r.foreground.item() for r in results], 0.9)


# Groups of photos


def _cls(*directions: tuple[float, int]) -> Float:
    """CLS tokens: for each (angle in degrees, n) so many tokens around it, within a degree."""
    angles = np.concatenate([np.linspace(a - 1, a + 1, n) for a, n in directions])
    turned = np.radians(angles)
    lengths = 1 + np.arange(len(turned)) % 3  # only directions count
    return _array(np.stack([np.cos(turned), np.sin(turned)], axis=1) * lengths[:, None])


def _group(cls: Float, **options: int) -> tuple[Float, Float, NDArray[np.int64]]:
    settings = Settings.model_validate(options)
    return group_photos(cls, settings=settings, clusterer=SPHERICAL, seed=0)


def test_group_photos__two_kinds_of_photos() -> None:
    centroids, reach, groups = _group(_cls((0, 20), (90, 20)), photos_per_group=20, min_group=10)
    assert centroids.shape == (2, 2)
    assert len(set(groups[:20])) == len(set(groups[20:])) == 1
    assert groups[0] != groups[20]
    assert np.allclose(centroids[groups[0]], X, atol=1e-3)
    assert np.allclose(centroids[groups[20]], Y, atol=1e-3)
    # The farthest photo lies one degree off: half as far again still belongs.
    assert np.allclose(reach, 1 - 1.5 * (1 - np.cos(np.radians(1))), atol=1e-5)


def test_group_photos__its_own_photos_are_within_reach() -> None:
    cls = _cls((0, 20), (90, 20))
    centroids, reach, groups = _group(cls, photos_per_group=20, min_group=10)
    fitted = Levels(np.zeros(2, np.float32), Clusters((), ()), centroids, reach, ())
    found = [levels.find_group(token.astype(np.float16), fitted, SPHERICAL) for token in cls]
    assert found == groups.tolist()
    assert levels.find_group(np.array([1, 1], np.float16), fitted, SPHERICAL) is None


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (_cls((0, 20)), {"photos_per_group": 20}),  # too few photos for two groups
        (_cls((0, 20), (90, 20)), {"photos_per_group": 20, "max_groups": 1}),
        (_cls((0, 1)), {}),
    ],
)
def test_group_photos__one_group_is_left_out(cls: Float, options: dict[str, int]) -> None:
    centroids, reach, groups = _group(cls, **options)
    assert centroids.shape == (0, 2)
    assert reach.shape == (0,)
    assert groups.tolist() == [-1] * len(cls)


def test_group_photos__small_groups_join_their_nearest() -> None:
    # Three groups are tried; the four photos at 100 degrees go to those at 90.
    cls = _cls((0, 28), (90, 28), (100, 4))
    centroids, _, groups = _group(cls, photos_per_group=20, min_group=10)
    assert len(centroids) == 2
    assert np.bincount(groups).tolist() in ([28, 32], [32, 28])
    assert len(set(groups[28:])) == 1


def test_group_photos__of_many_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    cls = _cls((0, 200), (90, 200))
    settings = Settings(photos_per_group=200, min_group=10)
    whole = group_photos(cls, settings=settings, clusterer=SPHERICAL, seed=0)
    monkeypatch.setattr(groups, "_BLOCK", 64)
    for every in (False, True):
        found = group_photos(cls, settings=settings, clusterer=SPHERICAL, seed=0, every=every)
        order = [0, 1] if found[2][0] == whole[2][0] else [1, 0]
        assert np.allclose(found[0][order], whole[0], atol=1e-5 if every else 1e-2)
        assert np.allclose(found[1][order], whole[1], atol=1e-5 if every else 1e-2)
        assert (np.array(order)[found[2]] == whole[2]).all()


def test_group_photos__left_out_when_merging_leaves_one() -> None:
    centroids, _, groups = _group(_cls((0, 36), (90, 4)), photos_per_group=20, min_group=10)
    assert len(centroids) == 0
    assert set(groups.tolist()) == {-1}


@dataclass(frozen=True)
class Manhattan:
    """Compares by the sum of absolute differences."""

    def fit(self, points: Float, *, k: int, seed: int) -> Float:
        return points[:k]

    def assign(self, points: Float, centroids: Float) -> NDArray[np.int64]:
        return np.asarray(np.abs(points[:, None] - centroids).sum(axis=2).argmin(axis=1))

    def similarity(self, points: Float, point: Float) -> Float:
        return np.asarray(-np.abs(points - point).sum(axis=1))


def test_find_group__by_the_clusterers_own_measure() -> None:
    # From 20° to -10° and 48°: cosines 0.87 and 0.88, sums of differences 0.56 and 0.67.
    fitted = _fitted(groups=[[0.9848, -0.1736], [0.6691, 0.7431]], reach=[-9, -9])
    token = np.array([0.9397, 0.342], dtype=np.float16)
    assert levels.find_group(token, fitted, SPHERICAL) == 1
    assert levels.find_group(token, fitted, Manhattan()) == 0


# Strategies that break their promise


@dataclass(frozen=True)
class Flat:
    """A clusterer whose centroids have one dimension too few."""

    def fit(self, points: Float, *, k: int, seed: int) -> Float:
        return _array(points[0])

    def assign(self, points: Float, centroids: Float) -> NDArray[np.int64]:
        return np.zeros(len(points), dtype=np.int64)

    def similarity(self, points: Float, point: Float) -> Float:
        return np.zeros(len(points), dtype=np.float32)


@dataclass(frozen=True)
class TooMany(Flat):
    def fit(self, points: Float, *, k: int, seed: int) -> Float:
        return np.zeros((k + 1, points.shape[1]), dtype=np.float32)


@dataclass(frozen=True)
class OutOfRange(Flat):
    def fit(self, points: Float, *, k: int, seed: int) -> Float:
        return points[:1]

    def assign(self, points: Float, centroids: Float) -> NDArray[np.int64]:
        return np.full(len(points), len(centroids))


@dataclass(frozen=True)
class Columns(OutOfRange):
    def assign(self, points: Float, centroids: Float) -> NDArray[np.int64]:
        return np.zeros((len(points), 1), dtype=np.int64)


@dataclass(frozen=True)
class Halves(OutOfRange):
    def assign(self, points: Float, centroids: Float) -> NDArray[np.float64]:  # type: ignore[override]
        return np.zeros(len(points))


@pytest.mark.parametrize(
    ("clusterer", "parts"),
    [
        (Flat(), ("clusterer Flat", "shape (2,)", "('any', 2)")),
        (TooMany(), ("clusterer TooMany", "shape (3, 2)", "(1 to 2, 2)")),
        (OutOfRange(), ("clusterer OutOfRange", "from 1 to 1", "0 to 0")),
        (Columns(), ("clusterer Columns", "shape (4, 1)", "(4,)")),
        (Halves(), ("clusterer Halves", "float64", "int64")),
    ],
)
def test_fit_dataset__a_clusterer_that_breaks_its_promise(
    clusterer: Clusterer, parts: tuple[str, ...]
) -> None:
    with pytest.raises(ContractError) as raised:
        fit_dataset(
            _patches([X, X, Y, Y], [1, 1, 1, 1]),
            ks=(2,),
            clusterer=clusterer,
            foreground=ATTENTION,
            seed=0,
        )
    assert_says(raised.value, *parts)


@dataclass(frozen=True)
class Answers:
    """A foreground rule that returns a given answer."""

    answer: Any

    def score(self, clusters: Any, *, k: int, attention: Any, border: Any, photos: Any) -> Any:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        (_array([1, 1, 1]), ("shape (3,)", "(2,)")),
        (_array([0, 2]), ("from 0 to 2", "0 to 1")),
        (_array([0, np.nan]), ("not finite",)),
        ([0.5, 0.5], ("list", "array")),
        (np.array([0, 1]), ("int64", "float32")),
    ],
)
def test_fit_dataset__a_rule_that_breaks_its_promise(answer: Any, parts: tuple[str, ...]) -> None:
    with pytest.raises(ContractError) as raised:
        fit_dataset(
            _patches([X, X, Y, Y], [1, 1, 1, 1]),
            ks=(2,),
            clusterer=SPHERICAL,
            foreground=Answers(answer),
            seed=0,
        )
    assert_says(raised.value, "foreground Answers", *parts)
