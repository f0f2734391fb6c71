"""The three clusterings of patches: whole dataset, category, single image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import LevelResult, PatchFeatures
from prelabel.steps.positions import resample
from prelabel.storage.threads import cores, prefetch_map
from prelabel.strategies import registry
from prelabel.strategies.checks import assign, check_array, fit_centroids, similarity
from prelabel.strategies.protocols import Clusterer, Foreground

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Clusters:
    """Clusterings of one set of patches, one for each k.

    ``centroids``: float32 (k, dim) each. ``scores``: float32 (k,) each, P(foreground).
    """

    centroids: tuple[Float, ...]
    scores: tuple[Float, ...]


def _nowhere() -> Float:
    return np.zeros((0, 0, 0), dtype=np.float32)


@dataclass(frozen=True)
class Levels:
    """What the dataset and category levels learned.

    ``center``: float32 (dim,), the mean patch vector; patches are clustered relative to it, since
    what all patches share says nothing about their differences (cosines of raw keys are near 1).
    ``groups``: float32 (n_groups, dim) unit centroids of CLS tokens; none if there is one group.
    ``reach``: float32 (n_groups,), the lowest similarity, by the clusterer's own measure, at which a
    photo still belongs to its group.
    ``categories``: one Clusters per group.
    ``positions``: float32 (rows, columns, dim), what a patch's place adds to ``center``; (0, 0, 0) if
    nothing, as in models that an older prelabel wrote.
    """

    center: Float
    dataset: Clusters
    groups: Float
    reach: Float
    categories: tuple[Clusters, ...]
    positions: Float = field(default_factory=_nowhere)

    def to_arrays(self) -> dict[str, Float]:
        """Arrays by name, which ``from_arrays`` reads back."""
        found = {"center": self.center, "groups": self.groups, "reach": self.reach}
        if self.positions.size:
            found["positions"] = self.positions
        named = {"dataset": self.dataset}
        named |= {f"category.{i}": category for i, category in enumerate(self.categories)}
        for name, clusters in named.items():
            for run, (centroids, scores) in enumerate(_pairs(clusters)):
                found[f"{name}.{run}.centroids"] = centroids
                found[f"{name}.{run}.scores"] = scores
        return {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in found.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Float]) -> Levels:
        """The levels of ``to_arrays``. Raises KeyError."""

        def clusters(name: str) -> Clusters:
            runs = range(sum(k.startswith(f"{name}.") and k.endswith(".scores") for k in arrays))
            return Clusters(
                centroids=tuple(arrays[f"{name}.{run}.centroids"] for run in runs),
                scores=tuple(arrays[f"{name}.{run}.scores"] for run in runs),
            )

        return cls(
            center=arrays["center"],
            dataset=clusters("dataset"),
            groups=arrays["groups"],
            reach=arrays["reach"],
            categories=tuple(clusters(f"category.{i}") for i in range(len(arrays["groups"]))),
            positions=arrays.get("positions", _nowhere()),
        )

    def relative(self, features: PatchFeatures) -> Float:
        """A photo's patches float32 (h, w, dim), relative to what is usual at their place."""
        return without_place(features, self.positions) - self.center


@dataclass(frozen=True)
class Patches:
    """Patches sampled from many photos: ``vectors`` float32 (n, dim), ``attention`` float32 (n,),
    ``border`` bool (n,)."""

    vectors: Float
    attention: Float
    border: NDArray[np.bool_]

    @classmethod
    def empty(cls, n: int, dim: int) -> Patches:
        """Room for n patches, to be filled."""
        return cls(
            np.empty((n, dim), np.float32), np.empty(n, np.float32), np.empty(n, dtype=np.bool_)
        )

    def first(self, n: int) -> Patches:
        """The first n, not copied."""
        return Patches(self.vectors[:n], self.attention[:n], self.border[:n])


def without_place(features: PatchFeatures, positions: Float) -> Float:
    """A photo's patches float32 (h, w, dim) without what their place adds, as in ``Levels``."""
    patches = features.patches.astype(np.float32)
    return patches - resample(positions, *patches.shape[:2]) if positions.size else patches


def border_patches(height: int, width: int) -> NDArray[np.bool_]:
    """bool (height, width): the patches on the photo's frame."""
    border = np.zeros((height, width), dtype=np.bool_)
    border[[0, -1]] = border[:, [0, -1]] = True
    return border


