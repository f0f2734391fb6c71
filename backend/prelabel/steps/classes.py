"""Regions to classes: the clusters of their vectors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from prelabel.config import Config
from prelabel.strategies.checks import assign, fit_centroids
from prelabel.strategies.protocols import Clusterer

Float = NDArray[np.float32]
_RUNS = 30
_MOST = 2000
"""Regions whose pairs are counted: the table of pairs has its square."""


def learn_classes(embeddings: Float, config: Config) -> Float:
    """Class centroids float32 (n_classes, dim) of regions' vectors float32 (n, dim), n ≥ 1."""
    k = number_of_classes(
        count=config.classes.count,
        n_labels=len(config.classes.labels),
        n_regions=len(embeddings),
    )
    clusterer = config.strategy("clusterer")
    return fit_classes(embeddings, k=k, clusterer=clusterer, seed=config.fit.seed)


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
    few = embeddings
    if len(few) > _MOST:
        few = few[np.sort(np.random.default_rng(seed).choice(len(few), _MOST, replace=False))]
    k = min(k, len(few))
    together = np.zeros((len(few), len(few)), dtype=np.uint8)  # runs that put a pair into one
    for run in range(seed, seed + _RUNS):
        labels = assign(clusterer, few, fit_centroids(clusterer, few, k=k, seed=run))
        together += labels[:, None] == labels
    groups = np.zeros(len(few), dtype=np.int64)
    if len(few) > 1:
        from sklearn.cluster import AgglomerativeClustering  # takes seconds to load

        linkage = AgglomerativeClustering(k, metric="precomputed", linkage="average")
        groups = linkage.fit_predict(1 - together / np.float32(_RUNS))
    # The clusterer makes each group's centroid: it knows how its points are compared.
    centroids = np.concatenate(
        [
            fit_centroids(clusterer, few[groups == g], k=1, seed=seed)
            for g in range(groups.max() + 1)
        ]
    )
    sizes = np.bincount(assign(clusterer, embeddings, centroids), minlength=len(centroids))
    order = np.argsort(-sizes, kind="stable")
    return np.asarray(centroids[order[sizes[order] > 0]])
