"""The pictures the samples are made of, and the outlines that were drawn over them by hand."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from prelabel.data.masks import Mask
from prelabel.data.polygons import fill_polygons
from prelabel.errors import UserError
from prelabel.extras import install_command

Rgb = NDArray[np.uint8]
Ring = tuple[tuple[float, float], ...]
"""A closed line of x, y in pixels of its photo: pixel (3, 5) covers 3 to 4 and 5 to 6."""

_FOLDERS = {
    "scikit-image": ("skimage", Path("data"), install_command("samples")),
    "scikit-learn": ("sklearn", Path("datasets/images"), "pip install scikit-learn"),
}
_FROM_SKLEARN = ("china.jpg", "flower.jpg")
_FINE = 4
"""Outlines are filled on a grid this many times finer than the picture."""


@dataclass(frozen=True)
class Outline:
    """What is to be seen in one photo of a wheel."""

    file: str
    label: str
    rings: tuple[Ring, ...]
    """The object that scenes are made with: its outer ring, then its holes."""
    also: tuple[tuple[Ring, ...], ...]
    """More objects of that class, annotated in the photo but never cut out."""


@cache
def outlines() -> dict[str, Outline]:
    """The hand-drawn outlines by photo, from ``outlines.json``.

    A person's outline goes around what the person holds (helmet, camera), a cup's around its
    saucer and spoon, a motorcycle's around its wheels, the gaps between their spokes included.
    """
    text = files("prelabel.samples").joinpath("outlines.json").read_text(encoding="utf-8")
    return {
        file: Outline(
            file=file,
            label=drawn["class"],
            rings=_rings(drawn["rings"]),
            also=tuple(_rings(rings) for rings in drawn.get("also", ())),
        )
        for file, drawn in json.loads(text).items()
    }


def source_bytes(file: str) -> bytes:
    """A photo as its wheel holds it. Raises UserError if it is not there."""
    origin = "scikit-learn" if file in _FROM_SKLEARN else "scikit-image"
    module, folder, install = _FOLDERS[origin]
    # Found, not imported: scikit-image takes a second to import, and only its files are needed.
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"{origin} is not installed, and the sample photos come from its wheel: {install}"
        )
    path = Path(spec.submodule_search_locations[0]) / folder / file
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}), and the sample photos need it; "
            f"reinstall {origin} from a wheel: {install}"
        ) from error


@cache
def source_picture(file: str) -> Rgb:
    """A photo of a wheel, decoded: uint8 (height, width, 3) RGB. Not to be written to."""
    with Image.open(io.BytesIO(source_bytes(file))) as image:
        pixels = np.asarray(image.convert("RGB"))
    pixels.setflags(write=False)
    return pixels


def fill(
    rings: Sequence[NDArray[np.float64]],
    *,
    height: int,
    width: int,
    shrink: float = 0.0,
    soften: float = 0.0,
) -> NDArray[np.float32]:
    """How much of each pixel is inside the rings, 0–1, (height, width); even-odd for holes.

    ``rings``: (n, 2) each, x and y in pixels, may reach outside. ``shrink`` moves the edge
    inwards by this many pixels (not at the picture's border), ``soften`` blurs it (sigma, pixels).
    """
    fine = fill_polygons(
        [ring * _FINE for ring in rings], height=height * _FINE, width=width * _FINE
    )
    grid = fine.astype(np.float32)
    if shrink > 0:
        radius = max(1, round(shrink * _FINE))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        grid = np.asarray(cv2.erode(grid, disc), dtype=np.float32)
    share = cv2.resize(grid, (width, height), interpolation=cv2.INTER_AREA)
    if soften > 0:
        share = cv2.GaussianBlur(share, (0, 0), soften)
    return np.asarray(share, dtype=np.float32)


def drawn_masks(outline: Outline) -> list[Mask]:
    """The objects of a photo as it is: bool (height, width) each, inside from half a pixel on."""
    height, width = source_picture(outline.file).shape[:2]
    objects = [outline.rings, *outline.also]
    return [fill(as_arrays(rings), height=height, width=width) >= 0.5 for rings in objects]


def as_arrays(rings: Sequence[Ring]) -> list[NDArray[np.float64]]:
    """Rings as arrays (n, 2)."""
    return [np.array(ring, dtype=np.float64) for ring in rings]


def _rings(lists: list[list[list[float]]]) -> tuple[Ring, ...]:
    return tuple(tuple((float(x), float(y)) for x, y in ring) for ring in lists)
