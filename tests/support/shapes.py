"""Photos of one simple thing on plain ground, with the truth, as files of several kinds."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Mask = NDArray[np.bool_]
Pixels = NDArray[np.uint8]
Kind = Literal["ball", "box", "ring"]
_GROUND, _RED, _BLUE = (90, 120, 80), (200, 40, 30), (40, 60, 200)


@dataclass(frozen=True)
class Shape:
    """``pixels``: uint8 (height, width, 3). ``mask``: bool (height, width), the thing's."""

    kind: Kind
    pixels: Pixels
    mask: Mask


def shape(kind: Kind, seed: int, *, width: int = 200, height: int = 150) -> Shape:
    """A red ball, a blue box or a red ring near the middle, in shades that change with the seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    centre_y, centre_x = rng.uniform(0.42, 0.58, 2) * (height, width)
    radius = min(width, height) * rng.uniform(0.26, 0.34)
    distance = np.hypot(y - centre_y, x - centre_x)
    if kind == "ball":
        mask = distance < radius
    elif kind == "ring":
        mask = (distance < 1.3 * radius) & (distance > 0.6 * radius)
    else:
        mask = (abs(y - centre_y) < 0.8 * radius) & (abs(x - centre_x) < 1.1 * radius)
    ground, thing = (
        np.array(colour) + rng.integers(-12, 13, 3)
        for colour in (_GROUND, _BLUE if kind == "box" else _RED)
    )
    noise = rng.integers(-9, 10, (height, width, 3))
    pixels = np.where(mask[..., None], thing, ground) + noise
    return Shape(kind, pixels.clip(0, 255).astype(np.uint8), mask)


def as_png(made: Shape) -> bytes:
    """As it is."""
    return _file(Image.fromarray(made.pixels), "PNG")


def as_rotated_jpeg(made: Shape) -> bytes:
    """Stored lying on its left side; EXIF says how to turn it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer turns it clockwise by a quarter
    lying = np.ascontiguousarray(np.rot90(made.pixels))
    return _file(Image.fromarray(lying), "JPEG", exif=exif, quality=95)


def as_png_with_alpha(made: Shape) -> bytes:
    """A third of the ground shows through, and is black underneath."""
    height, width = made.mask.shape
    alpha = np.full((height, width), 255, dtype=np.uint8)
    alpha[:, : width // 3][~made.mask[:, : width // 3]] = 0
    pixels = np.where(alpha[..., None] > 0, made.pixels, 0).astype(np.uint8)
    return _file(Image.fromarray(np.dstack([pixels, alpha])), "PNG")


def _file(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
