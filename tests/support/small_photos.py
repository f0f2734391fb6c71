"""Small generated photos, and a config under which a photo takes milliseconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from prelabel import config
from prelabel.config import Config
from prelabel.data.records import Image, Prediction


def tiny_config(*overrides: str) -> Config:
    """Colour and texture on 7 × 7 patches; groups of photos from four on."""
    return config.load(
        "fast",
        [
            "backbone.name=color-texture",
            "features.size=112",
            "levels.photos_per_group=4",
            "levels.min_group=2",
            *overrides,
        ],
    )


def scene(seed: int, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """A disc of one colour on a noisy ground of another."""
    rng = np.random.default_rng(seed)
    ground, colour = rng.integers(0, 256, (2, 3))
    y, x = np.mgrid[:height, :width]
    centre = rng.uniform(0.3, 0.7, 2) * (height, width)
    inside = np.hypot(y - centre[0], x - centre[1]) < min(height, width) * rng.uniform(0.2, 0.4)
    pixels = np.where(inside[..., None], colour, ground) + rng.integers(-9, 10, (height, width, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def write_scenes(folder: Path, n: int, *, start: int = 0) -> list[Path]:
    """``n`` different photos, some upright and some wide, in two sub-folders."""
    files = []
    for i in range(start, start + n):
        file = folder / "ab"[i % 2] / f"{i:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        size = {"width": 96, "height": 64} if i % 3 else {"width": 64, "height": 96}
        PilImage.fromarray(scene(i, **size)).save(file)
        files.append(file)
    return files


def as_picture(seed: int) -> Image:
    """A scene as it comes from the disk."""
    return Image(pixels=scene(seed), width=96, height=64, digest=f"{seed:032x}")


def without_name(prediction: Prediction) -> tuple[object, ...]:
    """All of a prediction but the photo's name."""
    p = prediction
    return (p.digest, p.width, p.height, p.regions, p.dropped, p.model_version)
