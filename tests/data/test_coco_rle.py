"""What RLEs hold, sound or not, beside a plain decoder and pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prelabel.data.coco_rle import RleMeasures, measure_rles
from prelabel.data.masks import Mask, Rle, decode_rle, encode_rle, rle_area, rle_box

Measured = tuple[list[int], list[int], list[list[int]]]


def measured(*rles: Rle) -> Measured:
    """Totals, areas and boxes as lists."""
    found: RleMeasures = measure_rles(rles)
    return found.totals.tolist(), found.areas.tolist(), found.boxes.tolist()


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
    return sum(counts) if counts and min(counts) >= 0 and max(counts) < 2**32 else -1


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


MASK = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))
SOUND_TEXT = MASK.map(lambda mask: str(encode_rle(mask)["counts"]))
ANY_TEXT = st.one_of(
    SOUND_TEXT,
    st.tuples(SOUND_TEXT, st.integers(0, 9)).map(lambda pair: pair[0][: -pair[1]]),  # cut off
    st.tuples(SOUND_TEXT, st.text("0OPo?_", max_size=2)).map("".join),
    st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=6),
    st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=20),
)


@pytest.mark.slow
@settings(max_examples=200)
@given(masks=st.lists(MASK, max_size=6))
def test_measure__masks(masks: list[Mask]) -> None:
    boxes = []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x, y = (int(columns[0]), int(rows[0])) if len(rows) else (0, 0)
        boxes.append(
            [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y] if len(rows) else [0] * 4
        )
    totals, areas = [mask.size for mask in masks], [int(mask.sum()) for mask in masks]
    assert measured(*map(encode_rle, masks)) == (totals, areas, boxes)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    rles=st.lists(
        st.builds(
            lambda text, height, width: Rle(size=[height, width], counts=text),
            ANY_TEXT,
            st.integers(1, 40),
            st.integers(1, 40),
        ),
        max_size=5,
    )
)
def test_measure__any_text_as_a_plain_decoder_does(rles: list[Rle]) -> None:
    totals, areas, boxes = measured(*rles)
    assert totals == [plain_total(rle["counts"]) for rle in rles]
    for rle, total, area, box in zip(rles, totals, areas, boxes, strict=True):
        if total == rle["size"][0] * rle["size"][1]:
            plain = encode_rle(decode_rle(rle))
            assert (area, tuple(box)) == (rle_area(plain), rle_box(plain))
        else:
            assert (area, box) == (0, [0, 0, 0, 0])


@settings(max_examples=300)
@given(counts=st.lists(st.integers(0, 6), min_size=1, max_size=12), height=st.integers(1, 6))
def test_measure__empty_runs_do_not_count(counts: list[int], height: int) -> None:
    counts.append(-sum(counts) % height or height)
    inside = np.repeat(np.arange(len(counts)) % 2, counts).reshape(-1, height).T.astype(bool)
    canonical = encode_rle(inside)
    rle = Rle(size=canonical["size"], counts=text_of(counts))
    assert measured(rle) == ([inside.size], [int(inside.sum())], [list(rle_box(canonical))])


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
        ("p", -1),  # the first character behind those of an RLE
        ("5é", -1),
        ("oooooo10", 2**31 - 1),  # the longest count is of 7 characters
        ("ooooooo10", -1),
        ("0oooooo7" * 3, -1),  # runs that sums of 64 bits would not hold, if there were enough
    ],
)
def test_measure__an_unsound_one_does_not_affect_its_neighbours(counts: str, total: int) -> None:
    square = np.zeros((4, 4), dtype=np.bool_)
    square[1:3, 1:3] = True
    sound = encode_rle(square)
    totals, areas, boxes = measured(sound, Rle(size=[4, 4], counts=counts), sound)
    assert totals == [16, total, 16]
    assert areas[::2] == [4, 4]
    assert boxes[::2] == [[1, 1, 2, 2]] * 2
    if total != 16:
        assert (areas[1], boxes[1]) == (0, [0, 0, 0, 0])


def test_measure__the_worked_example() -> None:
    assert measured(Rle(size=[4, 5], counts="52225")) == ([20], [6], [[1, 0, 3, 4]])


def test_measure__none_and_many() -> None:
    assert measured() == ([], [], [])
    point = np.zeros((4, 4), dtype=np.bool_)
    point[3, 2] = True
    assert measured(*[encode_rle(point)] * 1300) == (
        [16] * 1300, [1] * 1300, [[2, 3, 1, 1]] * 1300
    )  # fmt: skip


def test_measure__the_largest_mask() -> None:
    # 2 ** 16 × 2 ** 15 pixels, all outside but the last.
    box = [2**15 - 1, 2**16 - 1, 1, 1]
    assert measured(Rle(size=[2**16, 2**15], counts="oooooo11")) == ([2**31], [1], [box])
