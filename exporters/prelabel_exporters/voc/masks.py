"""Masks as pictures: written as PNGs with VOC's palette, read as other tools write them too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from prelabel.data import images
from prelabel.data.colors import voc_color
from prelabel.data.dataset import Problems
from prelabel.errors import PhotoError
from prelabel.storage.files import open_file

Color = str
"""``red,green,blue``, as in labelmap.txt."""

VALUES: dict[Color, int] = {",".join(map(str, voc_color(value))): value for value in range(256)}
"""The value of each color of VOC's palette."""
MOST_VALUES = 2**16 - 1
"""Different values or colors of a mask, and objects of a photo; more are no labels."""
_PALETTE = [channel for value in range(256) for channel in voc_color(value)]
_FORMATS = ("PNG", "TIFF", "BMP", "GIF")
"""Formats that keep every pixel's value, which JPEG and most of WebP do not."""
_GREY = ("L", "1", "I", "I;16", "I;16B")
_BAND = 4_000_000
"""Pixels in colors that are looked at together."""


@dataclass(frozen=True)
class IndexedMask:
    """A mask whose pixels are numbered by their value or color.

    Attributes:
        indices: uint8 or uint16 (height, width).
        keys: of each index that a pixel has, what the file holds: a value, of a palette or grey, or
            a color packed into 24 bits.
        colors: of each such index, the color; None where the palette ends before or the value has
            more than 8 bits.
        kind: how the file is made.
    """

    indices: NDArray[Any]
    keys: Mapping[int, int]
    colors: Mapping[int, Color | None]
    kind: Literal["palette", "grey", "colors"]


def write_mask(values: NDArray[np.uint8], file: Path) -> None:
    """Write a PNG with VOC's palette; its folder is made."""
    image = Image.fromarray(values)
    image.putpalette(_PALETTE)
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file, format="PNG")


def read_mask(file: Path, problems: Problems) -> IndexedMask | None:
    """Read a mask with a palette, in grey or in colors; None, counted, for one that cannot be read.

    It takes at most about 8 bytes for each pixel.
    """
    try:
        with open_file(file) as data, images.opened(data, _FORMATS) as image:
            if image.mode == "P":
                return _with_palette(image)
            if image.mode in _GREY:
                return _grey(np.asarray(image), is_bit=image.mode == "1")
            if image.mode not in ("RGB", "RGBA"):
                raise ValueError(f"expected a palette, grey or RGB, got mode {image.mode}")
            return _in_colors(image)
    except Exception as error:  # a decoder may fail in any way on a broken file
        missing = isinstance(error, FileNotFoundError)
        known = isinstance(error, PhotoError | ValueError | OSError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        reason = "is not there" if missing else " ".join(reason.split())
        problems.note("masks that cannot be read, left out", f"{file}: {reason}")
        return None


def _with_palette(image: Image.Image) -> IndexedMask:
    indices = np.asarray(image, dtype=np.uint8)
    palette = image.getpalette("RGB") or []
    used = _used(indices)
    colors = {i: ",".join(map(str, palette[3 * i : 3 * i + 3])) or None for i in used}
    return IndexedMask(indices, {i: i for i in used}, colors, "palette")


def _grey(values: NDArray[Any], *, is_bit: bool = False) -> IndexedMask:
    if values.dtype.itemsize > 1:
        found, inverse = np.unique(values, return_inverse=True)
        _check_number(len(found))
        indices = inverse.reshape(values.shape).astype(np.uint16)
        keys = dict(enumerate(int(value) for value in found))
    else:
        indices = values.astype(np.uint8)
        keys = {i: i for i in _used(indices)}
    shown = {i: key * 255 if is_bit else key for i, key in keys.items()}
    colors = {i: f"{v},{v},{v}" if 0 <= v <= 255 else None for i, v in shown.items()}
    return IndexedMask(indices, keys, colors, "grey")


def _in_colors(image: Image.Image) -> IndexedMask:
    image.load()
    rows = max(1, _BAND // image.width)
    bands = [(top, min(top + rows, image.height)) for top in range(0, image.height, rows)]
    is_used = np.zeros(2**24, dtype=np.bool_)
    for top, bottom in bands:
        is_used[_packed(image, top, bottom)] = True
    found = np.flatnonzero(is_used)
    _check_number(len(found))
    index_of = np.zeros(2**24, dtype=np.uint16)
    index_of[found] = np.arange(len(found))
    indices = np.empty((image.height, image.width), dtype=np.uint16)
    for top, bottom in bands:
        indices[top:bottom] = index_of[_packed(image, top, bottom)]
    keys = dict(enumerate(found.tolist()))
    colors = {i: f"{c >> 16},{c >> 8 & 255},{c & 255}" for i, c in keys.items()}
    return IndexedMask(indices, keys, colors, "colors")


def _packed(image: Image.Image, top: int, bottom: int) -> NDArray[np.uint32]:
    """The colors of some rows, red in the highest of three bytes."""
    band = np.asarray(image.crop((0, top, image.width, bottom)).convert("RGB"), dtype=np.uint32)
    factors = np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    return np.asarray(band @ factors, dtype=np.uint32)


def _used(indices: NDArray[np.uint8]) -> list[int]:
    """The values that any pixel has."""
    is_used = np.zeros(256, dtype=np.bool_)
    for row in indices:
        is_used[row] = True
    return [int(i) for i in np.flatnonzero(is_used)]


def _check_number(n: int) -> None:
    if n > MOST_VALUES:
        raise ValueError(f"{n} different values or colors, expected at most {MOST_VALUES}")
