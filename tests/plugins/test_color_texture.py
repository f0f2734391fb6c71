"""The backbone without weights, by hand and against scikit-image."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.color import rgb2lab

from prelabel.data.records import PatchFeatures
from prelabel.strategies.registry import make

Float = NDArray[np.float32]


def _extract(image: NDArray[np.uint8], patch: int) -> PatchFeatures:
    answer: PatchFeatures = make("backbone", "color-texture", {"patch": patch}).extract(
        image[None]
    )[0]
    return answer


def test_color_texture__plain_red() -> None:
    answer = _extract(np.full((8, 12, 3), (255, 0, 0), dtype=np.uint8), 4)
    red = [0.5324, 0.8009, 0.6720]  # CIE Lab of sRGB red under D65, over 100
    assert answer.patches.shape == (2, 3, 17)
    assert np.allclose(answer.patches[..., 0:3], red, atol=2e-3)  # mean
    assert np.allclose(answer.patches[..., 3:6], 0, atol=2e-3)  # spread
    assert np.allclose(answer.patches[..., 6:9], red, atol=2e-3)  # around
    assert not answer.patches[..., 9:].any()  # no gradient
    assert (answer.attention == 1).all()  # nothing stands out
    assert np.allclose(answer.cls, answer.patches[0, 0], atol=2e-3)


def test_color_texture__a_white_patch_amid_black_ones() -> None:
    image = np.zeros((12, 12, 3), dtype=np.uint8)
    image[4:8, 4:8] = 255
    answer = _extract(image, 4)
    # The frame is black; only the middle differs from it, and the mean of nine is 1.
    assert np.allclose(answer.attention, [[0, 0, 0], [0, 9, 0], [0, 0, 0]], atol=0.01)
    assert np.allclose(answer.patches[1, 1, 6], 1 / 9, atol=1e-3)  # around it: one of nine is white


def test_color_texture__spread_and_orientation() -> None:
    image = np.zeros((8, 16, 3), dtype=np.uint8)
    image[:, 4:8] = 255  # left patch: an upright edge in its middle
    image[4:, 8:] = 255  # right patch: a level edge in its middle
    left, right = _extract(image, 8).patches[0].astype(np.float32)
    assert np.allclose([left[0], left[3]], 0.5, atol=1e-3)  # half white: mean and spread of L
    assert np.allclose([right[0], right[3]], 0.5, atol=1e-3)
    assert left[9:].argmax() == 0  # the gradient points along x
    assert right[9:].argmax() == 4  # and along y: 90 of 180 degrees


@given(rows=st.integers(1, 4), columns=st.integers(1, 4), patch=st.integers(2, 9))
@settings(max_examples=20)
def test_color_texture__mean_colour_is_scikit_images(rows: int, columns: int, patch: int) -> None:
    rng = np.random.default_rng(rows * 100 + columns * 10 + patch)
    image = rng.integers(0, 256, (rows * patch, columns * patch, 3), dtype=np.uint8)
    lab = rgb2lab(image).reshape(rows, patch, columns, patch, 3) / 100
    answer = _extract(image, patch)
    assert np.allclose(answer.patches[..., :3], lab.mean(axis=(1, 3)), atol=4e-3)
    assert np.allclose(answer.patches[..., 3:6], lab.std(axis=(1, 3)), atol=4e-3)
    assert answer.attention.min() >= 0
    assert abs(float(answer.attention.mean(dtype=np.float64)) - 1) < 2e-3
