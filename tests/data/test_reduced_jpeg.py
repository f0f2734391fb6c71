"""A JPEG that is decoded at a reduced size gives the pixels, and the regions, of one that is not."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from prelabel.data import image_decoding
from prelabel.data.images import WORKING_SIDE, decode_image
from prelabel_plugins.refiners.guided_filter import GuidedFilter
from support.hostile_photos import encoded


@pytest.fixture(scope="module")
def large() -> Image.Image:
    """A photo of 12 megapixels, which JPEG decodes at a half."""
    data = pytest.importorskip("skimage.data", reason="the extra samples is not installed")
    return Image.fromarray(data.astronaut()).resize((3000, 4000), Image.Resampling.BICUBIC)


def _both(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The photo decoded at a reduced size, and from its full size."""
    reduced: list[tuple[int, int]] = []
    reduce = image_decoding._reduce

    def noted(image: Image.Image, own: bytes, side: int) -> None:
        reduce(image, own, side)
        reduced.append(image.size)

    monkeypatch.setattr(image_decoding, "_reduce", noted)
    found = decode_image(data)
    assert max(reduced[0]) < 4000  # the decoder had less to do
    monkeypatch.setattr(image_decoding, "_reduce", lambda *_: None)
    whole = decode_image(data)
    assert (found.width, found.height) == (whole.width, whole.height) == (3000, 4000)
    assert max(found.pixels.shape) == WORKING_SIDE
    return found.pixels, whole.pixels


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}),
        ("RGB", {"progressive": True}),
        ("L", {}),
        ("CMYK", {}),
        ("RGB", {"quality": 60}),
    ],
)
def test_decode__a_reduced_jpeg_has_the_pixels_of_the_whole(
    large: Image.Image, monkeypatch: pytest.MonkeyPatch, mode: str, options: dict[str, Any]
) -> None:
    data = encoded(large.convert(mode), "JPEG", **options)
    found, whole = _both(data, monkeypatch)
    apart = np.abs(found.astype(int) - whole)
    assert apart.mean() < 1.0
    assert np.quantile(apart, 0.99) <= 12  # at sharp edges
    (across, down), _ = cv2.phaseCorrelate(*(own[..., 1].astype(float) for own in (whole, found)))
    assert np.hypot(across, down) < 0.05  # of a pixel: the photo is not moved


def test_decode__a_reduced_jpeg_has_the_masks_of_the_whole(
    large: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, whole = _both(encoded(large, "JPEG", quality=90), monkeypatch)
    height, width = found.shape[:2]
    y, x = np.mgrid[:height, :width]
    inside = np.hypot((y - height * 0.45) / height, (x - width * 0.45) / width)
    coarse = np.clip(1.5 - 4 * inside, 0, 1).astype(np.float32)  # the face and what is around it
    one, other = (GuidedFilter().refine(coarse, pixels) > 0.5 for pixels in (found, whole))
    assert 0.1 < one.mean() < 0.5
    assert np.count_nonzero(one & other) / np.count_nonzero(one | other) > 0.99
