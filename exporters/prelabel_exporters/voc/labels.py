"""The list of labels: labels.txt and labelmap.txt, and the lists that other tools write."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prelabel.data.colors import voc_color
from prelabel.data.dataset import Problems
from prelabel.errors import UserError
from prelabel_exporters.common import read_text, text_file, whole_number
from prelabel_exporters.voc.layout import BACKGROUND, VOID
from prelabel_exporters.voc.masks import VALUES, Color

OWN, LABELMAP, LABELME = "labels.txt", "labelmap.txt", "class_names.txt"
"""Ours, CVAT's and datumaro's, and labelme's."""
VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
"""VOC's own classes, of the values 1 to 20; for a folder without a list of labels."""


@dataclass(frozen=True)
class Labels:
    """``names``: of the classes by value, from 1. ``values``: by color, for masks in colors."""

    names: Mapping[int, str]
    values: Mapping[Color, int]

    @property
    def classes(self) -> tuple[str, ...]:
        """The name of each class id; values in between that have no name get one."""
        highest = max(self.names)
        return tuple(self.names.get(value, f"object {value}") for value in range(1, highest + 1))


def read_labels(root: Path, problems: Problems) -> Labels:
    """What the folder's list of labels says. Raises UserError."""
    file = next((f for n in (OWN, LABELME, LABELMAP) if (f := root / n).is_file()), None)
    if file is None:
        problems.note("folders without a list of labels, read with VOC's own 20 names", str(root))
        return Labels(dict(enumerate(VOC_CLASSES, start=1)), VALUES)
    try:
        labels = _parse(file.name, read_text(file).split("\n"))
    except ValueError as error:
        raise UserError(
            f"{file} is not a list of labels ({error}); expected, in labels.txt, a line for each "
            "value: the value, a tab, the name"
        ) from error
    names = {value: name for value, name in labels.names.items() if BACKGROUND < value < VOID}
    if not names:
        raise UserError(f"{file} names no class: expected at least one beside the background")
    return Labels(names, labels.values)


def _parse(kind: str, lines: Sequence[str]) -> Labels:
    """Raises ValueError, with the line."""
    numbered = [(n, line.strip("\n")) for n, line in enumerate(lines, start=1) if line.strip()]
    for n, line in numbered:
        if any("\udc80" <= c <= "\udcff" for c in line):
            raise ValueError(f"line {n} is not UTF-8: {line!r}")
    if kind == LABELME or (kind == OWN and not any("\t" in line for _, line in numbered)):
        return _parse_names([line.strip() for _, line in numbered], needs_background=kind == OWN)
    if kind == LABELMAP:
        return _parse_labelmap([(n, line) for n, line in numbered if not line.startswith("#")])
    names: dict[int, str] = {}
    for n, line in numbered:
        value, _, name = line.partition("\t")
        number = whole_number(value)
        if number is None or not name.strip():
            raise ValueError(f"line {n} is {line!r}")
        names[number] = name.strip()
    return Labels(names, VALUES)


def _parse_names(names: Sequence[str], *, needs_background: bool) -> Labels:
    """labelme's list: a name on each line, the background's value being 0."""
    plain = [_plain(name) for name in names]
    if needs_background and "background" not in plain:
        raise ValueError(f"line 1 is {names[0]!r}" if names else "it is empty")
    first = plain.index("background") if "background" in plain else 0
    return Labels(dict(enumerate(names[first:])), VALUES)


def _plain(name: str) -> str:
    """A name as it is compared with "background"."""
    return name.strip("_ ").casefold()


def _parse_labelmap(numbered: Sequence[tuple[int, str]]) -> Labels:
    """Values come from the colors, if these are all in VOC's palette and different; else from the
    order of the lines."""
    pairs: list[tuple[str, Color]] = []
    for n, line in numbered:
        name, colon, rest = line.partition(":")
        color = "".join(rest.split(":")[0].split())
        if not colon or not re.fullmatch(r"([0-9]{1,3},[0-9]{1,3},[0-9]{1,3})?", color, re.ASCII):
            raise ValueError(f"line {n} is {line!r}, expected name:red,green,blue:…:…")
        pairs.append((name.strip(), ",".join(str(int(c)) for c in color.split(",") if c)))
    names = [name for name, _ in pairs]
    own = [color for _, color in pairs]
    values = [VALUES.get(color, -1) for color in own]
    if -1 not in values and len(set(values)) == len(values):
        return Labels(dict(zip(values, names, strict=True)), VALUES)
    # The background has value 0, wherever its line is.
    plain = [_plain(name) for name in names]
    background = plain.index("background") if "background" in plain else 0
    order = sorted(range(len(pairs)), key=lambda i: (i != background, i))
    values = [order.index(i) for i in range(len(pairs))]
    colors: Mapping[Color, int] = VALUES
    if any(own):  # datumaro leaves the palette's own colors out
        fixed = {color: value for color, value in VALUES.items() if value in (BACKGROUND, VOID)}
        colors = fixed | dict(reversed(list(zip(own, values, strict=True))))
    return Labels(dict(zip(values, names, strict=True)), colors)


def write_labels(folder: Path, ids: Mapping[str, int], problems: Problems) -> None:
    """Write labels.txt and labelmap.txt. ``ids``: the value of each class."""
    with text_file(folder / OWN) as out:
        out.write(f"{BACKGROUND}\tbackground\n")
        for name, value in ids.items():
            out.write(f"{value}\t{' '.join(name.split())}\n")
    with text_file(folder / LABELMAP) as out:
        out.write("# label:color_rgb:parts:actions\n")
        for name, value in _labelmap(ids, problems):
            color = ",".join(str(channel) for channel in voc_color(value))
            out.write(f"{name}:{color}::\n")


def _labelmap(ids: Mapping[str, int], problems: Problems) -> list[tuple[str, int]]:
    """Names and values for labelmap.txt, where no name may be there twice or look like a comment.

    Void is among them, as datumaro refuses masks with a color that has no name.
    """
    found = {"background": BACKGROUND, "ignored": VOID}
    for name, value in ids.items():
        plain = " ".join(name.replace(":", " ").split()).lstrip("#") or "_"
        while plain in found:
            plain += "_"
        if plain != " ".join(name.split()):
            problems.note("classes with another name in labelmap.txt", f"{name}: {plain}")
        found[plain] = value
    return sorted(found.items(), key=lambda item: item[1])
