"""A label config's XML as tags whose names and attributes count in any case, as in Label Studio."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from prelabel.errors import UserError

EXPECTED = (
    "expected BrushLabels, BitmaskLabels, PolygonLabels, VectorLabels, RectangleLabels or "
    "EllipseLabels for an Image, or Labels beside Brush, Bitmask, MagicWand, Polygon, Vector, "
    'Rectangle or Ellipse, like <View><Image name="image" value="$image"/><BrushLabels '
    'name="label" toName="image"><Label value="Dog"/></BrushLabels></View>'
)
_AS_WRITTEN = frozenset({"value", "alias"})
"""Attributes whose spaces count: Label Studio compares labels as they are."""


class Tag:
    """One tag. ``name``: in lower case. ``written``: as it is written."""

    def __init__(self, element: ElementTree.Element) -> None:
        self._element = element
        self.written = element.tag
        self.name = element.tag.lower()
        self._attributes = {
            name.lower(): value if name.lower() in _AS_WRITTEN else value.strip()
            for name, value in element.attrib.items()
        }

    def get(self, attribute: str) -> str:
        """An attribute, named in lower case; "" if there is none."""
        return self._attributes.get(attribute, "")

    def flag(self, attribute: str) -> bool | None:
        """An attribute that is true or false; None for anything else."""
        return {"true": True, "false": False}.get(self.get(attribute).lower())

    def list(self, attribute: str) -> tuple[str, ...]:
        """The parts of an attribute between commas."""
        return tuple(part for part in map(str.strip, self.get(attribute).split(",")) if part)

    def inside(self) -> Iterator[Tag]:
        """The tags inside this one, however deep."""
        return (Tag(element) for element in self._element.iter() if element is not self._element)

    def required_name(self) -> str:
        """Its name. Raises UserError if it has none."""
        if not self.get("name"):
            raise UserError(f"label config: {self.written} has no name; {EXPECTED}")
        return self.get("name")


def read_tags(xml: str) -> list[Tag]:
    """All tags of a label config, in its order. Raises UserError for what is not XML or has a
    DOCTYPE."""
    parser = ElementTree.XMLParser(target=_NoDoctype())
    try:
        root = ElementTree.fromstring(xml.lstrip("\ufeff \t\r\n"), parser=parser)
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(f"label config: not well-formed XML ({error}); {EXPECTED}") from error
    return [Tag(element) for element in root.iter()]


class _NoDoctype(ElementTree.TreeBuilder):
    """Entities need a DOCTYPE; without one nothing can be expanded or fetched."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise UserError(f"label config: found a DOCTYPE ({name}), which is not read; remove it")
