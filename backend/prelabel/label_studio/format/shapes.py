"""The shapes that regions are drawn in. A new shape is one more row of the table, and its kind."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data.brush import decode_brush, encode_brush
from prelabel.data.masks import Mask, Rle, decode_rle, rle_box
from prelabel.data.polygons import fill_polygons, outlines
from prelabel.storage.json import JsonObject

Kind = Literal["brush", "bitmask", "polygon", "rectangle"]
Value = dict[str, object]
"""A region's ``value`` in its item, without labels."""
Points = NDArray[np.float64]
"""A polygon's corners: float64 (n, 2), x and y in pixels from the photo's upper left corner."""

_PNG_URL = "data:image/png;base64,"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MIN_IOU = 0.95
_FAR = 1e6
"""Percents and degrees beyond this are not of a drawing."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of tag that draws an area.

    ``kind``: the type of its items; with ``labels`` behind it, where the tag has labels of its own.
    ``tag``: with labels. ``value_key``: what the values of this shape alone have. ``keeps``: what
    of a region it can hold: its ``mask``, its parts' outer ``outline`` (holes are filled), or one
    figure around it, such as its ``box``.
    ``encode``: the values of a region, one for each part of an outline, else one, from its mask and
    the pixels that an outline may stray (0: exact; less is used where it would cost too much).
    ``decode``: a value's mask, bool (height, width). Raises KeyError, TypeError, ValueError,
    OverflowError or cv2.error for what cannot be read or has another size.
    """

    kind: Kind
    tag: str
    value_key: str
    keeps: Literal["mask", "outline", "box"]
    encode: Callable[[Rle, float], list[Value]]
    decode: Callable[[JsonObject, int, int], Mask]

    @property
    def labels_key(self) -> str:
        """The key of the labels in a value, and the type of items that have any."""
        return f"{self.kind}labels"


def shape_of_item(item: JsonObject) -> Shape | None:
    """The shape that a result item has by its type; None for what draws no area."""
    return _BY_TYPE.get(str(item.get("type")))


def _encode_brush(rle: Rle, _tolerance: float) -> list[Value]:
    return [{"format": "rle", "rle": encode_brush(decode_rle(rle))}]


def _decode_brush(value: JsonObject, height: int, width: int) -> Mask:
    rle = value["rle"]
    if not isinstance(rle, list):
        raise ValueError("rle is not a list of bytes")
    return decode_brush(rle, height, width)


def _encode_bitmask(rle: Rle, _tolerance: float) -> list[Value]:
    """Black on transparent ground, which is what Label Studio's own bitmask brush writes."""
    mask = decode_rle(rle)
    pixels = np.zeros((*mask.shape, 4), dtype=np.uint8)
    pixels[..., 3] = mask * np.uint8(255)
    _, data = cv2.imencode(".png", pixels)
    return [{"imageDataURL": _PNG_URL + base64.b64encode(data.tobytes()).decode("ascii")}]


def _decode_bitmask(value: JsonObject, height: int, width: int) -> Mask:
    """Inside is where alpha (or grey, in a PNG without it) is 128 or more."""
    url = str(value["imageDataURL"])
    if not url.startswith(_PNG_URL):
        raise ValueError(f"imageDataURL begins with {url[:24]!r}, expected {_PNG_URL}")
    data = base64.b64decode(url[len(_PNG_URL) :], validate=True)
    # Looked up before decoding, so that no small file becomes a huge picture.
    size = (int.from_bytes(data[16:20]), int.from_bytes(data[20:24]))
    if not data.startswith(_PNG_SIGNATURE) or size != (width, height):
        raise ValueError(f"its PNG has {size[0]} × {size[1]} pixels")
    pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("its PNG is broken")
    if pixels.ndim == 3:
        pixels = pixels[..., 3] if pixels.shape[2] == 4 else pixels.max(axis=2)
    return np.asarray(pixels >= (128 if pixels.dtype == np.uint8 else 128 * 257), dtype=np.bool_)


