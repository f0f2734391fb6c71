"""What RLEs hold, sound or not, beside a plain decoder, pycocotools and scikit-image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prelabel.data import coco_rle as module
from prelabel.data.coco_rle import _totals, rle_facts
from prelabel.data.masks import Mask, Rle, decode_rle, encode_rle, rle_area, rle_box


def plain_total(text: str) -> int:
    """COCO's RLE decoded one character after the other, as maskApi.c's rleFrString does."""
    counts: list[int] = []
    at = 0
    while at < len(text):
        value = place = 0
        more = True
        while more:
            if at >= len(text) or place == 7:
                return -1
            code = ord(text[at]) - 48
            if not 0 <= code <= 63:
                return -1
            value |= (code & 31) << (5 * place)
            more = bool(code & 32)
            at += 1
            place += 1
            if not more and code & 16:
                value |= -1 << (5 * place)
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
    return sum(counts) if counts and min(counts) >= 0 else -1


SOUND_TEXT = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)).map(
    lambda mask: str(encode_rle(mask)["counts"])
)
ANY_TEXT = st.one_of(
    SOUND_TEXT,
    st.tuples(SOUND_TEXT, st.integers(0, 9)).map(lambda pair: pair[0][: -pair[1]]),  # cut off
    st.tuples(SOUND_TEXT, st.text("0OPo?_", max_size=2)).map("".join),
    st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=6),
    st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=20),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(ANY_TEXT, max_size=5))
def test_totals__as_a_plain_decoder(texts: list[str]) -> None:
    assert _totals(texts)[0].tolist() == [plain_total(text) for text in texts]


def test_totals__what_is_no_text() -> None:
    assert _totals([])[0].tolist() == []
    assert _totals(["", "é", "0" * 3, None])[0].tolist() == [-1, -1, 0, -1]  # type: ignore[list-item]


@settings(max_examples=200, deadline=None)
@given(text=ANY_TEXT, height=st.integers(1, 40), width=st.integers(1, 40))
def test_totals__those_of_the_right_length_are_decoded_within_the_mask(
    text: str, height: int, width: int
) -> None:
    if _totals([text])[0][0] == height * width:
        rle: Rle = {"size": [height, width], "counts": text}
        assert decode_rle(rle).sum() == rle_area(rle) <= height * width


MASK = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


@pytest.fixture(params=[True, False], ids=["hotcoco", "pycocotools"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With hotcoco, and as if it were not installed."""
    if not request.param:
        monkeypatch.setattr(module, "find_spec", lambda _: None)
    else:
        pytest.importorskip("hotcoco")
    return bool(request.param)


def both_ways(rles: list[Rle]) -> list[list[Any]]:
    """Facts by whichever way is taken, and by NumPy and pycocotools alone."""
    with pytest.MonkeyPatch.context() as patch:
        found = rle_facts(rles)
        patch.setattr(module, "find_spec", lambda _: None)
        return [[part.tolist() for part in facts] for facts in (found, rle_facts(rles))]


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(masks=st.lists(MASK, max_size=6))
def test_facts__of_masks(masks: list[Mask]) -> None:
    rles = [encode_rle(mask) for mask in masks]
    totals = [mask.size for mask in masks]
    areas = [int(mask.sum()) for mask in masks]
    boxes = []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x, y = (int(columns[0]), int(rows[0])) if len(rows) else (0, 0)
        boxes.append(
            [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y] if len(rows) else [0] * 4
        )
    for facts in both_ways(rles):
        assert facts == [totals, areas, boxes]


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    rles=st.lists(
        st.builds(
            lambda text, height, width: {"size": [height, width], "counts": text},
            ANY_TEXT,
            st.integers(1, 40),
            st.integers(1, 40),
        ),
        max_size=4,
    )
)
def test_facts__of_any_text_are_the_same_both_ways(rles: list[Rle]) -> None:
    first, second = both_ways(rles)
    assert first == second
    assert first[0] == [plain_total(rle["counts"]) for rle in rles]
    for rle, total, area, box in zip(rles, *first, strict=True):
        sound = total == rle["size"][0] * rle["size"][1]
        plain = encode_rle(decode_rle(rle)) if sound else None
        facts = (rle_area(plain), rle_box(plain)) if plain else (0, (0, 0, 0, 0))
        assert (area, tuple(box)) == facts


def text_of(counts: list[int]) -> str:
    """Uncompressed counts as text, as maskApi.c's rleToString does."""
    text = ""
    for i, count in enumerate(counts):
        value = count - (counts[i - 2] if i > 2 else 0)
        more = True
        while more:
            code = value & 31
            value >>= 5
            more = value != (-1 if code & 16 else 0)
            text += chr(48 + code + 32 * more)
    return text


@settings(max_examples=300, deadline=None)
@given(counts=st.lists(st.integers(0, 6), min_size=1, max_size=12), height=st.integers(1, 6))
def test_facts__empty_runs_do_not_count(counts: list[int], height: int) -> None:
    counts.append(-sum(counts) % height or height)
    inside = np.repeat(np.arange(len(counts)) % 2, counts).reshape(-1, height).T.astype(bool)
    canonical = encode_rle(inside)
    for facts in both_ways([{**canonical, "counts": text_of(counts)}]):
        assert facts == [[inside.size], [inside.sum()], [list(rle_box(canonical))]]


@pytest.mark.parametrize(
    ("counts", "total"),
    [
        ("5;", 16),  # 5 and 11, then nothing: ends inside the object
        ("0`0", 16),  # all inside
        ("`0", 16),  # all outside
        ("553", 13),  # too few behind the object
        ("5", 5),
        ("55:", 20),  # too many
        ("5N4", -1),  # negative
        ("5P", -1),  # cut off within a count
        ("", -1),
        ("\x7f", -1),
        ("5é", -1),
        (None, -1),
        (7, -1),
    ],
)
def test_facts__one_that_is_not_sound_is_told_from_the_others(
    counts: Any, total: int, way: bool
) -> None:
    square = np.zeros((4, 4), dtype=np.bool_)
    square[1:3, 1:3] = True
    sound = encode_rle(square)
    facts = rle_facts([sound, {"size": [4, 4], "counts": counts}, sound])
    assert facts.totals.tolist() == [16, total, 16]
    assert facts.areas[[0, 2]].tolist() == [4, 4]
    assert facts.boxes[[0, 2]].tolist() == [[1, 1, 2, 2]] * 2
    if total != 16:
        assert (facts.areas[1], facts.boxes[1].tolist()) == (0, [0, 0, 0, 0])


def test_facts__of_many_and_of_large_masks(way: bool) -> None:
    point = np.zeros((4, 4), dtype=np.bool_)
    point[3, 2] = True
    facts = rle_facts([encode_rle(point)] * 300)  # more than pycocotools counts in a byte
    assert facts.areas.tolist() == [1] * 300
    assert facts.boxes.tolist() == [[2, 3, 1, 1]] * 300
    # 2 ** 16 × 2 ** 15 pixels, all outside but the last.
    rle: Rle = {"size": [2**16, 2**15], "counts": "oooooo11"}
    facts = rle_facts([rle])
    assert (facts.totals[0], facts.areas[0]) == (2**31, 1)
    assert facts.boxes[0].tolist() == [2**15 - 1, 2**16 - 1, 1, 1]
