"""The list of labels: labels.txt and labelmap.txt, and the lists that other tools write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prelabel.data.colors import voc_color
from prelabel.data.dataset import Problems
from prelabel.errors import UserError
from prelabel_exporters.common import text_file
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
        lines = file.read_text("utf-8").splitlines()
        labels = _parse(file.name, lines)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file} is not a list of labels ({error}); expected, in labels.txt, a line for each "
            "value: the value, a tab, the name"
        ) from error
    names = {value: name for value, name in labels.names.items() if BACKGROUND < value < VOID}
    if not names:
        raise UserError(f"{file} names no class: expected at least one beside the background")
    return Labels(names, labels.values)


def _parse(kind: str, lines: Sequence[str]) -> Labels:
    if kind == OWN:
        pairs = (line.split("\t", 1) for line in lines if line)
        return Labels({int(value): name for value, name in pairs}, VALUES)
    if kind == LABELME:
        return Labels(dict(enumerate(line.strip() for line in lines)), VALUES)
    return _parse_labelmap([line for line in lines if line.strip() and not line.startswith("#")])


def _parse_labelmap(lines: Sequence[str]) -> Labels:
    """Values come from the colors, if these are all in VOC's palette and different; else from the
    order of the lines."""
    pairs = [line.split(":")[:2] for line in lines]
    names = [name for name, _ in pairs]
    own = [color.replace(" ", "") for _, color in pairs]
    values = [VALUES.get(color, -1) for color in own]
    if -1 not in values and len(set(values)) == len(values):
        return Labels(dict(zip(values, names, strict=True)), VALUES)
    # The background has value 0, wherever its line is.
    plain = [name.strip("_ ").casefold() for name in names]
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
