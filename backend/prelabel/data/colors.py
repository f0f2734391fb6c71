"""One stable colour per class: the same in the report and in every export."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]
"""Red, green, blue, each in [0, 255]."""
_LIGHTNESS = 60.0
"""Of the first of distinct colours, which is the strongest of about this lightness (0 to 100)."""


def class_color(index: int) -> Color:
    """The colour of class ``index`` (from 0): PASCAL VOC's colour of value ``index + 1``.

    No two classes share one and none is VOC's background black; class 0 is (128, 0, 0).
    """
    return voc_color(index + 1)


def distinct_colors(count: int, *, taken: Sequence[Color] = ()) -> list[Color]:
    """Bright colours, each as different as can be (CIELAB) from those before it and from ``taken``;
    fewer are the beginning of more. Neither dark, pale nor grey, so that masks of them are seen."""
    return list(_distinct_colors(count, tuple(taken)))


@lru_cache(64)
def _distinct_colors(count: int, taken: tuple[Color, ...]) -> tuple[Color, ...]:
    candidates, lab = _bright_candidates()
    found: list[Color] = []
    distance = np.hypot(lab[:, 1], lab[:, 2]) - np.abs(lab[:, 0] - _LIGHTNESS)
    if taken:
        distance = np.full(len(lab), np.inf)
        for color in _lab(np.asarray(taken, dtype=np.float32)):
            distance = np.minimum(distance, np.linalg.norm(lab - color, axis=1))
    for _ in range(count):
        best = int(np.argmax(distance))
        red, green, blue = candidates[best].tolist()
        away = np.linalg.norm(lab - lab[best], axis=1)
        distance = np.minimum(distance, away) if found or taken else away
        found.append((red, green, blue))
    return tuple(found)


def hex_color(color: Color) -> str:
    """A colour as ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def read_hex_color(text: str) -> Color | None:
    """The colour of ``#rrggbb``; None for another text."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        return None
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


@cache
def _bright_candidates() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Colours on a grid, and the same in CIELAB."""
    steps = np.arange(0, 256, 15)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _lab(grid.astype(np.float32))
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    bright = (lab[:, 0] >= 45) & (lab[:, 0] <= 88) & (chroma >= 45)
    return grid[bright], lab[bright]


def _lab(colors: NDArray[np.float32]) -> NDArray[np.float64]:
    """CIELAB (n, 3) of red, green and blue (n, 3) in [0, 255]."""
    converted = cv2.cvtColor((colors / 255).astype(np.float32)[None], cv2.COLOR_RGB2LAB)
    return np.asarray(converted[0], dtype=np.float64)


def css_color(index: int) -> str:
    """The colour of class ``index`` as CSS writes it; black for -1, no class."""
    return "rgb({}, {}, {})".format(*class_color(max(index, -1)))


def voc_color(value: int) -> Color:
    """PASCAL VOC's colour of a pixel value in its segmentation PNGs.

    ``value`` ≥ 0; 0 is background, black; 255, VOC's void, is (224, 224, 192). The value's bits,
    lowest first, are dealt to red, green and blue in turn, and each colour takes its own from the
    highest bit down (VOC devkit, ``VOClabelcolormap``). 6 is binary 110: green's and blue's highest
    bits, (0, 128, 128).
    """
    red = green = blue = 0
    for bit in range(7, -1, -1):
        red |= (value & 1) << bit
        green |= (value >> 1 & 1) << bit
        blue |= (value >> 2 & 1) << bit
        value >>= 3
    return red, green, blue
