"""What the values and colors of masks mean: classes, and numbers of objects.

Tools that make PNGs smaller, and some editors, reorder the palette or replace it by grey. The colors
stay, the values do not: where the two contradict each other, the colors decide.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from prelabel_exporters.voc.layout import BACKGROUND, VOID
from prelabel_exporters.voc.masks import VALUES, Color, IndexedMask

_Number = TypeVar("_Number", np.uint8, np.uint16)
_UNKNOWN = -1
BY_COLOR = "masks whose palette is in another order than VOC's, read by their colors"
BY_VALUE = "masks whose palette is not VOC's, read by their values"
NO_CLASS = "masks with values that are not classes, read as background"


@dataclass(frozen=True)
class Classes:
    """``values``: uint8 (height, width), each a class, background or void. ``notes``: of what is to
    be known about how they were found."""

    values: NDArray[np.uint8]
    notes: tuple[str, ...]


def classes_of(
    mask: IndexedMask, values: Mapping[Color, int], names: Collection[int]
) -> Classes | None:
    """The classes of a mask's pixels.

    Args:
        mask: of classes.
        values: of colors, as the list of labels says them; VOC's ``VALUES`` if it has no colors.
        names: the values that are classes.

    Returns:
        None where neither the values nor the colors of a palette can be trusted.
    """
    by_color = {i: values.get(color or "", _UNKNOWN) for i, color in mask.colors.items()}
    if mask.kind == "palette":
        found = _of_palette(mask, by_color, has_own_colors=values is not VALUES)
    else:
        found = _of_others(mask, by_color, names, has_own_colors=values is not VALUES)
    if found is None:
        return None
    meant, note = found
    known = {BACKGROUND, VOID, *names}
    sound = {i: value if value in known else BACKGROUND for i, value in meant.items()}
    notes = (note, NO_CLASS if sound != meant else "")
    return Classes(_mapped(mask, sound, np.uint8), tuple(filter(None, notes)))


def objects_of(mask: IndexedMask) -> NDArray[np.uint16]:
    """Numbers of objects from 1, (height, width), in the order of VOC's palette, other colors after
    it; 0 for background and void."""
    by_color = {
        i: VALUES.get(color or "", 256 + mask.keys[i]) if color else mask.keys[i]
        for i, color in mask.colors.items()
    }
    is_plain = mask.kind == "palette" and (_says_nothing(mask) or _repeats(mask) > 0)
    is_by_value = mask.kind == "grey" or is_plain
    numbers = mask.keys if is_by_value or _is_voc(mask) else by_color
    objects = sorted(set(numbers.values()) - {BACKGROUND, VOID})
    place = {number: i for i, number in enumerate(objects, start=1)}
    return _mapped(mask, {i: place.get(n, 0) for i, n in numbers.items()}, np.uint16)


def _of_palette(
    mask: IndexedMask, by_color: Mapping[int, int], *, has_own_colors: bool
) -> tuple[Mapping[int, int], str] | None:
    """The meaning of each index, and a note if there is one."""
    if _says_nothing(mask) or (_is_voc(mask) and not has_own_colors):
        return mask.keys, ""
    known = [i for i, value in by_color.items() if value != _UNKNOWN]
    if len(known) == len(by_color):
        return by_color, "" if by_color == mask.keys else BY_COLOR
    if _is_voc(mask):
        return mask.keys, ""
    if all(by_color[i] == BACKGROUND for i in known):
        # Nothing is recognized: values are all there is, unless the labels have colors of their own.
        return None if has_own_colors else (mask.keys, BY_VALUE)
    return (by_color, BY_COLOR) if has_own_colors else None


def _of_others(
    mask: IndexedMask,
    by_color: Mapping[int, int],
    names: Collection[int],
    *,
    has_own_colors: bool,
) -> tuple[Mapping[int, int], str]:
    """Like ``_of_palette``, of a mask in grey or in colors."""
    knows_colors = _UNKNOWN not in by_color.values()
    greys = {i: key if mask.kind == "grey" else key & 255 for i, key in mask.keys.items()}
    is_grey = mask.kind == "grey" or all(key == g * 0x10101 for key, g in _both(mask.keys, greys))
    are_classes = set(greys.values()) <= {BACKGROUND, VOID, *names}
    if mask.kind == "colors":
        return (greys, BY_VALUE) if is_grey and are_classes and not knows_colors else (by_color, "")
    if knows_colors and (has_own_colors or not are_classes):
        return by_color, "" if by_color == greys else BY_COLOR
    return greys, ""


def _both(first: Mapping[int, int], second: Mapping[int, int]) -> list[tuple[int, int]]:
    return [(first[i], second[i]) for i in first]


def _is_voc(mask: IndexedMask) -> bool:
    """Whether all used entries of a palette are VOC's, at their places; those that the palette does
    not have say nothing."""
    return mask.kind == "palette" and all(
        color is None or VALUES.get(color) == i for i, color in mask.colors.items()
    )


def _says_nothing(mask: IndexedMask) -> bool:
    """Whether a palette has one color for all values, or is a ramp of grey."""
    is_ramp = all(color in (None, f"{i},{i},{i}") for i, color in mask.colors.items())
    return is_ramp or 0 < _repeats(mask) == len(mask.colors) - 1


def _repeats(mask: IndexedMask) -> int:
    """How many values have the color of an earlier one."""
    colors = [color for color in mask.colors.values() if color is not None]
    return len(colors) - len(set(colors))


def _mapped(mask: IndexedMask, values: Mapping[int, int], dtype: type[_Number]) -> NDArray[_Number]:
    table = np.zeros(max(values, default=0) + 1, dtype=dtype)
    for index, value in values.items():
        table[index] = value
    found: NDArray[_Number] = table[mask.indices]
    return found
