"""What COCO's compressed RLEs hold, of many at once, without decoding them; none is trusted."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from prelabel.data.masks import Rle

_MOST_PIXELS = 2**31
"""hotcoco counts in 32 bits."""
_MOST_CHARACTERS = 6
"""Of a count that is summed up in 32 bits."""
_AT_ONCE = 512
"""Texts that are summed up together: their arrays stay in a processor's cache."""


class RleFacts(NamedTuple):
    """Of n masks. ``totals``: int64 (n,), pixels that all runs cover; -1 for text that is no RLE. Of
    those whose total is their height × width, ``areas``: int64 (n,), pixels inside; ``boxes``: int64
    (n, 4), tight, x, y, width, height; of others 0."""

    totals: NDArray[np.int64]
    areas: NDArray[np.int64]
    boxes: NDArray[np.int64]


def rle_facts(rles: Sequence[Rle]) -> RleFacts:
    """Totals, areas and boxes of RLEs of any content; ``size`` has to be two ints from 1.

    With hotcoco, where it is installed and all RLEs are sound, else with NumPy and pycocotools, which
    is five times slower.
    """
    facts = _with_hotcoco(list(rles))
    if facts is not None:
        return facts
    totals, is_plain = _totals([rle["counts"] for rle in rles])
    areas, boxes = np.zeros(len(rles), dtype=np.int64), np.zeros((len(rles), 4), dtype=np.int64)
    pixels = [rle["size"][0] * rle["size"][1] for rle in rles]
    sound = np.flatnonzero(totals == np.array(pixels, dtype=np.int64))
    # A few at once: of 256 or more, pycocotools (2.0.11) counts the number in a byte.
    for part in np.split(sound, range(200, len(sound), 200)):
        some = [rles[i] for i in part]
        if some:
            areas[part], boxes[part] = coco_mask.area(some), coco_mask.toBbox(some)
    for i in np.flatnonzero((areas > 0) & ~is_plain):
        boxes[i] = coco_mask.toBbox(coco_mask.encode(coco_mask.decode(rles[i])))
    boxes[areas == 0] = 0
    return RleFacts(totals, areas, boxes)


def _with_hotcoco(rles: list[Rle]) -> RleFacts | None:
    """The same if hotcoco is installed and every RLE is sound, else None.

    hotcoco refuses negative counts and those that hold too much, but takes those that hold too
    little: these are told by ``_sums``.
    """
    if find_spec("hotcoco") is None:
        return None
    from hotcoco import mask as hot_mask

    pixels = np.array([rle["size"][0] * rle["size"][1] for rle in rles], dtype=np.int64)
    if not rles or pixels.max() >= _MOST_PIXELS:
        return None
    areas = np.empty_like(pixels)
    for start in range(0, len(rles), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        sums = _sums([rle["counts"] for rle in rles[part]])
        if sums is None or not np.array_equal(sums[0], pixels[part]):
            return None
        areas[part] = sums[1]
    try:
        return RleFacts(pixels, areas, hot_mask.to_bbox([{**rle} for rle in rles]).astype(np.int64))
    except ValueError:
        return None


def _sums(texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]] | None:
    """Totals and areas, right if no count is negative and no total has more than 31 bits; None if
    any text is none.

    A tenth of the work of ``_totals``, since no count is decoded. A difference goes into its own
    count and into every second one behind it; so a total is the sum of the characters' values, each
    as often as that. "52225" are 5, 2, 2, then differences 2 and 5: counts 5, 2, 2, 4, 7. Their
    total, 20, is 5 × 1 + 2 × 2 + 2 × 2 + 2 × 1 + 5 × 1.
    """
    try:
        joined = "".join(texts).encode("ascii")
    except (TypeError, UnicodeEncodeError):
        return None
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    if not lengths.all():
        return None
    ends = np.cumsum(lengths)
    starts = ends - lengths
    codes = np.frombuffer(joined, dtype=np.uint8) - np.uint8(48)
    is_last = codes < 32  # of a count's characters
    if codes.max() > 63 or not is_last[ends - 1].all():
        return None
    # A count with n others behind it is added n // 2 + 1 times; the first one, which no other is a
    # difference to, once.
    n_ended = np.cumsum(is_last, dtype=np.int32)
    often = np.repeat(n_ended[ends - 1] + 1, lengths)
    often -= n_ended
    often += is_last
    n_of_text = np.diff(n_ended[ends - 1], prepend=0).astype(np.uint8)
    is_inside = ~(often.astype(np.uint8) ^ np.repeat(n_of_text, lengths)) & 1
    often >>= 1
    of_first = starts
    while of_first.size:
        often[of_first] = 1
        of_first = of_first[~is_last[of_first]] + 1
    # A character that is not the first of its count has 5 bits more for each one before it.
    shifts, behind = np.zeros_like(codes), np.ones_like(is_last)
    for _ in range(_MOST_CHARACTERS):
        behind[1:], behind[0] = behind[:-1] & ~is_last[:-1], False
        if not behind.any():
            break
        shifts += behind * np.uint8(5)
    else:
        return None
    often <<= shifts
    is_negative = (codes & 16 > 0) & is_last
    often *= (codes & 31).view(np.int8) - is_negative * np.int8(32)
    return np.add.reduceat(often, starts), np.add.reduceat(often * is_inside, starts)


