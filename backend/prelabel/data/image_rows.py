"""Decoded images that are turned into 8-bit RGB in bands of rows: a copy of all would double their cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

Values = NDArray[Any]
"""Whole numbers or floats, as a file holds them."""
DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
"""Pillow's modes with more than 8 bits; all are grey."""

_BAND = 500_000
"""Pixels of a large photo that are converted at once: those of more than 8 bits as floats, several
times over."""
_PERCENTILES = (0.1, 99.9)
"""What becomes black and white in a photo of more than 8 bits: cameras rarely use the whole range,
and a few hot pixels must not decide it."""
_SAMPLES = 4_000_000
"""Pixels that the percentiles are taken of, about."""


class Rows(Protocol):
    """A decoded image that is read in bands of rows."""

    size: tuple[int, int]

    def rgb(self, top: int, bottom: int) -> PilImage.Image:
        """Rows as RGB, on white."""
        ...


class EightBitRows:
    """A loaded image with 8 bits a channel, or fewer."""

    def __init__(self, image: PilImage.Image) -> None:
        self.size = image.size
        self._image = image

    def rgb(self, top: int, bottom: int) -> PilImage.Image:
        band = self._image.crop((0, top, self.size[0], bottom))
        if not band.has_transparency_data:
            return band.convert("RGB")
        rgba = band.convert("RGBA")
        white = PilImage.new("RGBA", rgba.size, (255, 255, 255, 255))
        return PilImage.alpha_composite(white, rgba).convert("RGB")


class DeepRows:
    """An image with more than 8 bits a channel. ``read``: values of rows, (h, w) or (h, w, 3 or 4)."""

    def __init__(self, size: tuple[int, int], read: Callable[[int, int], Values]) -> None:
        self.size = size
        self._read = read
        self._low, self._high = self._limits()

    @classmethod
    def of_image(cls, image: PilImage.Image) -> DeepRows:
        """Of a loaded grey image."""
        width = image.width
        return cls(image.size, lambda top, bottom: np.asarray(image.crop((0, top, width, bottom))))

    @classmethod
    def of_bgr(cls, values: Values) -> DeepRows:
        """Of an array (h, w, 3 or 4) in OpenCV's order of channels."""
        order = [2, 1, 0, 3][: values.shape[2]]
        size = values.shape[1], values.shape[0]
        return cls(size, lambda top, bottom: values[top:bottom][..., order])

    def rgb(self, top: int, bottom: int) -> PilImage.Image:
        values = self._read(top, bottom)
        largest = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1
        floats = values.astype(np.float32 if values.dtype.itemsize < 4 else np.float64)
        floats = floats.reshape(*values.shape[:2], -1)
        low, high = self._low, self._high
        shown = np.nan_to_num(floats[..., :3], nan=low, posinf=high, neginf=low)
        shown = (shown - low) * (255.0 / (high - low) if high > low else 0.0)
        shown = np.clip(shown, 0.0, 255.0)
        if floats.shape[2] == 4:
            alpha = np.clip(np.nan_to_num(floats[..., 3:]) / largest, 0.0, 1.0)
            shown = shown * alpha + 255.0 * (1.0 - alpha)
        rgb = np.rint(shown).astype(np.uint8)
        return PilImage.fromarray(rgb if values.ndim == 3 else rgb[..., 0]).convert("RGB")

    def _limits(self) -> tuple[float, float]:
        """What becomes black and white, of a sample of all rows."""
        width, height = self.size
        step = max(1, width * height // _SAMPLES)
        while step > 1 and math.gcd(step, width) > 1:  # else the same columns of every row
            step += 1
        parts = []
        for top, bottom in bands(self.size):
            values = self._read(top, bottom).reshape((bottom - top) * width, -1)[::step, :3]
            parts.append(values[np.isfinite(values)])
        values = np.concatenate(parts)
        if not values.size:
            return 0.0, 0.0
        low, high = np.percentile(values, _PERCENTILES, method="inverted_cdf").tolist()
        return (low, high) if low < high else (float(values.min()), float(values.max()))


def bands(size: tuple[int, int], *, multiple: int = 1) -> Iterator[tuple[int, int]]:
    """First and last row of each piece of an image; pieces have a multiple of that many rows."""
    width, height = size
    rows = multiple * max(1, _BAND // (multiple * width))
    for top in range(0, height, rows):
        yield top, min(top + rows, height)
