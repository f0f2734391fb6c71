"""Checks and measures COCO's compressed RLEs without drawing their masks. None is trusted: with
counts that hold too little, too much or a negative number, pycocotools hangs or crashes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Rle

_TEXT = re.compile("[0-o]*[0-O]")
"""Characters of 6 bits, the last of which ends a count: joined, no text runs on into the next."""
_MOST_CHARACTERS = 7
"""Of a count: 35 bits."""
_LONGEST_RUN = 2**32 - 1
"""In pixels; far more than any photo has, and sums of such runs still fit into 64 bits."""
_AT_ONCE = 512
"""RLEs that are decoded together: their arrays stay in a processor's cache."""


class RleMeasures(NamedTuple):
    """Of n RLEs; one is sound if its total is its height × width.

    ``totals``: int64 (n,), pixels that all its runs cover, or -1 where ``counts`` is not an RLE.
    ``areas``: int64 (n,), pixels inside the mask. ``boxes``: int64 (n, 4), the tight box as x, y,
    width, height. Areas and boxes are 0 for an empty mask, and where an RLE is not sound.
    """

    totals: NDArray[np.int64]
    areas: NDArray[np.int64]
    boxes: NDArray[np.int64]


def measure_rles(rles: Sequence[Rle]) -> RleMeasures:
    """Totals, areas and boxes of RLEs with any ``counts``; ``size`` must be two numbers from 1."""
    totals = np.full(len(rles), -1, dtype=np.int64)
    areas, boxes = np.zeros_like(totals), np.zeros((len(rles), 4), dtype=np.int64)
    readable = [i for i, rle in enumerate(rles) if _TEXT.fullmatch(rle["counts"])]
    for start in range(0, len(readable), _AT_ONCE):
        part = readable[start : start + _AT_ONCE]
        runs = _decode([rles[i]["counts"] for i in part])
        sizes = np.array([rles[i]["size"] for i in part], dtype=np.int64)
        totals[part] = runs.totals()
        is_sound = totals[part] == sizes.prod(axis=1)
        areas[part] = np.where(is_sound, runs.areas(), 0)
        boxes[part] = np.where(is_sound[:, None], runs.boxes(sizes[:, 0]), 0)
    return RleMeasures(totals, areas, boxes)


class _Runs(NamedTuple):
    """The runs of n RLEs in pixels, one RLE after the other, in pairs of int64 (n_pairs,).

    ``outside``, ``inside``: a run outside the mask, and the run inside it that follows, 0 if there
    is none. ``first``: int64 (n,), each RLE's first pair. ``n_pairs``: int64 (n,).
    """

    outside: NDArray[np.int64]
    inside: NDArray[np.int64]
    first: NDArray[np.int64]
    n_pairs: NDArray[np.int64]

    def totals(self) -> NDArray[np.int64]:
        """Pixels of all runs of each RLE; -1 where one has a length that cannot be."""
        # Bits that any of the runs has: the sign of a negative one, and those of one too long.
        bits = np.bitwise_or.reduceat(self.outside | self.inside, self.first)
        totals = np.add.reduceat(self.outside + self.inside, self.first)
        return np.where((bits < 0) | (bits > _LONGEST_RUN), -1, totals)

    def areas(self) -> NDArray[np.int64]:
        """Pixels of the runs inside."""
        return np.asarray(np.add.reduceat(self.inside, self.first), dtype=np.int64)

    def boxes(self, heights: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tight boxes, (n, 4), of masks of these heights, down whose columns the runs go; 0 for an
        empty mask. Of RLEs that are not sound any numbers."""
        stops = np.cumsum(self.outside + self.inside)
        stops -= np.repeat(np.append(0, stops[self.first[1:] - 1]), self.n_pairs)
        has_pixels = self.inside > 0
        n_runs = np.add.reduceat(has_pixels, self.first, dtype=np.int64)
        height, stop = np.repeat(heights, n_runs), stops[has_pixels]
        start, last = stop - self.inside[has_pixels], stop - 1
        left, right = start // height, last // height
        # A run that goes on in the next column reaches the mask's bottom and its top.
        goes_on = left < right
        top = np.where(goes_on, 0, start - left * height)
        bottom = np.where(goes_on, height - 1, last - right * height)
        boxes = np.zeros((len(self.first), 4), dtype=np.int64)
        some = np.flatnonzero(n_runs)
        if len(some):
            at = (np.cumsum(n_runs) - n_runs)[some]
            x, y = np.minimum.reduceat(left, at), np.minimum.reduceat(top, at)
            end_x, end_y = np.maximum.reduceat(right, at), np.maximum.reduceat(bottom, at)
            boxes[some] = np.stack([x, y, end_x + 1 - x, end_y + 1 - y], axis=1)
        return boxes


def _decode(texts: Sequence[str]) -> _Runs:
    """The runs of COCO's compressed ``counts``, as pycocotools writes them (maskApi.c, rleToString).

    A count is written in characters of 48 + 6 bits: 5 bits of its value, lowest first, and one that
    says whether another character follows. The highest bit of the value is its sign. From the
    fourth on, a count is the difference to the one before the one before, which is the one of the
    same column in the pair above. "52225" are the values 5, 2, 2, 2, 5 and the pairs::

        outside  inside
              5       2
              2   2 + 2
          2 + 5       0 (there is none)
    """
    codes = np.frombuffer("".join(texts).encode("ascii"), dtype=np.uint8) - np.uint8(48)
    stops = np.flatnonzero(codes < 32) + 1  # of counts, in characters
    n_codes = np.diff(stops, prepend=0)
    # From the last character back to the first; few counts have more than one.
    values = (codes[stops - 1] ^ 16).astype(np.int64) - 16
    longer = np.flatnonzero(n_codes > 1)
    for place in range(1, _MOST_CHARACTERS):
        lower = codes[stops[longer] - 1 - place] & 31
        values[longer] = values[longer] << 5 | lower
        longer = longer[n_codes[longer] > place + 1]
    values[n_codes > _MOST_CHARACTERS] = -2 * _LONGEST_RUN  # stays negative in any sum

    ends = np.searchsorted(stops, np.cumsum([len(text) for text in texts]), side="right")
    n_counts = np.diff(ends, prepend=0)
    n_pairs = (n_counts + 1) // 2
    first = np.cumsum(n_pairs) - n_pairs
    places = np.arange(len(values)) + np.repeat(2 * first - (ends - n_counts), n_counts)
    pairs = np.zeros((n_pairs.sum(), 2), dtype=np.int64)
    pairs.ravel()[places] = values
    outside, inside = np.ascontiguousarray(pairs.T)
    inside = _sums(inside, first, n_pairs)
    inside[(first + n_pairs - 1)[n_counts % 2 == 1]] = 0
    # The first count is not part of what is added up.
    at_start, outside[first] = outside[first], 0
    outside = _sums(outside, first, n_pairs)
    outside[first] = at_start
    return _Runs(outside, inside, first, n_pairs)


def _sums(
    values: NDArray[np.int64], first: NDArray[np.int64], n: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Cumulative sums, anew from each place in ``first``; ``n`` values belong to each."""
    sums = np.cumsum(values)
    before = np.append(0, sums[first[1:] - 1])
    return np.asarray(sums - np.repeat(before, n), dtype=np.int64)
