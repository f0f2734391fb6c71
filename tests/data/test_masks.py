"""Mask codecs against pycocotools and Label Studio's SDK."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from label_studio_sdk.converter import brush
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from prelabel.data.masks import (
    Mask,
    decode_brush,
    decode_rle,
    encode_brush,
    encode_rle,
    rle_area,
    rle_box,
)

# pycocotools does not know numpy 2's `copy` yet: harmless, but pytest keeps every warning.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Bytes = NDArray[np.uint8]


def _ring(height: int, width: int) -> Mask:
    mask = np.ones((height, width), dtype=np.bool_)
    mask[height // 4 : height - height // 4, width // 4 : width - width // 4] = False
    return mask


def _one_pixel(height: int, width: int, y: int, x: int) -> Mask:
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[y, x] = True
    return mask


def _frame(height: int, width: int) -> Mask:
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[[0, -1]] = mask[:, [0, -1]] = True
    return mask


HAND_MADE = {
    "1x1 empty": np.zeros((1, 1), dtype=np.bool_),
    "1x1 full": np.ones((1, 1), dtype=np.bool_),
    "empty": np.zeros((7, 5), dtype=np.bool_),
    "full": np.ones((7, 5), dtype=np.bool_),
    "one row": np.array([[1, 0, 0, 1, 1, 1, 0]], dtype=np.bool_),
    "one column": np.array([[0], [1], [1], [0]], dtype=np.bool_),
    "first pixel": _one_pixel(6, 9, 0, 0),
    "last pixel": _one_pixel(6, 9, 5, 8),
    "checkerboard": np.indices((9, 8)).sum(axis=0) % 2 == 0,
    "ring": _ring(12, 10),
    "frame": _frame(6, 11),
    "holes in holes": _frame(9, 9) | np.pad(_frame(5, 5), 2),
    # 4 × 16 384 = 65 536 values is the longest run that is not cut.
    "longest run": np.ones((128, 128), dtype=np.bool_),
    "longest run and a pixel": np.ones((1, 16385), dtype=np.bool_),
    "runs of several pieces": np.repeat([[True, False]], [16384 * 3, 16384 * 2 + 1], axis=1),
    **{f"run of {n}": np.arange(200)[None] < n for n in (1, 2, 3, 4, 5, 63, 64, 65)},
}

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)


@st.composite
def blocky_masks(draw: st.DrawFn) -> Mask:
    """Rectangles set and cleared one over another: long runs, holes, holes in holes, edges."""
    height, width = draw(SHAPES)
    mask = np.full((height, width), draw(st.booleans()))
    for _ in range(draw(st.integers(0, 5))):
        rows = sorted(draw(st.tuples(*[st.integers(0, height)] * 2)))
        columns = sorted(draw(st.tuples(*[st.integers(0, width)] * 2)))
        mask[slice(*rows), slice(*columns)] = draw(st.booleans())
    return mask


MASKS = (
    st.sampled_from(list(HAND_MADE.values())) | blocky_masks() | hnp.arrays(np.bool_, shape=SHAPES)
)


@given(MASKS)
def test_coco_rle__agrees_with_pycocotools(mask: Mask) -> None:
    rle = encode_rle(mask)
    reference = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert rle == {"size": list(mask.shape), "counts": reference["counts"].decode()}
    decoded = decode_rle(rle)
    assert decoded.dtype == np.bool_
    assert np.array_equal(decoded, mask)


@given(MASKS)
def test_area_and_box__are_those_of_the_mask(mask: Mask) -> None:
    rle = encode_rle(mask)
    assert rle_area(rle) == mask.sum() == coco_mask.area(rle)
    rows, columns = np.nonzero(mask)
    box = (0, 0, 0, 0)
    if rows.size:
        x, y = columns.min(), rows.min()
        box = (x, y, columns.max() + 1 - x, rows.max() + 1 - y)
    assert rle_box(rle) == box == tuple(coco_mask.toBbox(rle))


def test_encode_brush__worked_example() -> None:
    mask = np.array([[True, False], [False, False]])
    assert encode_brush(mask) == [0, 0, 0, 16, 57, 27, 252, 127, 246, 192, 0]


@given(MASKS)
def test_brush__is_bit_identical_with_the_sdk_both_ways(mask: Mask) -> None:
    rle = encode_brush(mask)
    assert rle == brush.mask2rle(mask.astype(np.uint8) * 255)
    alpha = brush.decode_rle(rle).reshape(*mask.shape, 4)[..., 3]
    decoded = decode_brush(rle, *mask.shape)
    assert decoded.dtype == np.bool_
    assert np.array_equal(decoded, alpha == 255)
    assert np.array_equal(decoded, mask)


def test_encode_brush__photo_sized_in_any_memory_order() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:960, :1280]
    mask = (((x - 640) / 400) ** 2 + ((y - 480) / 300) ** 2 < 1) & (rng.random((960, 1280)) > 0.01)
    expected = brush.mask2rle(mask.astype(np.uint8) * 255)
    assert encode_brush(mask) == encode_brush(np.asfortranarray(mask)) == expected
    assert np.array_equal(decode_brush(expected, 960, 1280), mask)


def test_encode_brush__the_last_byte_is_full() -> None:
    # Header 53 bits; 9 pixels on, 36 values: 19 bits. 72 bits, so the SDK adds a byte of zeros.
    mask = np.ones((3, 3), dtype=np.bool_)
    assert len(encode_brush(mask)) == 10
    assert encode_brush(mask) == brush.mask2rle(mask.astype(np.uint8) * 255)


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4,), (2, 2, 4)])
def test_encode_brush__refuses_what_is_no_mask(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="wanted \\(height, width\\)"):
        encode_brush(np.zeros(shape, dtype=np.bool_))


PICTURES = hnp.arrays(
    np.uint8,
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(4)),
    elements=st.sampled_from([0, 1, 127, 128, 200, 255]),
)


@given(PICTURES)
def test_decode_brush__greys_are_cut_at_128_of_alpha(picture: Bytes) -> None:
    rle = brush.encode_rle(picture.ravel())
    assert np.array_equal(decode_brush(rle, *picture.shape[:2]), picture[..., 3] >= 128)


@given(PICTURES, st.sampled_from([[3, 4, 8, 16], [2, 5, 9, 12]]))
def test_decode_brush__values_that_stand_singly(picture: Bytes, sizes: list[int]) -> None:
    rle = _encode_singly(picture.ravel().tolist(), sizes)
    assert np.array_equal(brush.decode_rle(rle), picture.ravel())
    assert np.array_equal(decode_brush(rle, *picture.shape[:2]), picture[..., 3] >= 128)


@pytest.mark.parametrize("name", ["ring", "checkerboard", "first pixel", "longest run and a pixel"])
def test_decode_brush__every_truncation_is_an_error(name: str) -> None:
    mask = HAND_MADE[name]
    rle = encode_brush(mask)
    # The last byte may be padding only.
    for length in range(len(rle) - 1):
        with pytest.raises(ValueError, match="brush RLE"):
            decode_brush(rle[:length], *mask.shape)


def test_decode_brush__other_size_than_the_photo() -> None:
    rle = encode_brush(HAND_MADE["ring"])
    with pytest.raises(ValueError, match=r"holds 480 values, wanted 520 \(height 13 × width 10"):
        decode_brush(rle, 13, 10)


def test_decode_brush__runs_beyond_the_end() -> None:
    rle = encode_brush(np.ones((2, 2), dtype=np.bool_))  # one run of 16
    rle[3] = 4  # now it says 1 × 1
    with pytest.raises(ValueError, match="hold 16 values or more, wanted 4"):
        decode_brush(rle, 1, 1)


def test_decode_brush__other_word_size() -> None:
    rle = encode_brush(np.ones((1, 1), dtype=np.bool_))
    rle[4] |= 0b01000000  # 01111: 16 bits
    with pytest.raises(ValueError, match="values of 16 bits, wanted 8"):
        decode_brush(rle, 1, 1)


def test_decode_brush__ints_that_are_no_bytes() -> None:
    with pytest.raises(ValueError, match="range"):
        decode_brush([0, 0, 300], 1, 1)


def _encode_singly(values: list[int], sizes: list[int]) -> list[int]:
    """Brush RLE without a single run: values in groups of up to 2 ** sizes[i], i going round."""
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    start = group = 0
    while start < len(values):
        size = sizes[group % 4]
        part = values[start : start + 2**size]
        bits += f"0{group % 4:02b}{len(part) - 1:0{size}b}" + "".join(f"{v:08b}" for v in part)
        start, group = start + len(part), group + 1
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]
