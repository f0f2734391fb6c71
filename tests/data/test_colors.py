"""VOC's colours, against those of its own devkit."""

from __future__ import annotations

from prelabel.data.colors import class_color, voc_color


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
