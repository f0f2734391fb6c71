"""The run lengths that Label Studio keeps a brush's strokes in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Mask

_HEADER_BITS = 32 + 5 + 4 * 4
_SIZES = (3, 4, 8, 16)
"""Bits in which brush RLE can count a run: up to 8, 16, 256 or 65 536 values."""


def encode_brush(mask: Mask) -> list[int]:
    """Label Studio's brush RLE of a mask, as the bytes (0–255) that its ``rle`` field holds.

    Bit-identical with ``label_studio_sdk.converter.brush.mask2rle`` of the mask as 0 and 255.
    The mask is taken row by row as an RGBA picture whose four channels are all 0 or all 255, and
    written as one stream of bits:

    - a header: how many values (32 bits), bits in a value less 1 (5), and the four sizes, less 1,
      in which a run can be counted (4 bits each; 3, 4, 8 and 16 bits);
    - for each run of equal values: 1, the index of the smallest size that can count it (2 bits),
      its length less 1 (that many bits), the value (8 bits). Longer runs than 65 536 are cut into
      pieces, all counted in 16 bits;
    - zeros up to the next whole byte; one byte of them if the last one is full.

    The 2 × 2 mask whose first pixel alone is inside has 16 values: 4 times 255, 12 times 0::

        16 values                        8 bits  sizes 3, 4, 8, 16
        00000000000000000000000000010000 00111   0010 0011 0111 1111
        4 × 255           12 × 0            to a whole byte
        1 00 011 11111111 1 01 1011 00000000 000000

    which is the bytes 0, 0, 0, 16, 57, 27, 252, 127, 246, 192, 0.

    Raises ValueError for a mask that is not 2-D or has no pixel.
    """
    if mask.ndim != 2 or mask.size == 0:
        raise ValueError(
            f"mask has shape {mask.shape}, expected (height, width) of 1 or more pixels"
        )
    flat = np.ascontiguousarray(mask, dtype=np.bool_).reshape(-1)
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]) + 1, flat.size)
    runs = 4 * np.diff(ends, prepend=0)  # in values: four to a pixel
    pieces = -(-runs // 65536)
    lengths = np.full(pieces.sum(), 65536, dtype=np.int64)
    lengths[np.cumsum(pieces) - 1] = runs - 65536 * (pieces - 1)
    index = np.repeat(np.searchsorted([8, 16, 256], runs), pieces)
    sizes = np.take(_SIZES, index)
    values = np.repeat(np.where(flat[ends - 1], 255, 0), pieces)
    codes = (((4 | index) << sizes | (lengths - 1)) << 8) | values
    return _pack(codes, 11 + sizes, n_values=4 * flat.size)


def decode_brush(rle: Sequence[int], height: int, width: int) -> Mask:
    """The mask of a Label Studio brush RLE: where its alpha, the fourth channel, is 128 or more.

    After a person's stroke the values are greys, hence the threshold; they may then also be stored
    one by one: 0, size, count less 1, and that many values. ``encode_brush`` explains the code.

    ``rle``: bytes as ints. ``height``, ``width``: the EXIF-oriented photo's pixels, which the RLE
    does not hold (a region's ``original_height`` and ``original_width`` do).
    Raises ValueError, with what was found and expected, for another number of pixels, an RLE that
    ends early or holds more than it says, or ints that are not bytes.
    """
    data = bytes(rle)
    header = int.from_bytes(data[:7]) >> 3
    if len(data) * 8 < _HEADER_BITS:
        raise ValueError(f"brush RLE has {len(data)} bytes, expected 7 or more")
    n_values, value_bits = header >> 21, (header >> 16 & 31) + 1
    sizes = [(header >> shift & 15) + 1 for shift in (12, 8, 4, 0)]
    if n_values != 4 * height * width:
        raise ValueError(
            f"brush RLE holds {n_values} values, expected {4 * height * width} "
            f"(height {height} × width {width} × 4 channels)"
        )
    if value_bits != 8:
        raise ValueError(f"brush RLE has values of {value_bits} bits, expected 8")

    mask = np.zeros(height * width, dtype=np.bool_)
    n_bits, padded = 8 * len(data), data + bytes(8)
    at, start = _HEADER_BITS, 0
    while start < n_values:
        window = int.from_bytes(padded[at >> 3 : (at >> 3) + 5])
        left = 37 - (at & 7)  # bits of the window behind the run's first three
        size = sizes[window >> left & 3]
        count = (window >> (left - size) & ((1 << size) - 1)) + 1
        stop = start + count
        is_run = window >> (left + 2) & 1
        at += 3 + size
        if at + 8 * (1 if is_run else count) > n_bits:
            raise ValueError(f"brush RLE ends after {start} values, expected {n_values}")
        if stop > n_values:
            raise ValueError(f"brush RLE's runs hold {stop} values or more, expected {n_values}")
        # Pixel p's alpha is value 4 p + 3, so [start, stop) has those of start // 4 to stop // 4.
        if is_run:
            mask[start // 4 : stop // 4] = window >> (left - size - 8) & 255 >= 128
            at += 8
        else:
            values = _bytes_at(padded, at, count)
            mask[start // 4 : stop // 4] = values[3 - start % 4 :: 4] >= 128
            at += 8 * count
        start = stop
    return mask.reshape(height, width)


def _pack(codes: NDArray[np.int64], bits: NDArray[np.int64], *, n_values: int) -> list[int]:
    """The header and then codes of ``bits`` bits each (9 to 32), without gaps; as bytes."""
    stops = _HEADER_BITS + np.cumsum(bits)
    starts = stops - bits
    out = np.zeros(int(stops[-1]) // 8 + 1 + 4, dtype=np.uint8)
    header = n_values << 21 | 7 << 16 | 0x237F  # the sizes, less 1, as hexadecimal digits
    out[:7] = np.frombuffer((header << 3).to_bytes(7), dtype=np.uint8)
    first = starts >> 3
    windows = codes << (40 - bits - (starts & 7))
    for byte in range(5):
        # No index comes twice: codes are longer than a byte.
        out[first + byte] |= (windows >> (32 - 8 * byte) & 255).astype(np.uint8)
    rle: list[int] = out[:-4].tolist()
    return rle


def _bytes_at(data: bytes, bit: int, count: int) -> NDArray[np.uint8]:
    """``count`` bytes from any bit on; ``data`` has at least one more."""
    pairs = np.frombuffer(data, dtype=np.uint8, count=count + 1, offset=bit >> 3).astype(np.uint16)
    return ((pairs[:-1] << 8 | pairs[1:]) >> (8 - (bit & 7))).astype(np.uint8)
