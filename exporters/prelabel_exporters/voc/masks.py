"""Masks as PNGs: written with VOC's palette, read with it or in colors, as other tools write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from prelabel.data import images
from prelabel.data.colors import voc_color
from prelabel.data.dataset import Problems
from prelabel.errors import PhotoError

Values = NDArray[np.integer[Any]]
"""The value of each pixel, (height, width)."""
Color = str
"""``red,green,blue``, as in labelmap.txt."""

VALUES: dict[Color, int] = {",".join(map(str, voc_color(value))): value for value in range(256)}
"""The value of each color of VOC's palette."""
_PALETTE = [channel for value in range(256) for channel in voc_color(value)]


def write_mask(values: NDArray[np.uint8], file: Path) -> None:
    """Write a PNG with VOC's palette; its folder is made."""
    image = Image.fromarray(values)
    image.putpalette(_PALETTE)
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file, format="PNG")


def read_mask(file: Path, value_of: Callable[[Color], int], problems: Problems) -> Values | None:
    """Read a PNG with a palette, in grey or in colors; None, counted, for one that cannot be read.

    ``value_of``: the value of a color.
    """
    try:
        with file.open("rb") as data, images.opened(data, ("PNG",)) as image:
            if image.mode in ("P", "L"):
                return np.array(image, dtype=np.uint8)
            if image.mode in ("1", "I", "I;16"):
                return np.array(image, dtype=np.int64)
            if image.mode not in ("RGB", "RGBA"):
                raise ValueError(f"expected a palette or RGB, got mode {image.mode}")
            pixels = np.array(image.convert("RGB"), dtype=np.int64)
    except (OSError, ValueError, SyntaxError, PhotoError) as error:
        reason = "is not there" if isinstance(error, FileNotFoundError) else str(error)
        problems.note("masks that cannot be read, left out", f"{file}: {reason}")
        return None
    packed = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    found, index = np.unique(packed, return_inverse=True)
    values = [value_of(f"{c >> 16},{c >> 8 & 255},{c & 255}") for c in found.tolist()]
    return np.array(values, dtype=np.int64)[index].reshape(packed.shape)


def object_number(color: Color) -> int:
    """The number of an object: the color's value in the palette, or one above 255."""
    red, green, blue = (int(channel) for channel in color.split(","))
    return VALUES.get(color, 256 + (red << 16 | green << 8 | blue))