def _encode_polygon(rle: Rle, tolerance: float) -> list[Value]:
    height, width = rle["size"]
    percent = np.array([100 / width, 100 / height])
    return [
        {"points": (_simplified(outline, tolerance) * percent).tolist(), "closed": True}
        for outline in outlines(decode_rle(rle))
    ]


def _decode_polygon(value: JsonObject, height: int, width: int) -> Mask:
    points = polygon_points(value)
    return _filled(points * (width / 100, height / 100), height, width)


def polygon_points(value: JsonObject) -> Points:
    """A polygon's corners in percent: float64 (n, 2). Raises KeyError, TypeError or ValueError."""
    points: Points = np.asarray(value["points"], dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not (np.abs(points) <= _FAR).all():
        raise ValueError(f"points have shape {points.shape}, expected (n, 2) of percents")
    return points


def _encode_rectangle(rle: Rle, _tolerance: float) -> list[Value]:
    height, width = rle["size"]
    x, y, w, h = rle_box(rle)
    percents = {"x": 100 * x / width, "y": 100 * y / height}
    return [{**percents, "width": 100 * w / width, "height": 100 * h / height, "rotation": 0}]


def _decode_rectangle(value: JsonObject, height: int, width: int) -> Mask:
    """Turned clockwise around its upper left corner, by degrees."""
    percents = [_number(value[key]) for key in ("x", "width", "y", "height")]
    rotation = _number(value.get("rotation") or 0)
    if not all(abs(number) <= _FAR for number in (*percents, rotation)):
        raise ValueError("x, y, width, height or rotation is not a percent or an angle")
    x, w = (percent * width / 100 for percent in percents[:2])
    y, h = (percent * height / 100 for percent in percents[2:])
    angle = math.radians(rotation)
    along = np.array([math.cos(angle), math.sin(angle)])  # y points down: clockwise
    down = np.array([-along[1], along[0]])
    corner = np.array([x, y])
    points = np.stack(
        [corner, corner + w * along, corner + w * along + h * down, corner + h * down]
    )
    return _filled(points, height, width)


SHAPES: tuple[Shape, ...] = (
    Shape("brush", "BrushLabels", "rle", "mask", _encode_brush, _decode_brush),
    Shape("bitmask", "BitmaskLabels", "imageDataURL", "mask", _encode_bitmask, _decode_bitmask),
    Shape("polygon", "PolygonLabels", "points", "outline", _encode_polygon, _decode_polygon),
    Shape("rectangle", "RectangleLabels", "height", "box", _encode_rectangle, _decode_rectangle),
)
"""Finest first: of a region that was drawn in two shapes, the finer one counts."""
SHAPE_OF: dict[Kind, Shape] = {shape.kind: shape for shape in SHAPES}
FINENESS: dict[Kind, int] = {shape.kind: index for index, shape in enumerate(SHAPES)}
_BY_TYPE: dict[str, Shape] = {
    name: shape for shape in SHAPES for name in (shape.kind, shape.labels_key)
}


def _number(value: object) -> float:
    if not isinstance(value, int | float | str):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _filled(points: Points, height: int, width: int) -> Mask:
    return fill_polygons([points], height=height, width=width)


def _simplified(outline: Points, tolerance: float) -> Points:
    """The outline with fewer corners: as far as it stays within tolerance and the least IoU."""
    low = outline.min(axis=0)
    width, height = (int(n) for n in outline.max(axis=0) - low)
    whole = _filled(outline - low, height, width)
    for allowed in (tolerance, tolerance / 2, tolerance / 4, tolerance / 8):
        if allowed == 0:
            break
        corners = cv2.approxPolyDP((outline - low).astype(np.int32), allowed, True)[:, 0]
        points: Points = np.asarray(corners, dtype=np.float64)
        if len(points) < 3:
            continue
        inside = _filled(points, height, width)
        if (inside & whole).sum() >= _MIN_IOU * (inside | whole).sum():
            moved: Points = points + low
            return moved
    return outline
