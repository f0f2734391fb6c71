"""Regions as Label Studio's result items, and back: brush, bitmask, polygon and rectangle."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from prelabel.data.brush import decode_brush, encode_brush
from prelabel.data.masks import Mask, decode_rle, encode_rle, rle_area, rle_box
from prelabel.data.polygons import outlines
from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.label_studio.format.label_config import Control

Item = dict[str, Any]
Names = Mapping[int, str | None] | Sequence[str | None]
Points = NDArray[np.float64]
"""A polygon's corners: float64 (n, 2), x and y in pixels from the photo's upper left corner."""

_PNG_URL = "data:image/png;base64,"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MIN_IOU = 0.95
_FAR = 1e6
"""Percents and degrees beyond this are no drawing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Losses:
    """What a prediction has and its result items have not.

    Regions: ``below_threshold`` (score under ``min_score``), ``empty`` (no pixel inside),
    ``over_limit`` (behind the best ``max_regions``). In polygons: ``holes``, and the
    ``hole_pixels`` that they fill. ``unnamed`` regions are there but have no label.
    """

    below_threshold: int = 0
    unnamed: int = 0
    empty: int = 0
    over_limit: int = 0
    holes: int = 0
    hole_pixels: int = 0

    def __add__(self, other: Losses) -> Losses:
        """Both together."""
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Losses(*(a + b for a, b in pairs))


def encode_regions(
    prediction: Prediction,
    names: Names,
    control: Control,
    *,
    tolerance: float = 1.0,
    min_score: float = 0.0,
    max_regions: int = 100,
    item_index: int | None = None,
    notes: Names = (),
) -> tuple[list[Item], Losses]:
    """The result items of a prediction for one control, highest score first, and what was lost.

    ``names``: each cluster's label, by cluster id. A region is one item; in polygons, each of its
    parts is one. A region without a name, or with one that the control has no label for, has an
    empty list of labels: Label Studio (1.23) takes that, draws it and lets a person label it; an
    unknown label it would drop without a word. Ids depend on the photo's name, the mask and the
    control alone.
    ``tolerance``: pixels that a polygon may stray from the outline (0: exact); less where it would
    not give back the part, its holes filled, with an IoU of 0.95. ``min_score``: [0, 1].
    ``item_index``: which photo of the task, where the control's ``is_list`` is true. ``notes``: what
    people see in the details of a cluster's regions.

    Raises UserError for a tolerance or ``max_regions`` below 0.
    """
    if not tolerance >= 0 or max_regions < 0:
        raise UserError(
            f"tolerance is {tolerance} pixels and max_regions {max_regions}: wanted 0 or more"
        )
    labels = {label.value for label in control.labels}
    kept: list[tuple[Region, list[str]]] = []
    below = empty = 0
    for region in sorted(prediction.regions, key=lambda region: -region.score):
        if region.score < min_score:
            below += 1
        elif rle_area(region.rle) == 0:
            empty += 1
        else:
            name = _name(names, region.cluster)
            known = name is not None and (not labels or name in labels)
            kept.append((region, [name] if name is not None and known else []))
    items: list[Item] = []
    holes = hole_pixels = 0
    unnamed = sum(not named for _, named in kept[:max_regions])
    for region, named in kept[:max_regions]:
        for part, value in enumerate(_values(region, prediction, control, tolerance)):
            items.append(_item(region, prediction, control, value, named, part))
            if item_index is not None:
                items[-1]["item_index"] = item_index
            if note := _name(notes, region.cluster):
                items[-1]["meta"] = {"text": [note]}
        if control.kind == "polygon":
            n, pixels = _holes(decode_rle(region.rle))
            holes, hole_pixels = holes + n, hole_pixels + pixels
    over = max(len(kept) - max_regions, 0)
    return items, Losses(below, unnamed, empty, over, holes, hole_pixels)


def merge_fragments(prediction: Prediction, gap: int) -> Prediction:
    """Regions of one cluster that come within ``gap`` pixels of each other, made one.

    The distance of two pixels is the larger of their distances in x and y: neighbours, diagonal
    ones too, are 1 apart. A merged region has the union of the masks and the mean of the scores,
    weighted by area. Gap 0 changes nothing, nor do regions without a class (cluster -1) merge.
    Raises UserError for a gap below 0.
    """
    if gap < 0:
        raise UserError(f"gap is {gap} pixels, wanted 0 (nothing is merged) or more")
    if gap == 0:
        return prediction
    regions = prediction.regions
    group = list(range(len(regions)))
    masks: dict[int, Mask] = {}
    for a in range(len(regions)):
        for b in range(a + 1, len(regions)):
            if group[a] == group[b] or not _could_meet(regions[a], regions[b], gap):
                continue
            for index in (a, b):
                if index not in masks:
                    masks[index] = decode_rle(regions[index].rle)
            if _meet(masks[a], masks[b], regions[a].box, gap):
                old, new = group[b], group[a]
                group = [new if g == old else g for g in group]
    members: dict[int, list[int]] = {}
    for index, g in enumerate(group):
        members.setdefault(g, []).append(index)
    merged = [
        regions[indices[0]]
        if len(indices) == 1
        else _union([regions[i] for i in indices], [masks[i] for i in indices])
        for indices in members.values()
    ]
    merged.sort(key=lambda region: -region.score)
    return structs.replace(prediction, regions=tuple(merged))


