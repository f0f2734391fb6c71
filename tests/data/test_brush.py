"""Label Studio's brush RLE against its own SDK."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from label_studio_sdk.converter import brush
from numpy.typing import NDArray

from prelabel.data.brush import decode_brush, encode_brush
from prelabel.data.masks import Mask
from support.mask_cases import HAND_MADE, MASKS

Bytes = NDArray[np.uint8]


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
def test_encode_brush__refuses_what_is_not_a_mask(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(height, width\)"):
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
def test_decode_brush__values_stored_one_by_one(picture: Bytes, sizes: list[int]) -> None:
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
    with pytest.raises(ValueError, match=r"480 .*520 .*13 × width 10"):
        decode_brush(rle, 13, 10)


def test_decode_brush__runs_beyond_the_end() -> None:
    rle = encode_brush(np.ones((2, 2), dtype=np.bool_))  # one run of 16
    rle[3] = 4  # now it says 1 × 1
    with pytest.raises(ValueError, match=r"16 .* 4$"):
        decode_brush(rle, 1, 1)


def test_decode_brush__other_word_size() -> None:
    rle = encode_brush(np.ones((1, 1), dtype=np.bool_))
    rle[4] |= 0b01000000  # 01111: 16 bits
    with pytest.raises(ValueError, match=r"16 bits.* 8$"):
        decode_brush(rle, 1, 1)


def test_decode_brush__ints_that_are_not_bytes() -> None:
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


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_brush_rle__four_times_as_fast_as_the_sdk(noise: float) -> None:
    """Both in one run, in turns: whatever else the machine does slows both."""
    y, x = np.mgrid[:960, :1280]
    mask = np.hypot(y - 480, x - 640) < 300
    mask ^= np.random.default_rng(0).random(mask.shape) < noise
    picture = mask.astype(np.uint8) * 255
    assert encode_brush(mask) == brush.mask2rle(picture)
    own, sdk = [], []
    for _ in range(5):
        moments = [time.perf_counter()]
        for encode in (lambda: encode_brush(mask), lambda: brush.mask2rle(picture)):
            encode()
            moments.append(time.perf_counter())
        own.append(moments[1] - moments[0])
        sdk.append(moments[2] - moments[1])
    assert min(sdk) >= 4 * min(own)
