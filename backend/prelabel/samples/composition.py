"""Scenes: cut-outs on backgrounds, and exactly which pixels each of them covers."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Mask
from prelabel.samples.backgrounds import paint, texture, toned
from prelabel.samples.scenes import Item, Ledge, Scene
from prelabel.samples.sources import Outline, Rgb, as_arrays, fill, outlines, source_picture

Float = NDArray[np.float32]
Points = NDArray[np.float64]  # (n, 2), x and y in pixels

_SEED = 20240607
_OUTSIDE = 4.0
"""Pixels by which an edge that its photo cut off lies outside the scene."""


@dataclass(frozen=True)
class Composition:
    """A scene as pixels."""

    photo: Rgb
    """uint8 (height, width, 3)."""
    objects: list[tuple[str, Mask]]
    """Class and visible pixels, bool (height, width), of each object."""


@dataclass(frozen=True)
class _Layer:
    colors: Float  # (height, width, 3), 0–255
    alpha: Float  # (height, width), 0–1


def compose(scene: Scene) -> Composition:
    """Draw a scene, back to front. The same scene gives the same pixels every time.

    An object's mask is where at least half of a pixel's colour is the object's: where its alpha,
    less what lies in front of it, is 0.5 or more.
    """
    # A scene's own seed: adding a scene leaves the others as they are.
    rng = np.random.default_rng([_SEED, zlib.crc32(scene.name.encode())])
    width, height = scene.size
    canvas = paint(scene, rng)
    seen: list[tuple[str, Float]] = []
    for i, piece in enumerate(scene.pieces):
        if isinstance(piece, Ledge):
            layer = _draw_ledge(piece, width=width, height=height, rng=rng)
        else:
            matrix, rings = place(piece, scene.size, in_front=scene.pieces[i + 1 :])
            layer = _draw_item(piece, matrix, rings, width=width, height=height, rng=rng)
            if piece.shadow:
                canvas *= 1 - _shadow(layer.alpha)[..., None]
        _lay(layer, over=canvas)
        seen = [(label, share * (1 - layer.alpha)) for label, share in seen]
        if isinstance(piece, Item):
            seen.append((outlines()[piece.file].label, layer.alpha))
    objects = [(label, share >= 0.5) for label, share in seen]
    return Composition(photo=_to_rgb(canvas), objects=objects)


def place(
    item: Item, size: tuple[int, int], *, in_front: tuple[Item | Ledge, ...] = ()
) -> tuple[Points, list[Points]]:
    """The map from an item's photo to a scene of this width and height, and its rings there.

    The map is (2, 3), for x and y in pixels. Where the photo cuts its object off (a cat's ears,
    an astronaut's waist), that edge is moved out of the scene, or below the ledge in front.
    """
    width, height = size
    outline = outlines()[item.file]
    rings = as_arrays(outline.rings)
    low, high = rings[0].min(axis=0), rings[0].max(axis=0)
    scale = item.height * height / (high[1] - low[1])
    cos, sin = np.cos(np.deg2rad(item.turn)), np.sin(np.deg2rad(item.turn))
    matrix = np.array([[cos, -sin], [sin, cos]]) * scale
    if item.mirrored:
        matrix[:, 0] *= -1
    shift = np.array([item.x * width, item.y * height]) - matrix @ ((low + high) / 2)

    floor = min((p.top * height + p.wave for p in in_front if isinstance(p, Ledge)), default=height)
    for side, there in cut_sides(outline).items():
        edge = rings[0][there] @ matrix.T + shift
        if side == "bottom":
            shift[1] += max(0.0, floor + _OUTSIDE - edge[:, 1].min())
        elif side == "top":
            shift[1] -= max(0.0, edge[:, 1].max() + _OUTSIDE)
        elif (side == "left") != item.mirrored:
            shift[0] -= max(0.0, edge[:, 0].max() + _OUTSIDE)
        else:
            shift[0] += max(0.0, width + _OUTSIDE - edge[:, 0].min())
    return np.hstack([matrix, shift[:, None]]), [ring @ matrix.T + shift for ring in rings]


def cut_sides(outline: Outline) -> dict[str, NDArray[np.bool_]]:
    """Sides along a tenth or more of which the photo cuts the object off: its vertices there."""
    height, width = source_picture(outline.file).shape[:2]
    x, y = np.array(outline.rings[0]).T
    edges = {
        "left": (x == 0, y, height),
        "right": (x == width, y, height),
        "bottom": (y == height, x, width),
        "top": (y == 0, x, width),
    }
    return {
        side: there
        for side, (there, along, length) in edges.items()
        if there.any() and np.ptp(along[there]) >= length / 10
    }


def _draw_item(
    item: Item,
    matrix: Points,
    rings: list[Points],
    *,
    width: int,
    height: int,
    rng: np.random.Generator,
) -> _Layer:
    pixels = toned(source_picture(item.file), item.file)
    scale = float(np.hypot(*matrix[:, 0]))
    # warpAffine takes single pixels: what gets smaller is averaged beforehand.
    small = cv2.resize(
        pixels,
        None,
        fx=min(1.0, scale),
        fy=min(1.0, scale),
        interpolation=cv2.INTER_AREA,
    )
    ratio = np.array(small.shape[1::-1]) / pixels.shape[1::-1]
    linear = matrix[:, :2] / ratio
    # OpenCV's coordinates are 0 in the middle of the first pixel, the rings' at its corner.
    offset = matrix[:, 2] + linear @ [0.5, 0.5] - 0.5
    moved = cv2.warpAffine(
        small,
        np.hstack([linear, offset[:, None]]),
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    gain = rng.uniform(0.9, 1.1) * rng.uniform(0.97, 1.03, size=3)
    # A little inside the line as drawn, so that no rim of the old background comes along.
    alpha = fill(rings, height=height, width=width, shrink=scale, soften=0.6)
    return _Layer(colors=np.clip(moved * gain, 0, 255).astype(np.float32), alpha=alpha)


def _draw_ledge(ledge: Ledge, *, width: int, height: int, rng: np.random.Generator) -> _Layer:
    colors = texture(ledge.texture, width=width, height=height, rng=rng)
    phases, periods = rng.uniform(0, 2 * np.pi, size=4), rng.uniform(20, 120, size=4)
    waves = np.sin(np.arange(width)[:, None] * (2 * np.pi / periods) + phases).mean(axis=1)
    edge = ledge.top * height + ledge.wave * waves  # (width,)
    depth = np.arange(height)[:, None] + 0.5 - edge
    # Lit from above: its rim is brighter than its front.
    light = 0.85 + 0.3 * np.exp(-np.maximum(depth, 0) / 12)
    alpha = np.clip(depth + 0.5, 0, 1).astype(np.float32)
    return _Layer(colors=np.clip(colors * light[..., None], 0, 255).astype(np.float32), alpha=alpha)


def _shadow(alpha: Float) -> Float:
    """How much of the light is lost, (height, width): below and around the object's lower end."""
    rows = np.flatnonzero(alpha.max(axis=1) > 0.5)
    top, bottom = int(rows[0]), int(rows[-1])
    tall = bottom - top
    low = alpha.copy()
    low[: bottom - tall // 3] = 0
    low = np.roll(low, tall // 40, axis=0)
    return np.asarray(0.55 * cv2.GaussianBlur(low, (0, 0), max(1.0, tall / 30)))


def _lay(layer: _Layer, *, over: Float) -> None:
    over += layer.alpha[..., None] * (layer.colors - over)


def _to_rgb(colors: Float) -> Rgb:
    return np.clip(np.rint(colors), 0, 255).astype(np.uint8)
