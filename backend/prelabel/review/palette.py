"""Colours of classes: one for each name, others for classes without one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from prelabel.data.colors import class_color, distinct_colors, hex_color, read_hex_color
from prelabel.review.source import Name

_BACKGROUND = "#808080"
_CSS = re.compile(r"#[0-9a-fA-F]{3,8}|[a-zA-Z]{3,30}|rgba?\([0-9., %]{5,40}\)")


class Palette:
    """``labels``: names with their own colours, "" for any; ``used``: further names, in order."""

    def __init__(self, labels: Mapping[str, str], used: Iterable[str]) -> None:
        names = dict.fromkeys([*labels, *used])
        own = {name: color for name, color in labels.items() if _CSS.fullmatch(color)}
        taken = [known for color in own.values() if (known := read_hex_color(color))]
        others = iter(distinct_colors(len(names) + 1, taken=taken))
        self.of_names = {name: own.get(name) or hex_color(next(others)) for name in names}
        self._following = hex_color(next(others))

    def color(self, number: int, name: Name) -> str:
        """The colour of a class, as CSS writes it."""
        if name is None:
            return _BACKGROUND
        if name:
            return self.of_names.get(name) or self._following
        return hex_color(class_color(number % 255))
