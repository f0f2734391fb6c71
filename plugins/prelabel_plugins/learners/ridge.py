"""Ridge regression of foreground, and linear discriminants of the classes, on patch features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prelabel.data.records import LabelledPatches
from prelabel.storage.threads import one_blas_thread

Float = NDArray[np.float32]
Double = NDArray[np.float64]
_LEAST = 0.5
"""Patches that background and foreground must cover before anything is learned."""
_SLOPE = 4.0
"""Steepness of P over the regression's value, which is -1 for background and 1 for foreground: P is
0.02 and 0.98 there."""

_NEVER = -1e30
"""Discriminant of a class that no photo shows: its P is 0."""


@dataclass(frozen=True)
class Ridge:
    """Linear on patch features: which patches are foreground, and of which class they are.

    Foreground is a ridge regression on -1 and 1 (Hoerl and Kennard, Technometrics 12, 1970). Classes
    are linear discriminants with a common covariance (Fisher 1936), all classes equally likely. Both
    need only sums over the patches, so that memory does not grow with photos.

    Attributes:
        regularization: added to the features' covariance, as a share of its mean; > 0. Larger is
            steadier with few photos, and coarser.
        balance: 0 weighs all patches alike, 1 gives foreground and background the same total;
            between, objects that are rare in the photos count more than their area.
    """

    regularization: Annotated[float, Field(gt=0)] = 0.1
    balance: Annotated[float, Field(ge=0, le=1)] = 0.5

    def summarize(self, photos: Iterable[LabelledPatches], *, seed: int) -> Mapping[str, Float]:
        """Sums of the patches and of their products.

        ``sums``: (1 + n_classes, dim + 1), over background and each class; the last column is the
        number of patches. ``products``: (2, dim + 1, dim + 1), of background and of foreground.
        """
        sums: Double | None = None
        products: Double = np.zeros(0)
        for photo in photos:
            points, shares = _with_one(photo.vectors), photo.shares.astype(np.float32)
            if sums is None:
                sums = np.zeros((shares.shape[1], points.shape[1]))
                products = np.zeros((2, points.shape[1], points.shape[1]))
            sums += shares.T @ points
            with one_blas_thread():
                for own, share in zip(
                    products, (shares[:, 0], shares[:, 1:].sum(axis=1)), strict=True
                ):
                    covered = share > 0
                    own += (points[covered].T * share[covered]) @ points[covered]
        if sums is None:
            return {}
        return {"sums": sums.astype(np.float32), "products": products.astype(np.float32)}

    def fit(self, summaries: Sequence[Mapping[str, Float]]) -> Mapping[str, Float]:
        """Learn from the sums of several summaries.

        ``foreground``: (dim + 1,), the regression's weights and constant. ``classes``: (n_classes,
        dim + 1), those of the discriminants.
        """
        known = [s for s in summaries if s]
        if not known:
            return {}
        sums = np.stack([s["sums"] for s in known]).sum(axis=0, dtype=np.float64)
        products = np.stack([s["products"] for s in known]).sum(axis=0, dtype=np.float64)
        counts = sums[:, -1]
        if min(counts[0], counts[1:].sum()) < _LEAST:
            return {}
        return {
            "foreground": self._regression(sums, products).astype(np.float32),
            "classes": self._discriminants(sums[1:], products[1]).astype(np.float32),
        }

    def predict(self, learned: Mapping[str, Float], vectors: Float) -> Float:
        """P of background and each class, float32 (n, 1 + n_classes)."""
        points = _with_one(vectors)
        with one_blas_thread():
            scores = points @ learned["foreground"]
            discriminants = points @ learned["classes"].T
        foreground = 1 / (1 + np.exp(-_SLOPE * np.clip(scores, -10, 10)))
        powers = np.exp(discriminants - discriminants.max(axis=1, keepdims=True))
        classes = powers / powers.sum(axis=1, keepdims=True)
        return np.concatenate(
            [1 - foreground[:, None], foreground[:, None] * classes], axis=1, dtype=np.float32
        )

    def _regression(self, sums: Double, products: Double) -> Double:
        """Weights and constant (dim + 1,) of the foreground."""
        background, foreground = sums[0], sums[1:].sum(axis=0)
        weight = (background[-1] / foreground[-1]) ** self.balance
        total = background[-1] + weight * foreground[-1]
        covariance = (products[0] + weight * products[1]) / total
        target = (weight * foreground - background) / total
        return _solve(covariance, target, self.regularization)

    def _discriminants(self, sums: Double, products: Double) -> Double:
        """Weights and constant (n_classes, dim + 1) of each class against the others."""
        counts = sums[:, -1:]
        seen = counts[:, 0] > 0
        means = sums[seen, :-1] / counts[seen]
        within = products[:-1, :-1] - (means * counts[seen]).T @ means
        within /= counts[seen].sum()
        dim = len(within)
        ridge = self.regularization * max(np.trace(within) / dim, 1e-12)
        weights = np.linalg.solve(within + ridge * np.eye(dim), means.T).T
        found = np.zeros((len(sums), dim + 1))
        found[:, -1] = _NEVER
        found[seen] = np.column_stack([weights, -0.5 * np.einsum("cd,cd->c", weights, means)])
        return found


def _solve(covariance: Double, target: Double, regularization: float) -> Double:
    """Solve for weights and constant; the constant, which is last, is not regularised."""
    dim = len(covariance) - 1
    penalty = np.full(dim + 1, regularization * max(np.trace(covariance[:dim, :dim]) / dim, 1e-12))
    penalty[-1] = 1e-9
    return np.linalg.solve(covariance + np.diag(penalty), target)


def _with_one(vectors: Float) -> Float:
    """float32 (n, dim) to (n, dim + 1), the last column 1."""
    return np.concatenate(
        [vectors, np.ones((len(vectors), 1), np.float32)], axis=1, dtype=np.float32
    )
