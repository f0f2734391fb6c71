"""scikit-learn's mini-batch k-means, on vectors as they are (Euclidean distance)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans as SklearnMiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

Float = NDArray[np.float32]


@dataclass(frozen=True)
class MiniBatchKMeans:
    """Mini-batch k-means (Sculley, WWW 2010).

    - ``batch_size``: points in one step; ≥ 1.
    - ``restarts``: seedings tried before the best one is run; ≥ 1.
    """

    batch_size: int = 4096
    restarts: int = 3

    def fit(self, points: Float, *, k: int, seed: int) -> Float:
        """Centroids float32 (j, d), j ≤ k, of points float32 (n, d)."""
        model = SklearnMiniBatchKMeans(
            n_clusters=min(k, len(points)),
            batch_size=self.batch_size,
            n_init=self.restarts,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than k
            model.fit(points)
        return np.unique(model.cluster_centers_.astype(np.float32), axis=0)

    def assign(self, points: Float, centroids: Float) -> NDArray[np.int64]:
        """The nearest centroid of each point, int64 (n,)."""
        # |p - c|² without |p|², which is the same for every centroid.
        return np.argmin((centroids**2).sum(axis=1) - 2 * points @ centroids.T, axis=1)
