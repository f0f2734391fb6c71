"""Colours of classes: one for each name, others for classes without one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from prelabel.data.colors import bright_color, class_color
from prelabel.review.source import Name

_BACKGROUND = "#808080"
_CSS = re.compile(r"#[0-9a-fA-F]{3,8}|[a-zA-Z]{3,30}|rgba?\([0-9., %]{5,40}\)")


class Palette:
    """``labels``: names with their own colours, "" for any; ``used``: further names, in order."""

    def __init__(self, labels: Mapping[str, str], used: Iterable[str]) -> None:
        names = dict.fromkeys([*labels, *used])
        self.of_names = {
            name: labels[name] if _CSS.fullmatch(labels.get(name, "")) else _bright(i)
            for i, name in enumerate(names)
        }

    def color(self, number: int, name: Name) -> str:
        """The colour of a class, as CSS writes it."""
        if name is None:
            return _BACKGROUND
        if name:
            return self.of_names.get(name) or _bright(len(self.of_names))
        return "#{:02x}{:02x}{:02x}".format(*class_color(number % 255))


def _bright(index: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*bright_color(index))
