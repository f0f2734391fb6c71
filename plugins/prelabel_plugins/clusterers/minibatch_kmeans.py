"""scikit-learn's mini-batch k-means, on vectors as they are (Euclidean distance)."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.cluster import MiniBatchKMeans as SklearnMiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from prelabel.storage.threads import one_blas_thread

Float = NDArray[np.float32]
_filters = threading.Lock()


@dataclass(frozen=True)
class MiniBatchKMeans:
    """Mini-batch k-means (Sculley, WWW 2010) of scikit-learn: points are compared by distance.

    Attributes:
        batch_size: points in one step; ≥ 1.
        restarts: seedings tried before the best one is run; ≥ 1.
    """

    batch_size: Annotated[int, Field(ge=1)] = 4096
    restarts: Annotated[int, Field(ge=1)] = 3

    def fit(self, points: Float, *, k: int, seed: int) -> Float:
        """Centroids float32 (j, d), j ≤ k, of points float32 (n, d)."""
        model = SklearnMiniBatchKMeans(
            n_clusters=min(k, len(points)),
            batch_size=self.batch_size,
            n_init=self.restarts,
            random_state=seed,
        )
        # One thread: the steps are small, and where other work shares the processor, threads that
        # wait for each other make them ten times slower. One fit at a time: warnings' filters are
        # the whole process'.
        with (
            _filters,
            one_blas_thread(),
            threadpool_limits(1, user_api="openmp"),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than k
            model.fit(points)
        centroids = np.unique(model.cluster_centers_.astype(np.float32), axis=0)
        # Running means of coinciding points differ by rounding: only those that are used count.
        return np.asarray(centroids[np.unique(self.assign(points, centroids))])

    def assign(self, points: Float, centroids: Float) -> NDArray[np.int64]:
        """The nearest centroid of each point, int64 (n,)."""
        # Seen from the centroids' middle, as large values would cancel each other.
        middle = centroids.mean(axis=0)
        points, centroids = points - middle, centroids - middle
        # |p - c|² without |p|², which is the same for every centroid.
        distances = (centroids**2).sum(axis=1) - 2 * points @ centroids.T
        return np.asarray(np.argmin(distances, axis=1))

    def similarity(self, points: Float, point: Float) -> Float:
        """Squared distances times -1, float32 (n,)."""
        return np.asarray(-((points - point) ** 2).sum(axis=1), dtype=np.float32)
