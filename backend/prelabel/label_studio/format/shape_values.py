"""What each shape's values hold: masks to values, and back."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data.brush import decode_brush, encode_brush
from prelabel.data.masks import Mask, Rle, decode_rle, rle_box
from prelabel.data.polygons import fill_polygons, outlines
from prelabel.label_studio.format.simplified import Outline, simplified
from prelabel.storage.json import JsonObject

Value = dict[str, object]
"""A region's ``value`` in its item, without labels."""
Points = NDArray[np.float64]
"""A polygon's corners: float64 (n, 2), x and y in pixels from the photo's upper left corner."""

_PNG_URL = "data:image/png;base64,"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FAR = 1e6
"""Percents and degrees beyond this are not of a drawing."""
_CURVE = 16
"""Lines that stand for one Bézier curve."""
_ARC = 360
"""Lines that stand for an ellipse."""
_END = 0.3
"""Where the control point is of an end of a curve that has none: as Label Studio draws it."""


class Part(NamedTuple):
    """A value, and its IoU with what it stands for where an outline was simplified."""

    value: Value
    iou: float = 1.0


def encode_brush_value(rle: Rle, _outline: Outline) -> list[Part]:
    """A brush's run lengths."""
    return [Part({"format": "rle", "rle": encode_brush(decode_rle(rle))})]


def decode_brush_value(value: JsonObject, height: int, width: int) -> Mask:
    """Inside is where alpha is 128 or more."""
    rle = value["rle"]
    if not isinstance(rle, list):
        raise ValueError("rle is not a list of bytes")
    return decode_brush(rle, height, width)


def encode_bitmask(rle: Rle, _outline: Outline) -> list[Part]:
    """Black on transparent ground, which is what Label Studio's own bitmask brush writes."""
    mask = decode_rle(rle)
    pixels = np.zeros((*mask.shape, 4), dtype=np.uint8)
    pixels[..., 3] = mask * np.uint8(255)
    _, data = cv2.imencode(".png", pixels)
    return [Part({"imageDataURL": _PNG_URL + base64.b64encode(data.tobytes()).decode("ascii")})]


def decode_bitmask(value: JsonObject, height: int, width: int) -> Mask:
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


def encode_polygon(rle: Rle, outline: Outline) -> list[Part]:
    """One value for the outline of each part, its holes filled."""
    return [
        Part({"points": points.tolist(), "closed": True}, iou)
        for points, iou in _percent_outlines(rle, outline)
    ]


def decode_polygon(value: JsonObject, height: int, width: int) -> Mask:
    """The pixels whose centres are inside, by the even-odd rule."""
    points = polygon_points(value)
    return _filled(points * (width / 100, height / 100), height, width)


