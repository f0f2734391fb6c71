"""Regions to classes: the clusters of their vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial.distance import pdist

from prelabel.config import Config
from prelabel.steps.levels import unit
from prelabel.strategies.checks import assign, fit_centroids, similarity
from prelabel.strategies.protocols import Clusterer

Float = NDArray[np.float32]
Ints = NDArray[np.int64]
_RUNS = 30
_MOST = 2000
"""Regions whose pairs are counted, which takes 32 MB and some seconds."""
_COMPONENTS = 20
"""Principal components in which groups are looked for: density says little in hundreds of dimensions."""
_LEAST = 3
"""Regions of a group; of many regions, a quarter of the root of their number."""
_MOST_GROUPED = 5000
"""Regions among which groups are looked for, which takes seconds."""
_INSIDE = 0.5
"""HDBSCAN's strength of membership from which a region counts to its group: stragglers do not."""
_REACHED = 0.05
"""Share of the regions of groups that is not within reach of its centroid."""


@dataclass(frozen=True)
class FoundClasses:
    """Classes of regions.

    Attributes:
        centroids: float32 (n_classes, dim), those of the largest class first.
        reach: the lowest similarity to the nearest centroid, by the clusterer's own measure, at which a
            region has a class; -inf if each one has.
    """

    centroids: Float
    reach: float = -math.inf


def learn_classes(embeddings: Float, config: Config) -> FoundClasses:
    """The classes of regions' vectors float32 (n, dim), n ≥ 1."""
    clusterer, seed = config.strategy("clusterer"), config.fit.seed
    count = config.classes.count
    if count == "auto":
        if found := find_classes(embeddings, clusterer=clusterer, seed=seed):
            return found
        count = 0  # too few regions, or none alike
    k = number_of_classes(
        count=count, n_labels=len(config.classes.labels), n_regions=len(embeddings)
    )
    return FoundClasses(fit_classes(embeddings, k=k, clusterer=clusterer, seed=seed))


def find_classes(embeddings: Float, *, clusterer: Clusterer, seed: int) -> FoundClasses | None:
    """As many classes as there are dense groups of embeddings float32 (n, d); None if there is none.

    The directions of the first ``_COMPONENTS`` principal components are grouped by HDBSCAN (Campello,
    Moulavi and Sander, PAKDD 2013). Of more than ``_MOST_GROUPED`` regions a sample is taken.
    """
    few = _sample(embeddings, _MOST_GROUPED, seed)
    if len(few) <= _LEAST:
        return None
    from sklearn.cluster import HDBSCAN  # takes seconds to load
    from sklearn.decomposition import PCA

    n_components = min(_COMPONENTS, len(few) - 1, few.shape[1])
    with np.errstate(invalid="ignore"):  # all of them are equal
        points = unit(PCA(n_components, random_state=seed).fit_transform(few))
    least = max(_LEAST, round(math.sqrt(len(few)) / 4))
    fitted = HDBSCAN(min_cluster_size=least, min_samples=_LEAST, copy=True).fit(points)
    groups = np.where(fitted.probabilities_ >= _INSIDE, fitted.labels_, -1)
    if groups.max() < 0:
        return None
    centroids = _centroids(few, groups, clusterer, seed)
    similar = _similar(few, groups, centroids, clusterer)[groups >= 0]
    reach = float(np.quantile(similar, _REACHED))
    return FoundClasses(_largest_first(centroids, embeddings, clusterer), reach)


def number_of_classes(*, count: int, n_labels: int, n_regions: int) -> int:
    """How many clusters: ``count`` if given; else two per label, since clusters with
    the same name can be merged, but a name cannot split a cluster; else sqrt(n / 2) (Mardia, Kent and Bibby, Multivariate Analysis, 1979).
    Never more than regions.
    """
    count = count or 2 * n_labels or max(1, round(math.sqrt(n_regions / 2)))
    return min(count, n_regions)


def fit_classes(embeddings: Float, *, k: int, clusterer: Clusterer, seed: int) -> Float:
    """Class centroids float32 (j, d), j ≤ k, of embeddings float32 (n, d); largest class first.

    A single run of a clusterer may merge two classes, so several runs vote: regions that most runs
    put into one cluster are a class (evidence accumulation with average linkage: Fred and Jain,
    TPAMI 27, 2005). Of more than 2 000 regions a sample is taken.
    """
    if k == 0:
        return np.zeros((0, embeddings.shape[1] if embeddings.ndim == 2 else 0), dtype=np.float32)
    few = _sample(embeddings, _MOST, seed)
    k = min(k, len(few))
    runs = [
        assign(clusterer, few, fit_centroids(clusterer, few, k=k, seed=run))
        for run in range(seed, seed + _RUNS)
    ]
    groups = np.zeros(len(few), dtype=np.int64)
    if len(few) > 1:
        apart = pdist(np.stack(runs, axis=1), "hamming")  # the share of runs that part a pair
        groups = cut_tree(linkage(apart, "average"), n_clusters=k).ravel()
    return _largest_first(_centroids(few, groups, clusterer, seed), embeddings, clusterer)


def classify(embeddings: Float, classes: Float, *, clusterer: Clusterer, reach: float) -> Ints:
    """The class of each region, int64 (n,): the nearest of centroids float32 (n_classes, dim), or -1
    where it is less similar to that one than ``reach``."""
    if not len(classes) or not len(embeddings):
        return np.full(len(embeddings), -1)
    found = assign(clusterer, embeddings, classes)
    if reach == -math.inf:
        return found
    return np.where(_similar(embeddings, found, classes, clusterer) >= reach, found, -1)


def _similar(embeddings: Float, groups: Ints, centroids: Float, clusterer: Clusterer) -> Float:
    """How similar each one is to the centroid of its group, float32 (n,); -inf for group -1."""
    found = np.full(len(embeddings), -np.inf, dtype=np.float32)
    for group in np.unique(groups[groups >= 0]).tolist():
        own = groups == group
        found[own] = similarity(clusterer, embeddings[own], centroids[group])
    return found


def _sample(embeddings: Float, most: int, seed: int) -> Float:
    """All, or ``most`` of them drawn with the seed, in order."""
    if len(embeddings) <= most:
        return embeddings
    drawn = np.random.default_rng(seed).choice(len(embeddings), most, replace=False)
    return np.asarray(embeddings[np.sort(drawn)])


def _centroids(few: Float, groups: Ints, clusterer: Clusterer, seed: int) -> Float:
    """The centroid of each group. The clusterer makes it: it knows how its points are compared."""
    found = [
        fit_centroids(clusterer, few[groups == g], k=1, seed=seed) for g in range(groups.max() + 1)
    ]
    return np.concatenate(found)


def _largest_first(centroids: Float, embeddings: Float, clusterer: Clusterer) -> Float:
    """Those that are nearest to some region, the one with most of them first."""
    sizes = np.bincount(assign(clusterer, embeddings, centroids), minlength=len(centroids))
    order = np.argsort(-sizes, kind="stable")
    return np.asarray(centroids[order[sizes[order] > 0]])
