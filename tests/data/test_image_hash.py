"""The difference hash of a picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prelabel.data.image_hash import N_BITS, difference_hash

Pixels = NDArray[np.uint8]


def grey(values: NDArray[np.generic]) -> Pixels:
    return np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2)


def bits_that_differ(one: NDArray[Any], other: NDArray[Any]) -> int:
    hashes = [difference_hash(np.asarray(pixels, dtype=np.uint8)) for pixels in (one, other)]
    return int(np.unpackbits(hashes[0] ^ hashes[1]).sum())


def test_difference_hash__rows_then_columns() -> None:
    # 72 × 72: a pixel of the 9 × 8 picture is the mean of 8 × 9 pixels, which are equal along y.
    across = grey(np.tile(np.arange(72), (72, 1)))
    ones, zeros = [255] * 8, [0] * 8
    assert difference_hash(across).tolist() == ones + zeros  # lighter to the right, equal downwards
    assert difference_hash(across[:, ::-1]).tolist() == zeros + zeros
    assert difference_hash(across.swapaxes(0, 1)).tolist() == zeros + ones


def test_difference_hash__one_bright_field() -> None:
    # The third of nine columns is bright: lighter than the second, the fourth darker than it.
    columns = np.where(np.arange(72) // 8 == 2, 200, 50)
    rows = [0b01000000] * 8
    assert difference_hash(grey(np.tile(columns, (72, 1)))).tolist() == rows + [0] * 8


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)
def test_difference_hash__any_size(seed: int, height: int, width: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = pixels.copy()
    found = difference_hash(pixels)
    assert found.shape == (N_BITS // 8,)
    assert found.dtype == np.uint8
    assert np.array_equal(pixels, before)
    assert np.array_equal(difference_hash(pixels), found)


def test_difference_hash__copies_have_nearly_the_same() -> None:
    rng = np.random.default_rng(0)
    scene, other = (
        cv2.resize(rng.integers(0, 200, (6, 6, 3), dtype=np.uint8), (400, 300), interpolation=cv2.INTER_CUBIC)
        for _ in range(2)
    )  # fmt: skip
    brighter = np.clip(scene.astype(int) * 5 // 4, 0, 255).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", scene, [cv2.IMWRITE_JPEG_QUALITY, 50])
    smaller = cv2.resize(scene, (200, 150), interpolation=cv2.INTER_AREA)
    for copy in (brighter, cv2.imdecode(encoded, cv2.IMREAD_COLOR), smaller):
        assert bits_that_differ(scene, np.asarray(copy)) <= 8
    # Of different pictures, each bit is the same by chance only: 64 of 128 in the mean.
    assert bits_that_differ(scene, other) > 32
