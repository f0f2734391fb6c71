"""VOC's colours, against those of its own devkit; colours that differ."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from prelabel.data.colors import (
    class_color,
    distinct_colors,
    hex_color,
    read_hex_color,
    voc_color,
)


def test_voc_color__those_of_the_devkit() -> None:
    # VOClabelcolormap(256), as the devkit's page lists it: background, aeroplane, … tvmonitor, void.
    listed = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        3: (128, 128, 0),
        8: (64, 0, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
        255: (224, 224, 192),
    }
    assert {value: voc_color(value) for value in listed} == listed


def test_class_color__no_two_alike_and_none_black() -> None:
    colors = [class_color(index) for index in range(254)]
    assert colors[0] == (128, 0, 0)
    assert len({(0, 0, 0), *colors}) == 255


@pytest.mark.parametrize(("count", "least"), [(5, 80), (10, 45), (20, 30)])
def test_distinct_colors__differ_clearly(count: int, least: float) -> None:
    # 2.3 is a difference in CIELAB that people just see; Label Studio gives cat and motorcycle one.
    colors = distinct_colors(count)
    rgb = np.asarray([colors], dtype=np.float32) / 255
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0]
    apart = [np.linalg.norm(a - b) for i, a in enumerate(lab) for b in lab[:i]]
    assert min(apart) > least
    assert min(np.hypot(lab[:, 1], lab[:, 2])) > 40  # none is grey
    assert distinct_colors(count + 5)[:count] == colors
    others = distinct_colors(3, taken=colors)
    assert not set(others) & set(colors)


def test_hex_color__there_and_back() -> None:
    assert hex_color((255, 0, 128)) == "#ff0080"
    assert read_hex_color("#FF0080") == (255, 0, 128)
    assert read_hex_color("red") is None
