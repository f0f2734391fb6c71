"""The shapes that regions are drawn in. A new shape is one more row of the table, and its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from prelabel.data.masks import Mask, Rle
from prelabel.label_studio.format import shape_values as values
from prelabel.label_studio.format.shape_values import Part
from prelabel.label_studio.format.simplified import Outline
from prelabel.storage.json import JsonObject

Kind = Literal["brush", "bitmask", "magicwand", "polygon", "vector", "rectangle", "ellipse"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of tag that draws an area.

    ``kind``: the type of its items; with ``labels`` behind it, where the tag has labels of its own.
    ``tag``: with labels of its own, "" if there is none. ``bare_tag``: whose labels are those of a
    Labels tag. ``value_key``: what the values of this shape alone have. ``keeps``: what of a region
    it can hold: its ``mask``, its parts' outer ``outline`` (holes are filled), or one figure around
    it: its ``box`` or ``ellipse``.
    ``encode``: the values of a region, one for each part of an outline, else one, from its mask and
    how outlines are simplified.
    ``decode``: a value's mask, bool (height, width). Raises KeyError, TypeError, ValueError,
    OverflowError or cv2.error for what cannot be read or has another size.
    """

    kind: Kind
    tag: str
    bare_tag: str
    value_key: str
    keeps: Literal["mask", "outline", "box", "ellipse"]
    encode: Callable[[Rle, Outline], list[Part]]
    decode: Callable[[JsonObject, int, int], Mask]

    @property
    def labels_key(self) -> str:
        """The key of the labels in a value, and the type of items that have any."""
        return f"{self.kind}labels"


def shape_of_item(item: JsonObject) -> Shape | None:
    """The shape that a result item has by its type; None for what draws no area."""
    return _BY_TYPE.get(str(item.get("type")))


_BRUSH = values.encode_brush_value, values.decode_brush_value
_BITMASK = values.encode_bitmask, values.decode_bitmask
_POLYGON = values.encode_polygon, values.decode_polygon
_VECTOR = values.encode_vector, values.decode_vector
_RECTANGLE = values.encode_rectangle, values.decode_rectangle
_ELLIPSE = values.encode_ellipse, values.decode_ellipse

SHAPES: tuple[Shape, ...] = (
    Shape("brush", "BrushLabels", "Brush", "rle", "mask", *_BRUSH),
    Shape("bitmask", "BitmaskLabels", "Bitmask", "imageDataURL", "mask", *_BITMASK),
    Shape("magicwand", "", "MagicWand", "rle", "mask", *_BRUSH),
    Shape("polygon", "PolygonLabels", "Polygon", "points", "outline", *_POLYGON),
    Shape("vector", "VectorLabels", "Vector", "vertices", "outline", *_VECTOR),
    Shape("rectangle", "RectangleLabels", "Rectangle", "height", "box", *_RECTANGLE),
    Shape("ellipse", "EllipseLabels", "Ellipse", "radiusX", "ellipse", *_ELLIPSE),
)
"""Finest first: of a region that was drawn in two shapes, the finer one counts; regions are
predicted into the finest that a label config has."""
SHAPE_OF: dict[Kind, Shape] = {shape.kind: shape for shape in SHAPES}
FINENESS: dict[Kind, int] = {shape.kind: index for index, shape in enumerate(SHAPES)}
_BY_TYPE: dict[str, Shape] = {
    name: shape for shape in SHAPES for name in (shape.kind, shape.labels_key)
}
