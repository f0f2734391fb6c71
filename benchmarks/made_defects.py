"""Photos of a real texture, some with a made defect, in the layout of the other sets.

    python benchmarks/made_defects.py FOLDER

Crops of scikit-image's texture of grass, turned and lit differently; on every third, a scratch or a worn
spot is drawn. What they look like is made, so that figures on them say whether a rule finds what is rare,
not how well it finds the defects of a factory.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from skimage import data

PHOTOS, SIDE = 48, 320


def write_set(folder: Path) -> Path:
    """Write images/, masks/ and classes.json. Returns the folder."""
    rng = np.random.default_rng(0)
    texture = np.repeat(data.grass()[..., None], 3, axis=2)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(PHOTOS):
        top, left = rng.integers(0, len(texture) - SIDE, 2)
        turned = np.rot90(texture[top : top + SIDE, left : left + SIDE], int(rng.integers(4)))
        photo = np.clip(turned * rng.uniform(0.8, 1.2), 0, 255).astype(np.uint8)
        mask: NDArray[np.uint8] = np.zeros((SIDE, SIDE), dtype=np.uint8)
        if i % 3 == 0:
            photo, mask = _with_defect(photo, mask, rng, scratch=bool(i % 2))
        PilImage.fromarray(photo).save(folder / "images" / f"{i:02}.png")
        PilImage.fromarray(mask).save(folder / "masks" / f"{i:02}.png")
    (folder / "classes.json").write_text(json.dumps({"0": "background", "1": "defect"}))
    return folder


def _with_defect(
    photo: NDArray[np.uint8], mask: NDArray[np.uint8], rng: np.random.Generator, *, scratch: bool
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The photo and its mask with a bright scratch, or a blurred spot."""
    x, y = (int(v) for v in rng.integers(80, SIDE - 80, 2))
    if scratch:
        angle, half = rng.uniform(0, np.pi), 60
        ends = [
            (round(x + s * half * np.cos(angle)), round(y + s * half * np.sin(angle)))
            for s in (-1, 1)
        ]
        drawn = np.asarray(cv2.line(mask, ends[0], ends[1], 1, 14), dtype=np.uint8)
        return np.where(drawn[..., None] > 0, np.uint8(215), photo), drawn
    axes = (int(rng.integers(28, 45)), int(rng.integers(28, 45)))
    drawn = np.asarray(cv2.ellipse(mask, (x, y), axes, 0, 0, 360, 1, -1), dtype=np.uint8)
    worn = cv2.GaussianBlur(photo, (0, 0), 6)
    return np.where(drawn[..., None] > 0, worn, photo), drawn


if __name__ == "__main__":
    write_set(Path(sys.argv[1]))
