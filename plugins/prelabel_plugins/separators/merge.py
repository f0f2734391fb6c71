"""Connected parts are cut between patches that show different things."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prelabel.data.bulges import connected_parts, numbered
from prelabel.data.records import PatchMaps
from prelabel_plugins.separators.patch_cuts import nearest_numbers

Float = NDArray[np.float32]
Labels = NDArray[np.int32]
_COVERED = 0.25
"""Share of a patch that is foreground from which it takes part."""
_Border = tuple[float, int]
"""The sum of cosines of neighbouring patches along the border of two regions, and their number."""


@dataclass(frozen=True)
class Merge:
    """Connected parts, cut between patches that show different things.

    Patches of the foreground that are neighbours are merged, the most similar first, until no two
    neighbours are similar enough (regions grown by merging as in Nock and Nielsen, TPAMI 2004). The
    similarity of two regions is the mean of two cosines: that of their mean vectors (average
    linkage), and that of neighbouring patches along their common border, which stays high where one
    thing goes on. Each pixel of the foreground has the region of the nearest patch, and where regions
    meet the cut follows the photo's edges.

    Attributes:
        similar: in [-1, 1]; neighbours are merged down to this similarity. Higher cuts more.
        smallest: in [0, 1); what is less than this share of its connected part is merged with the most
            similar neighbour, however unlike.
    """

    similar: Annotated[float, Field(ge=-1, le=1)] = 0.55
    smallest: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def separate(
        self,
        refined: Float,
        *,
        threshold: float,
        patches: PatchMaps,
        image: NDArray[np.uint8],
    ) -> Labels:
        """int32 (h, w), numbers from 1."""
        mask = refined > threshold
        rows, columns = patches.foreground.shape
        share = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
        merged = merge_patches(
            np.asarray(share > _COVERED), patches.vectors, self.similar, self.smallest
        )
        parts = connected_parts(mask)
        if merged.max() < 2:
            return parts
        of_pixels = np.where(mask, _enlarged(merged, image), 0)
        return numbered(parts.astype(np.int64) * (merged.max() + 1) + of_pixels)


def merge_patches(
    inside: NDArray[np.bool_], vectors: Float, similar: float, smallest: float
) -> Labels:
    """Numbers from 1, int32 (h, w), of the regions of the patches that are ``inside``, bool (h, w)."""
    merging = _Merging(inside, vectors)
    merging.down_to(similar)
    merging.absorb(smallest)
    return merging.labels()


class _Merging:
    """Regions of neighbouring patches, at first one for each patch."""

    def __init__(self, inside: NDArray[np.bool_], vectors: Float) -> None:
        self._index = np.full(inside.shape, -1)
        self._index[inside] = np.arange(np.count_nonzero(inside))
        own = vectors[inside].astype(np.float64)
        lengths = np.linalg.norm(own, axis=1, keepdims=True)
        self._sums = own / np.maximum(lengths, 1e-12)
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

    def down_to(self, similar: float) -> None:
        """Merge neighbours, the most similar first."""
        versions = [0] * len(self._borders)
        heap = [
            (-similarity, i, j, 0, 0)
            for i in range(len(self._borders))
            for j, similarity in self._similarities(i)
            if i < j and similarity >= similar
        ]
        heapq.heapify(heap)
        while heap:
            _, i, j, at_i, at_j = heapq.heappop(heap)
            if versions[i] != at_i or versions[j] != at_j:
                continue  # one of them has changed since
            self._join(i, j)
            versions[i] += 1
            versions[j] = -1
            for k, similarity in self._similarities(i):
                if similarity >= similar:
                    low, high = min(i, k), max(i, k)
                    heapq.heappush(heap, (-similarity, low, high, versions[low], versions[high]))

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
        borders = sorted(self._borders[i].items())
        if not borders:
            return []
        near = [j for j, _ in borders]
        sums = self._sums[near]
        lengths = np.sqrt(np.einsum("nd,nd->n", sums, sums) * (self._sums[i] @ self._sums[i]))
        of_means = (sums @ self._sums[i]) / np.maximum(lengths, 1e-12)
        at_border = np.array([total / n for _, (total, n) in borders])
        return list(zip(near, ((of_means + at_border) / 2).tolist(), strict=True))

    def _join(self, i: int, j: int) -> None:
        """Merge j into i."""
        self._sums[i] += self._sums[j]
        self._sizes[i] += self._sizes[j]
        self._into[j] = i
        for k, (total, n) in self._borders[j].items():
            del self._borders[k][j]
            if k != i:
                before, n_before = self._borders[i].get(k, (0.0, 0))
                self._borders[i][k] = self._borders[k][i] = (before + total, n_before + n)
        self._borders[j] = {}


def _enlarged(merged: Labels, image: NDArray[np.uint8]) -> Labels:
    """The region of each pixel of the image, int32 (h, w).

    That of the nearest patch, but within half a patch of another region's the image decides: there
    regions are flooded up to its edges (watershed, Meyer 1992).
    """
    height, width = image.shape[:2]
    everywhere = nearest_numbers(merged, merged > 0)
    large = cv2.resize(
        everywhere.astype(np.uint16), (width, height), interpolation=cv2.INTER_NEAREST
    )
    step = round(width / merged.shape[1]), round(height / merged.shape[0])
    around = cv2.getStructuringElement(cv2.MORPH_RECT, (step[0] + 1, step[1] + 1))
    certain = cv2.erode(large, around) == cv2.dilate(large, around)
    markers = np.where(certain, large, 0).astype(np.int32)
    cv2.watershed(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), markers)
    return nearest_numbers(markers, markers > 0)