def _totals(counts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """How many pixels the runs of each of COCO's compressed ``counts`` cover, int64 (n,): height ×
    width of a sound one; -1 for text that is none, or has a negative count, which pycocotools
    would write past its memory. And whether no run but the first is empty: pycocotools (2.0.11)
    takes pixels beside an empty run into its box.

    A count is written in characters of 5 bits and a flag that says whether more follow, the last
    one's top bit being the sign; from the fourth count on, it is the difference to the one before
    the one before (pycocotools, maskApi.c, rleToString).
    """
    totals, is_plain = np.full(len(counts), -1, dtype=np.int64), np.ones(len(counts), dtype=bool)
    # One that ends within a count would run on into the next text.
    sound = [
        i
        for i, text in enumerate(counts)
        if isinstance(text, str) and text.isascii() and text and not (ord(text[-1]) - 48) & 32
    ]
    if not sound:
        return totals, is_plain
    texts = [counts[i] for i in sound]
    codes = np.frombuffer("".join(texts).encode("ascii"), dtype=np.uint8) - np.uint8(48)
    ends = np.flatnonzero((codes & 32) == 0) + 1  # of a count
    lengths = np.diff(ends, prepend=0)
    starts = ends - lengths
    values = (codes[starts] & 31).astype(np.int64)
    for place in range(1, min(int(lengths.max()), 7)):
        longer = np.flatnonzero(lengths > place)
        values[longer] |= (codes[starts[longer] + place] & 31).astype(np.int64) << (5 * place)
    negative = np.flatnonzero(codes[ends - 1] & 16)
    values[negative] -= np.int64(1) << (5 * np.minimum(lengths[negative], 8))
    odd = np.maximum.reduceat(codes > 63, starts) | (lengths > 7)
    # Which counts are of which text, and their places in it.
    first = np.searchsorted(ends, np.cumsum([len(text) for text in texts]), side="right")
    n = np.diff(first, prepend=0)
    first -= n
    index = np.arange(len(values)) - np.repeat(first, n)
    # From the fourth on, every second one is a chain of differences.
    found = values.copy()
    for parity in (1, 2):
        own = (index > 0) & (index % 2 == parity % 2)
        sums = np.cumsum(np.where(own, values, 0))
        found[own] = (sums - np.repeat(sums[first], n))[own]
    bad = np.maximum.reduceat(odd | (found < 0), first)
    totals[sound] = np.where(bad, -1, np.add.reduceat(found, first))
    is_plain[sound] = ~np.logical_or.reduceat((found == 0) & (index > 0), first)
    return totals, is_plain
