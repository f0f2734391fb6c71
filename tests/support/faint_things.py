"""Photos in which what is looked for is faint, and what is not catches the eye: masks that are found
without labels are of the wrong things."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from prelabel.data.masks import Mask

SIDE = 160


@dataclass(frozen=True)
class FaintThing:
    """``mask``: of what is looked for, a swelling hardly redder than its ground. ``glare``: of a bright
    spot, which is not."""

    pixels: NDArray[np.uint8]
    mask: Mask
    glare: Mask

    @property
    def png(self) -> bytes:
        data = io.BytesIO()
        Image.fromarray(self.pixels).save(data, "PNG")
        return data.getvalue()


def faint_thing(seed: int) -> FaintThing:
    """The same for the same seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    ground = np.array([196, 112, 92]) + rng.normal(0, 2, 3)
    pixels = np.broadcast_to(ground, (SIDE, SIDE, 3)).copy()
    pixels *= 1 + 0.05 * np.sin(x / rng.uniform(20, 40))[..., None]
    left = rng.random() < 0.5
    middles = [(0.3, 0.7), (0.7, 0.3)][left]
    cx, gx = (SIDE * (m + rng.uniform(-0.06, 0.06)) for m in middles)
    cy, gy = SIDE * rng.uniform(0.35, 0.65, 2)
    rx, ry = rng.uniform(26, 36, 2)
    mask = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1
    glare = (x - gx) ** 2 + (y - gy) ** 2 < rng.uniform(18, 26) ** 2
    pixels[mask] += (-16, -26, 0)
    pixels[glare] = (238, 240, 250)
    pixels += rng.normal(0, 6, pixels.shape)
    return FaintThing(np.clip(pixels, 0, 255).astype(np.uint8), mask & ~glare, glare)