def decode_item(item: Mapping[str, Any], *, height: int, width: int) -> Mask | None:
    """The mask, bool (height, width), of a result item; None if its type is none of the four.

    ``height``, ``width``: the EXIF-oriented photo's pixels. A pixel is inside a polygon or
    rectangle if its centre is; a rectangle is turned clockwise around its upper left corner, by
    degrees. Brush and bitmask: where alpha (or grey, in a PNG without it) is 128 or more.

    Raises UserError for an item of these types that cannot be read or has another size.
    """
    reader = _READERS.get(str(item.get("type")))
    if reader is None:
        return None
    try:
        return reader(item["value"], height, width)
    except (KeyError, TypeError, ValueError, OverflowError, binascii.Error, cv2.error) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"region {item.get('id')!r} ({item['type']}) cannot be read: {what}; wanted a mask of "
            f"{width} × {height} pixels as Label Studio exports it: export the annotations again"
        ) from error


def _name(names: Names, cluster: int) -> str | None:
    if isinstance(names, Mapping):
        return names.get(cluster)
    return names[cluster] if 0 <= cluster < len(names) else None


def _item(
    region: Region,
    prediction: Prediction,
    control: Control,
    value: Item,
    named: list[str],
    part: int,
) -> Item:
    kind = f"{control.kind}labels"
    text = "\0".join((prediction.photo, region.rle["counts"], kind, control.name, str(part)))
    data = text.encode("utf-8", "surrogatepass")
    return {
        "id": hashlib.blake2b(data, digest_size=8).hexdigest(),
        "type": kind,
        "from_name": control.name,
        "to_name": control.to_name,
        "original_width": prediction.width,
        "original_height": prediction.height,
        "image_rotation": 0,
        "score": float(region.score),
        "value": {**value, kind: named},
    }


def _values(
    region: Region, prediction: Prediction, control: Control, tolerance: float
) -> list[Item]:
    """The values of a region's items, without the label."""
    width, height = prediction.width, prediction.height
    if control.kind == "rectangle":
        x, y, w, h = region.box
        return [
            {
                "x": 100 * x / width,
                "y": 100 * y / height,
                "width": 100 * w / width,
                "height": 100 * h / height,
                "rotation": 0,
            }
        ]
    mask = decode_rle(region.rle)
    if control.kind == "brush":
        return [{"format": "rle", "rle": encode_brush(mask)}]
    if control.kind == "bitmask":
        return [{"imageDataURL": _png_url(mask)}]
    percent = np.array([100 / width, 100 / height])
    return [
        {"points": (_simplified(outline, tolerance) * percent).tolist(), "closed": True}
        for outline in outlines(mask)
    ]


def _png_url(mask: Mask) -> str:
    """Black on transparent ground, which is what Label Studio's own bitmask brush writes."""
    pixels = np.zeros((*mask.shape, 4), dtype=np.uint8)
    pixels[..., 3] = mask * np.uint8(255)
    _, data = cv2.imencode(".png", pixels)
    return _PNG_URL + base64.b64encode(data.tobytes()).decode("ascii")


def _simplified(outline: Points, tolerance: float) -> Points:
    """The outline with fewer corners: as far as it stays within tolerance and the least IoU."""
    low = outline.min(axis=0)
    width, height = (int(n) for n in outline.max(axis=0) - low)
    whole = _fill(outline - low, height, width)
    for allowed in (tolerance, tolerance / 2, tolerance / 4, tolerance / 8):
        if allowed == 0:
            break
        corners = cv2.approxPolyDP((outline - low).astype(np.int32), allowed, True)[:, 0]
        points: Points = np.asarray(corners, dtype=np.float64)
        if len(points) < 3:
            continue
        inside = _fill(points, height, width)
        if (inside & whole).sum() >= _MIN_IOU * (inside | whole).sum():
            moved: Points = points + low
            return moved
    return outline


