"""Backgrounds of the sample scenes, out of the wheels' textures and of quiet parts of photos."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.samples.scenes import MAN, Scene
from prelabel.samples.sources import Rgb, source_picture

Float = NDArray[np.float32]
Color = tuple[int, int, int]

_FAR = 3.5
"""How many times smaller the ground's texture is at the horizon than at the lower edge."""


@dataclass(frozen=True)
class Texture:
    """A picture, or the part of one, that fills a background."""

    file: str
    box: tuple[int, int, int, int] | None = None
    """Left, top, right, lower edge in pixels of the photo; None is all of it."""
    blur: float = 0.0
    """Sigma in pixels of the scene: what is enlarged a lot looks out of focus, not blocky."""
    zoom: float = 1.0
    """How much of what fits is taken, as a fraction."""


TEXTURES = {
    "brick": Texture("brick.png", zoom=0.8),
    "dry_grass": Texture("grass.png"),
    "gravel": Texture("gravel.png", zoom=0.75),
    "lake": Texture("china.jpg", box=(385, 0, 640, 427), blur=1.5),
    "lawn": Texture("grass.png", zoom=0.8),
    "leaves": Texture("flower.jpg", box=(0, 20, 166, 427), blur=1.5),
    "night": Texture("rocket.jpg", box=(0, 130, 305, 427), blur=1.0),
    "paving": Texture("brick.png"),
    "sand": Texture("gravel.png"),
    "shelf": Texture("motorcycle_left.png", box=(590, 0, 741, 290), blur=2.0),
    "stars": Texture("hubble_deep_field.jpg", zoom=0.6),
    "wood": Texture("coffee.png", box=(490, 0, 600, 250), blur=1.0),
}
TONES: dict[str, tuple[Color, Color, Color]] = {
    "brick": ((62, 26, 20), (158, 82, 60), (226, 190, 164)),
    "dry_grass": ((52, 42, 22), (156, 136, 76), (236, 222, 170)),
    "gravel": ((34, 34, 38), (132, 126, 120), (232, 226, 216)),
    "lawn": ((16, 34, 10), (84, 124, 44), (196, 212, 128)),
    "paving": ((48, 46, 50), (124, 112, 104), (214, 202, 188)),
    "sand": ((96, 66, 42), (190, 150, 104), (244, 222, 184)),
    MAN: ((10, 11, 20), (168, 118, 92), (252, 238, 222)),
}
"""Colours of the dark, the middle and the light parts of what is grey in its wheel."""


def toned(pixels: Rgb, name: str) -> Float:
    """A picture (height, width, 3), grey ones in the colours of ``TONES``; still 0–255.

    A grey one's contrast is stretched: its 1st percentile becomes dark, its 99th light.
    """
    if name not in TONES:
        return pixels.astype(np.float32)
    low, high = np.percentile(pixels[..., 0], (1, 99))
    level = np.clip((pixels[..., 0] - low) / (high - low), 0, 1)
    channels = [np.interp(level, (0, 0.5, 1), stops) for stops in zip(*TONES[name], strict=True)]
    return np.stack(channels, axis=-1).astype(np.float32)


def texture(name: str, *, width: int, height: int, rng: np.random.Generator) -> Float:
    """A randomly chosen, perhaps mirrored part of a texture, (height, width, 3) of 0–255."""
    spec = TEXTURES[name]
    pixels = source_picture(spec.file)
    left, top, right, bottom = spec.box or (0, 0, pixels.shape[1], pixels.shape[0])
    pixels = pixels[top:bottom, left:right]
    room_y, room_x = pixels.shape[:2]
    scale = min(room_x / width, room_y / height) * spec.zoom
    part_x, part_y = max(2, int(width * scale)), max(2, int(height * scale))
    x = int(rng.integers(room_x - part_x + 1))
    y = int(rng.integers(room_y - part_y + 1))
    part = pixels[y : y + part_y, x : x + part_x]
    if rng.random() < 0.5:
        part = np.ascontiguousarray(part[:, ::-1])
    smooth = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
    resized = cv2.resize(part, (width, height), interpolation=smooth)
    colors = toned(np.asarray(resized, dtype=np.uint8), name)
    if spec.blur:
        colors = np.asarray(cv2.GaussianBlur(colors, (0, 0), spec.blur), dtype=np.float32)
    return colors


def paint(scene: Scene, rng: np.random.Generator) -> Float:
    """A scene's background, (height, width, 3) of 0–255, unevenly lit as photos are."""
    width, height = scene.size
    if scene.ground is None:
        colors = texture(scene.back, width=width, height=height, rng=rng)
    else:
        line = round(scene.horizon * height)
        above = texture(scene.back, width=width, height=line, rng=rng)
        ground = _ground(scene.ground, width=width, height=height - line, rng=rng)
        colors = np.vstack([above, ground])
        # The far end of the ground is out of focus too.
        soft = cv2.GaussianBlur(colors, (0, 0), 1.5)
        colors[line - 3 : line + 3] = soft[line - 3 : line + 3]
    y, x = np.mgrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j]
    slope_x, slope_y = rng.uniform(-0.25, 0.25, size=2)
    light = 1 + slope_x * x + slope_y * y - 0.3 * (x * x + y * y)
    return np.asarray(np.clip(colors * light[..., None], 0, 255), dtype=np.float32)


def _ground(name: str, *, width: int, height: int, rng: np.random.Generator) -> Float:
    """A plane that runs away from the viewer, (height, width, 3)."""
    near = texture(name, width=width, height=width, rng=rng)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    nearness = (y + 0.5) / height
    size = 1 / _FAR + (1 - 1 / _FAR) * nearness  # 1 at the lower edge, 1 / _FAR at the horizon
    distance = (1 / size - 1) / (_FAR - 1)  # 0 at the lower edge, 1 at the horizon
    map_x = ((x - width / 2) / size + width / 2).astype(np.float32)
    map_y = (width * (1 - 1.2 * distance)).astype(np.float32)
    # What is far away is made of a blurred copy: small, the sharp one would turn to noise.
    sharp, soft = (
        cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        for picture in (near, cv2.GaussianBlur(near, (0, 0), 1.6))
    )
    blend = nearness[..., None]
    return np.asarray(blend * sharp + (1 - blend) * soft, dtype=np.float32)
