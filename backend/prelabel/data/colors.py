"""One stable colour per class: the same in the report and in every export."""

from __future__ import annotations

import colorsys

Color = tuple[int, int, int]
"""Red, green, blue, each in [0, 255]."""


def class_color(index: int) -> Color:
    """The colour of class ``index`` (from 0): PASCAL VOC's colour of value ``index + 1``.

    No two classes share one and none is VOC's background black; class 0 is (128, 0, 0).
    """
    return voc_color(index + 1)


def bright_color(index: int) -> Color:
    """A colour for ``index`` ≥ 0 that is seen on most photos: full and bright, the hues a golden
    angle apart, so that those of near numbers differ most. 0 is (255, 38, 38)."""
    hue = index * 0.618033988749895 % 1.0
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.85, 1.0))
    return red, green, blue


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