def _fill(points: Points, height: int, width: int) -> Mask:
    """The pixels whose centres are inside a polygon (even-odd rule), which may leave the photo."""
    x0, y0 = (points - 0.5).T  # centres are whole numbers now
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    first = np.clip(np.ceil(np.minimum(y0, y1)), 0, height).astype(np.int64)
    counts = np.clip(np.ceil(np.maximum(y0, y1)), 0, height).astype(np.int64) - first
    edge = np.repeat(np.arange(len(points)), counts)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    slope = (x1 - x0)[edge] / (y1 - y0)[edge]
    column = np.clip(np.ceil(x0[edge] + (row - y0[edge]) * slope), 0, width).astype(np.int64)
    # Walking along a row, each edge turns outside into inside or back.
    turns = np.zeros((height, width + 1), dtype=np.uint8)
    np.add.at(turns, (row, column), 1)
    inside: Mask = np.bitwise_xor.accumulate(turns & 1, axis=1)[:, :width].astype(np.bool_)
    return inside


def _holes(mask: Mask) -> tuple[int, int]:
    """How many holes a mask has, and their pixels. Diagonal neighbours inside do close a hole."""
    ground = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    n, labels = cv2.connectedComponents(ground, connectivity=4)
    outside = labels[0, 0]
    return int(n) - 2, int(((labels != outside) & (labels != 0)).sum())


def _read_brush(value: Mapping[str, Any], height: int, width: int) -> Mask:
    return decode_brush(value["rle"], height, width)


def _read_bitmask(value: Mapping[str, Any], height: int, width: int) -> Mask:
    url = str(value["imageDataURL"])
    if not url.startswith(_PNG_URL):
        raise ValueError(f"imageDataURL begins with {url[:24]!r}, wanted {_PNG_URL}")
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


def _read_polygon(value: Mapping[str, Any], height: int, width: int) -> Mask:
    points = np.asarray(value["points"], dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not (np.abs(points) <= _FAR).all():
        raise ValueError(f"points have shape {points.shape}, wanted (n, 2) of percents")
    return _fill(points * (width / 100, height / 100), height, width)


def _read_rectangle(value: Mapping[str, Any], height: int, width: int) -> Mask:
    percents = [float(value[key]) for key in ("x", "width", "y", "height")]
    rotation = float(value.get("rotation") or 0)
    if not all(abs(number) <= _FAR for number in (*percents, rotation)):
        raise ValueError("x, y, width, height or rotation is no percent or angle")
    x, w = (percent * width / 100 for percent in percents[:2])
    y, h = (percent * height / 100 for percent in percents[2:])
    angle = math.radians(rotation)
    along = np.array([math.cos(angle), math.sin(angle)])  # y points down: clockwise
    down = np.array([-along[1], along[0]])
    corner = np.array([x, y])
    points = np.stack(
        [corner, corner + w * along, corner + w * along + h * down, corner + h * down]
    )
    return _fill(points, height, width)


_READERS: dict[str, Callable[[Mapping[str, Any], int, int], Mask]] = {
    kind + ending: reader
    for kind, reader in {
        "brush": _read_brush,
        "bitmask": _read_bitmask,
        "polygon": _read_polygon,
        "rectangle": _read_rectangle,
    }.items()
    for ending in ("", "labels")
}


def _could_meet(a: Region, b: Region, gap: int) -> bool:
    """One class, and boxes that come within the gap."""
    if a.cluster != b.cluster or a.cluster < 0 or not a.area or not b.area:
        return False
    (ax, ay, aw, ah), (bx, by, bw, bh) = a.box, b.box
    return ax - gap < bx + bw and bx - gap < ax + aw and ay - gap < by + bh and by - gap < ay + ah


def _meet(a: Mask, b: Mask, box: tuple[int, int, int, int], gap: int) -> bool:
    """Whether b has a pixel within the gap of one of a, whose box is given."""
    x, y, width, height = box
    rows = slice(max(y - gap, 0), y + height + gap)
    columns = slice(max(x - gap, 0), x + width + gap)
    kernel = np.ones((2 * gap + 1, 2 * gap + 1), dtype=np.uint8)
    near = cv2.dilate(a[rows, columns].astype(np.uint8), kernel)
    return bool((near.astype(np.bool_) & b[rows, columns]).any())


def _union(regions: Sequence[Region], masks: Sequence[Mask]) -> Region:
    rle = encode_rle(np.logical_or.reduce(masks))
    areas = [region.area for region in regions]
    return Region(
        rle=rle,
        box=rle_box(rle),
        area=rle_area(rle),
        score=float(np.average([region.score for region in regions], weights=areas)),
        cluster=regions[0].cluster,
    )