def polygon_points(value: JsonObject) -> Points:
    """A polygon's corners in percent: float64 (n, 2). Raises KeyError, TypeError or ValueError."""
    points: Points = np.asarray(value["points"], dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not (np.abs(points) <= _FAR).all():
        raise ValueError(f"points have shape {points.shape}, expected (n, 2) of percents")
    return points


def encode_vector(rle: Rle, outline: Outline) -> list[Part]:
    """One closed path for the outline of each part, its holes filled."""
    found = []
    for points, iou in _percent_outlines(rle, outline):
        vertices = [
            {
                "id": f"v{index}",
                "x": x,
                "y": y,
                "isBezier": False,
                **({"prevPointId": f"v{index - 1}"} if index else {}),
            }
            for index, (x, y) in enumerate(points.tolist())
        ]
        found.append(Part({"vertices": vertices, "closed": True}, iou))
    return found


def decode_vector(value: JsonObject, height: int, width: int) -> Mask:
    """The pixels whose centres are inside a closed path, its curves as Label Studio draws them."""
    if not value.get("closed"):
        raise ValueError("it is an open path, which has no area")
    vertices = value["vertices"]
    if not isinstance(vertices, list) or not all(isinstance(v, Mapping) for v in vertices):
        raise TypeError("vertices are not a list of points")
    path = _in_order(vertices)
    sides = [_side(a, b) for a, b in zip(path, [*path[1:], *path[:1]], strict=True)]
    points = np.concatenate(sides) if sides else np.zeros((0, 2))
    return _filled(points * (width / 100, height / 100), height, width)


def encode_rectangle(rle: Rle, _outline: Outline) -> list[Part]:
    """The region's box."""
    height, width = rle["size"]
    x, y, w, h = rle_box(rle)
    percents = {"x": 100 * x / width, "y": 100 * y / height}
    return [Part({**percents, "width": 100 * w / width, "height": 100 * h / height, "rotation": 0})]


def decode_rectangle(value: JsonObject, height: int, width: int) -> Mask:
    """Turned clockwise around its upper left corner, by degrees."""
    x, w, y, h, angle = _figure(value, ("x", "width", "y", "height"), height, width)
    along = np.array([math.cos(angle), math.sin(angle)])  # y points down: clockwise
    down = np.array([-along[1], along[0]])
    corner = np.array([x, y])
    points = np.stack(
        [corner, corner + w * along, corner + w * along + h * down, corner + h * down]
    )
    return _filled(points, height, width)


def encode_ellipse(rle: Rle, _outline: Outline) -> list[Part]:
    """The ellipse with the region's area's centre and second moments.

    The first radius is the one nearer to the horizontal. Label Studio takes radii up to half of the
    photo's width and height; longer ones are cut.
    """
    height, width = rle["size"]
    rows, columns = np.nonzero(decode_rle(rle))
    x, y = columns.mean() + 0.5, rows.mean() + 0.5
    # A pixel is a square, whose own variance is 1/12 along each side.
    covariance = np.cov(columns, rows, bias=True) + np.eye(2) / 12
    variances, axes = np.linalg.eigh(covariance)
    # An ellipse with half axis a has the variance a² / 4 along it.
    radii = 2 * np.sqrt(variances)
    first = int(np.argmax(np.abs(axes[0])))
    (along_x, along_y), angle = axes[:, first], 0.0
    if abs(along_y) > 1e-9:
        angle = math.degrees(math.atan2(along_y, along_x)) % 180
    return [
        Part(
            {
                "x": 100 * x / width,
                "y": 100 * y / height,
                "radiusX": min(100 * float(radii[first]) / width, 50.0),
                "radiusY": min(100 * float(radii[1 - first]) / height, 50.0),
                "rotation": angle,
            }
        )
    ]


def decode_ellipse(value: JsonObject, height: int, width: int) -> Mask:
    """Turned clockwise around its centre, by degrees."""
    x, a, y, b, angle = _figure(value, ("x", "radiusX", "y", "radiusY"), height, width)
    turns = np.linspace(0, 2 * math.pi, _ARC, endpoint=False)
    along, across = a * np.cos(turns), b * np.sin(turns)
    points = np.stack(
        [
            x + along * math.cos(angle) - across * math.sin(angle),
            y + along * math.sin(angle) + across * math.cos(angle),
        ],
        axis=1,
    )
    return _filled(points, height, width)


def _percent_outlines(rle: Rle, outline: Outline) -> list[tuple[Points, float]]:
    """The simplified outline of each part in percent, and its IoU with the part."""
    height, width = rle["size"]
    percent = np.array([100 / width, 100 / height])
    found = (simplified(points, outline) for points in outlines(decode_rle(rle)))
    return [(points * percent, iou) for points, iou in found]


def _in_order(vertices: list[JsonObject]) -> list[JsonObject]:
    """Points along their path: each names the one before it, where it has an id."""
    follower = {v["prevPointId"]: v for v in vertices if v.get("prevPointId")}
    first = [v for v in vertices if not v.get("prevPointId")]
    ids = {v.get("id") for v in vertices}
    if len(first) != 1 or len(follower) != len(vertices) - 1 or len(ids) != len(vertices):
        return vertices
    path = first
    while (following := follower.get(path[-1].get("id"))) is not None:
        path.append(following)
    return path if len(path) == len(vertices) else vertices


def _side(a: JsonObject, b: JsonObject) -> Points:
    """The points of a path from a to b, without b."""
    start, end = _point(a), _point(b)
    leaving = a.get("controlPoint2") if a.get("isBezier") else None
    arriving = b.get("controlPoint1") if b.get("isBezier") else None
    if not leaving and not arriving:
        return start[None]
    first = _point(leaving) if leaving else start + _END * (end - start)
    second = _point(arriving) if arriving else end - _END * (end - start)
    t = np.linspace(0, 1, _CURVE, endpoint=False)[:, None]
    rest = 1 - t
    curve: Points = (
        rest**3 * start + 3 * rest**2 * t * first + 3 * rest * t**2 * second + t**3 * end
    )
    return curve


def _point(point: object) -> Points:
    if not isinstance(point, Mapping):
        raise TypeError("a point is not an object")
    found = np.array([_number(point["x"]), _number(point["y"])])
    if not (np.abs(found) <= _FAR).all():
        raise ValueError("a point has no place in percents")
    return found


def _figure(
    value: JsonObject, keys: tuple[str, str, str, str], height: int, width: int
) -> tuple[float, float, float, float, float]:
    """Two numbers along x and two along y, in pixels, and the rotation in radians."""
    percents = [_number(value[key]) for key in keys]
    rotation = _number(value.get("rotation") or 0)
    if not all(abs(number) <= _FAR for number in (*percents, rotation)):
        raise ValueError(f"{', '.join(keys)} or rotation is not a percent or an angle")
    x, w = (percent * width / 100 for percent in percents[:2])
    y, h = (percent * height / 100 for percent in percents[2:])
    return x, w, y, h, math.radians(rotation)


def _number(value: object) -> float:
    if not isinstance(value, int | float | str):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _filled(points: Points, height: int, width: int) -> Mask:
    return fill_polygons([points], height=height, width=width)
