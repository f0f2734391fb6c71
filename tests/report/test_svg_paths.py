"""Masks as SVG paths: what they show, filled by scikit-image."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PilImage
from skimage.draw import polygon2mask

from builders import box
from prelabel.report.svg_paths import svg_path, view_size


def subpaths(path: str) -> list[NDArray[np.int_]]:
    """Corners (n, 2) of each closed part of a path of M, l, z."""
    parts = []
    for part in path.split("z")[:-1]:
        numbers = np.array([int(n) for n in re.findall(r"-?\d+", part)]).reshape(-1, 2)
        parts.append(np.cumsum(numbers, axis=0))
    return parts


def drawn(path: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The path filled by the even-odd rule, by scikit-image; pixel centres at + 0.5."""
    result = np.zeros(shape, dtype=np.bool_)
    for corners in subpaths(path):
        result ^= polygon2mask(shape, corners[:, ::-1] - 0.5)
    return result


def test_svg_path__box_is_exact() -> None:
    # 720 × 540 is the view's own size: a unit is a pixel, edges lie between pixels.
    path = svg_path(box(10, 20, 20, 30, photo=(540, 720)))
    assert path == "M10 20l0 30 20 0 0-30z"


def test_svg_path__hole_is_a_second_part() -> None:
    mask = np.zeros((540, 720), dtype=np.bool_)
    mask[100:200, 100:200] = True
    mask[140:160, 130:180] = False
    path = svg_path(mask)
    assert len(subpaths(path)) == 2
    # The hole's outline may cut its corners by half a pixel each.
    assert np.count_nonzero(drawn(path, (540, 720)) != mask) <= 4


def test_svg_path__whole_photo_of_one_pixel() -> None:
    assert svg_path(box(0, 0, 1, 1, photo=(1, 1))) == "M0 0l0 720 720 0 0-720z"


def test_svg_path__empty_mask() -> None:
    assert svg_path(np.zeros((5, 7), dtype=np.bool_)) == ""


@pytest.mark.parametrize("size", [(500, 375), (333, 500), (720, 720), (4000, 3000)])
def test_svg_path__area_and_shape_of_a_ragged_mask(size: tuple[int, int]) -> None:
    width, height = size
    rng = np.random.default_rng(0)
    coarse = rng.random((8, 8)).astype(np.float32)
    smooth = PilImage.fromarray(coarse).resize(size, PilImage.Resampling.BICUBIC)
    mask = np.asarray(smooth) > 0.5
    view = view_size(width, height)
    path = svg_path(mask)
    expected = np.asarray(PilImage.fromarray(mask).resize(view, PilImage.Resampling.BOX))
    found = drawn(path, view[::-1])
    assert found.sum() / expected.sum() == pytest.approx(1, abs=0.01)
    assert (found & expected).sum() / (found | expected).sum() > 0.97
    assert len(path) < 4000


def test_view_size() -> None:
    assert view_size(500, 375) == (720, 540)
    assert view_size(10, 10_000) == (1, 720)