def unit(vectors: Float) -> Float:
    """Vectors scaled to length 1 along the last axis; zero stays zero."""
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def fit_dataset(
    patches: Patches, *, ks: Sequence[int], clusterer: Clusterer, foreground: Foreground, seed: int
) -> Clusters:
    """Cluster patches for every k and let the foreground rule score the clusters."""

    def clustering(k: int) -> tuple[Float, Float]:
        centres = fit_centroids(clusterer, patches.vectors, k=k, seed=seed)
        labels = assign(clusterer, patches.vectors, centres)
        return centres, _score(foreground, patches, labels, k=len(centres))

    found = [one for _, one in prefetch_map(clustering, ks, workers=cores())]
    return Clusters(tuple(own for own, _ in found), tuple(scores for _, scores in found))


def refit(
    vectors: Float, above: Float, *, ks: Sequence[int], clusterer: Clusterer, seed: int
) -> Clusters:
    """Cluster float32 (n, dim) for every k; a cluster's score is its mean of ``above`` (n,), the
    P(foreground) that the coarser levels gave its patches."""
    centroids, scores = [], []
    for k in ks:
        centres = fit_centroids(clusterer, vectors, k=k, seed=seed)
        labels = assign(clusterer, vectors, centres)
        counts = np.maximum(np.bincount(labels, minlength=len(centres)), 1)
        sums = np.bincount(labels, weights=above, minlength=len(centres))
        centroids.append(centres)
        scores.append((sums / counts).astype(np.float32))
    return Clusters(tuple(centroids), tuple(scores))


def fit_category(
    patches: Patches,
    above: Float,
    *,
    ks: Sequence[int],
    clusterer: Clusterer,
    foreground: Foreground,
    seed: int,
) -> Clusters:
    """Cluster a group's patches for every k. A cluster's score is the average of its patches' score
    at the level above and of the foreground rule's score within the group: with the first alone, the
    three levels would not be independent.
    """
    inherited = refit(patches.vectors, above, ks=ks, clusterer=clusterer, seed=seed)
    scores = []
    for centroids, from_above in _pairs(inherited):
        labels = assign(clusterer, patches.vectors, centroids)
        own = _score(foreground, patches, labels, k=len(centroids))
        scores.append(np.asarray((from_above + own) / 2, dtype=np.float32))
    return Clusters(inherited.centroids, tuple(scores))


def score_patches(vectors: Float, clusters: Clusters, clusterer: Clusterer) -> Float:
    """P(foreground) float32 (n,) of patches float32 (n, dim): the mean over the clusterings."""
    scores = [s[assign(clusterer, vectors, c)] for c, s in _pairs(clusters)]
    return np.asarray(np.mean(scores, axis=0), dtype=np.float32)


def apply_levels(
    features: PatchFeatures,
    levels: Levels,
    *,
    image_ks: Sequence[int],
    clusterer: Clusterer,
    seed: int,
) -> list[LevelResult]:
    """The result of each level for one photo, coarse to fine. Without groups, or for a photo that is
    unlike all of them, there is no category level."""
    height, width = features.attention.shape
    vectors = levels.relative(features).reshape(height * width, -1)

    def result(name: str, clusters: Clusters) -> LevelResult:
        labels = [assign(clusterer, vectors, c) for c in clusters.centroids]
        return LevelResult(
            name=name,
            clusters=np.stack(labels).astype(np.int16).reshape(-1, height, width),
            scores=clusters.scores,
            foreground=np.mean(
                [s[own] for s, own in zip(clusters.scores, labels, strict=True)],
                axis=0,
                dtype=np.float32,
            ).reshape(height, width),
        )

    results = [result("dataset", levels.dataset)]
    group = find_group(features.cls, levels, clusterer)
    if group is not None:
        results.append(result("category", levels.categories[group]))
    above = np.mean([r.foreground for r in results], axis=0).ravel()
    image = refit(vectors, above, ks=image_ks, clusterer=clusterer, seed=seed)
    return [*results, result("image", image)]


def find_group(cls: NDArray[np.float16], levels: Levels, clusterer: Clusterer) -> int | None:
    """The group whose centroid is nearest by the clusterer's own measure, if the photo is within its
    reach."""
    if not len(levels.groups):
        return None
    similar = similarity(clusterer, levels.groups, unit(cls.astype(np.float32)))
    nearest = int(np.argmax(similar))
    return nearest if similar[nearest] >= levels.reach[nearest] else None


def _pairs(clusters: Clusters) -> Iterator[tuple[Float, Float]]:
    return zip(clusters.centroids, clusters.scores, strict=True)


def _score(foreground: Foreground, patches: Patches, labels: NDArray[np.int64], *, k: int) -> Float:
    scores = foreground.score(labels, k=k, attention=patches.attention, border=patches.border)
    return check_array(registry.title("foreground", foreground), scores, (k,), probability=True)
