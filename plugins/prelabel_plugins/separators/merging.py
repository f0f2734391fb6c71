"""Merging of neighbouring patches that are similar, into regions."""

from __future__ import annotations

import heapq

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Labels = NDArray[np.int32]
_Border = tuple[float, int]
"""The sum of cosines of neighbouring patches along the border of two regions, and their number."""


def merge_patches(
    inside: NDArray[np.bool_], vectors: Float, similar: float, smallest: float
) -> Labels:
    """Numbers from 1, int32 (h, w), of the regions of the patches that are ``inside``, bool (h, w).

    ``similar``: neighbours are merged down to this similarity. ``smallest``: what is less than this share
    of its connected part is merged with its most similar neighbour. Cosines of vectors float32
    (h, w, dim) are compared.
    """
    merging = Merging(inside, vectors)
    merging.down_to(similar)
    merging.absorb(smallest)
    return merging.labels()


class Merging:
    """Regions of neighbouring patches, at first one for each patch.

    ``inside``: bool (h, w), the patches that take part, numbered from 0 in order of rows.
    """

    def __init__(self, inside: NDArray[np.bool_], vectors: Float) -> None:
        self._index = np.full(inside.shape, -1)
        self._index[inside] = np.arange(np.count_nonzero(inside))
        own = vectors[inside].astype(np.float64)
        lengths = np.linalg.norm(own, axis=1, keepdims=True)
        self._sums = own / np.maximum(lengths, 1e-12)
        self._squares = np.einsum("nd,nd->n", self._sums, self._sums)
        self._sizes = np.ones(len(own), dtype=np.int64)
        self._into = np.arange(len(own))
        self._borders: list[dict[int, _Border]] = [{} for _ in own]
        for a, b in (
            (self._index[:, :-1], self._index[:, 1:]),
            (self._index[:-1], self._index[1:]),
        ):
            both = (a >= 0) & (b >= 0)
            cosines = np.einsum("nd,nd->n", self._sums[a[both]], self._sums[b[both]])
            for i, j, cosine in zip(
                a[both].tolist(), b[both].tolist(), cosines.tolist(), strict=True
            ):
                self._borders[i][j] = self._borders[j][i] = (cosine, 1)
        _, parts = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)
        self._of_part = np.bincount(parts[inside])[parts[inside]]  # patches of each one's part

    def down_to(self, similar: float) -> list[tuple[int, int]]:
        """Merge neighbours, the most similar first, down to this similarity.

        Returns each merger, in order: two regions by their numbers, of which both have the first from
        then on. At first a region has the number of its patch.
        """
        mergers = []
        versions = [0] * len(self._borders)
        # Of two patches, the means' cosine is that at their border.
        heap = [
            (-cosine, i, j, 0, 0)
            for i, borders in enumerate(self._borders)
            for j, (cosine, _) in borders.items()
            if i < j and cosine >= similar
        ]
        heapq.heapify(heap)
        while heap:
            _, i, j, at_i, at_j = heapq.heappop(heap)
            if versions[i] != at_i or versions[j] != at_j:
                continue  # one of them has changed since
            self._join(i, j)
            mergers.append((i, j))
            versions[i] += 1
            versions[j] = -1
            for k, similarity in self._similarities(i):
                if similarity >= similar:
                    low, high = min(i, k), max(i, k)
                    heapq.heappush(heap, (-similarity, low, high, versions[low], versions[high]))
        return mergers

    def absorb(self, smallest: float) -> None:
        """Merge what is too small with its most similar neighbour, the smallest first."""
        alive = np.flatnonzero(self._into == np.arange(len(self._into)))
        for i in sorted(alive.tolist(), key=lambda i: (self._sizes[i], i)):
            is_alive = self._into[i] == i
            if is_alive and self._borders[i] and self._sizes[i] < smallest * self._of_part[i]:
                self._join(max(self._similarities(i), key=lambda one: (one[1], -one[0]))[0], i)

    def labels(self) -> Labels:
        """Numbers from 1, int32 (h, w); 0 outside."""
        into = self._into
        while (further := into[into]).tobytes() != into.tobytes():
            into = further
        found = np.zeros(self._index.shape, dtype=np.int32)
        _, found[self._index >= 0] = np.unique(into, return_inverse=True)
        found[self._index >= 0] += 1
        return found

    def _similarities(self, i: int) -> list[tuple[int, float]]:
        """Each neighbour of a region with the similarity of the two."""
        borders = self._borders[i]
        if not borders:
            return []
        near = list(borders)
        lengths = np.sqrt(self._squares[near] * self._squares[i])
        of_means = (self._sums[near] @ self._sums[i]) / np.maximum(lengths, 1e-12)
        at_border = np.array([total / n for total, n in borders.values()])
        return list(zip(near, ((of_means + at_border) / 2).tolist(), strict=True))

    def _join(self, i: int, j: int) -> None:
        """Merge j into i."""
        self._sums[i] += self._sums[j]
        self._squares[i] = self._sums[i] @ self._sums[i]
        self._sizes[i] += self._sizes[j]
        self._into[j] = i
        for k, (total, n) in self._borders[j].items():
            del self._borders[k][j]
            if k != i:
                before, n_before = self._borders[i].get(k, (0.0, 0))
                self._borders[i][k] = self._borders[k][i] = (before + total, n_before + n)
        self._borders[j] = {}
