"""Labels for classes that nobody has named yet (``object 3``), in a project's label config."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from prelabel.data.colors import distinct_colors, hex_color, read_hex_color
from prelabel.label_studio.format.label_config import LabelConfig, parse_label_config
from prelabel.label_studio.format.labels import is_unnamed

_HINT = "a class without a name yet: choose its label"
"""Shown beside the label; marks the labels that this tool has added."""
_ADDED = re.compile(
    rf'\s*<Label\b(?=[^<>]*\bhint="{re.escape(_HINT)}")[^<>]*(?:/>|>\s*</Label>)', re.IGNORECASE
)
_VALUE = re.compile(r'\bvalue="([^"]*)"')


def add_labels(xml: str, class_names: Sequence[str]) -> str:
    """A label config with a label, in a colour of its own, for each of these classes in every tag
    that regions are predicted into and that has labels of its own, two or more; the rest as it was.
    Raises UserError for a config that cannot be used."""
    names: dict[str, tuple[str, ...]] = {}
    label_config = parse_label_config(xml)
    colors = _colors(label_config, class_names)
    for control in label_config.controls:
        names[control.name] = names[control.to_name] = control.names
    text = xml.encode()
    for tag in sorted(_label_tags(text), key=lambda tag: -tag.end):
        # The labels of a Labels tag are those of the tags without labels for the same image.
        place = tag.to_name if tag.kind == "labels" else tag.name
        if len(names.get(place, ())) > 1:
            before = text[: tag.end].rstrip()
            added = b"".join(
                tag.indent + _label(name, colors[name]).encode()
                for name in class_names
                if name not in tag.labels
            )
            text = before + added + text[len(before) :]
    return text.decode()


def remove_labels(xml: str, *, keep: Collection[str] = ()) -> str:
    """A label config without the labels that ``add_labels`` has added, but for those to keep."""

    def removed(match: re.Match[str]) -> str:
        value = _VALUE.search(match[0])
        return "" if value and is_unnamed(value[1]) and value[1] not in keep else match[0]

    return _ADDED.sub(removed, xml)


def has_labels(xml: str) -> bool:
    """Whether a label config has labels that ``add_labels`` has added."""
    return remove_labels(xml) != xml


def _colors(label_config: LabelConfig, class_names: Sequence[str]) -> dict[str, str]:
    """A colour for each class, unlike those that the labels with a name have."""
    own = (label for c in label_config.controls for label in c.labels if label.color)
    known = [read_hex_color(label.color or "") for label in own if not is_unnamed(label.value)]
    numbers = {name: int(name.rpartition(" ")[2]) for name in class_names}
    found = distinct_colors(
        max(numbers.values(), default=0), taken=list(dict.fromkeys(c for c in known if c))
    )
    return {name: hex_color(found[max(number, 1) - 1]) for name, number in numbers.items()}


def _label(class_name: str, color: str) -> str:
    return (
        f"<Label value={quoteattr(class_name)} background={quoteattr(color)} "
        f"hint={quoteattr(_HINT)}/>"
    )


@dataclass
class _Tag:
    """A tag with labels. ``kind``: its name in lower case. ``indent``: the white space before its
    last label. ``end``: where its end tag begins, in bytes."""

    kind: str
    name: str
    to_name: str
    labels: list[str]
    indent: bytes = b""
    end: int = 0


def _label_tags(text: bytes) -> list[_Tag]:
    found: list[_Tag] = []
    opened: list[_Tag] = []
    parser = expat.ParserCreate("utf-8")

    def start(kind: str, attributes: dict[str, str]) -> None:
        given = {name.lower(): value.strip() for name, value in attributes.items()}
        if kind.lower() == "label":
            before = text[: parser.CurrentByteIndex]
            for tag in opened:
                tag.labels.append(given.get("value", ""))
                tag.indent = before[len(before.rstrip()) :]
        opened.append(_Tag(kind.lower(), given.get("name", ""), given.get("toname", ""), []))

    def end(_: str) -> None:
        tag = opened.pop()
        tag.end = parser.CurrentByteIndex
        if tag.name and tag.labels:
            found.append(tag)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.Parse(text, True)
    return found
