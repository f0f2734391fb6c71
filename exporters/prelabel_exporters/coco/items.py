"""What COCO's files list: categories, images, annotations and results."""

from __future__ import annotations

import math
from typing import NotRequired, TypedDict

from prelabel.data.colors import Color, class_color
from prelabel.data.masks import Box, Rle
from prelabel.data.records import AttributeValue, Prediction, Region
from prelabel.storage.text import whole_text
from prelabel_exporters.common import stable_id

_REGIONS_PER_PHOTO = 4096
_OF_THE_SHAPE = ("occluded", "rotation")


class Category(TypedDict):
    """``color``: the class's in the report."""

    id: int
    name: str
    supercategory: str
    color: Color


class Image(TypedDict):
    """``width``, ``height``: of the EXIF-oriented photo, in pixels."""

    id: int
    file_name: str
    width: int
    height: int


class Annotation(TypedDict):
    """``bbox``: x, y, width, height in pixels. Beyond COCO, what was predicted has a ``score`` in
    [0, 1], a ``cluster`` (class id, from 0) and a ``model_version``. ``attributes``: by name, as in
    CVAT's files."""

    id: int
    image_id: int
    category_id: int
    segmentation: Rle | list[list[float]]
    area: int
    bbox: Box
    iscrowd: int
    score: NotRequired[float]
    cluster: NotRequired[int]
    model_version: NotRequired[str]
    attributes: NotRequired[dict[str, AttributeValue]]


class Result(TypedDict):
    """An annotation as pycocotools' ``loadRes`` reads it."""

    image_id: int
    category_id: int
    segmentation: Rle | list[list[float]]
    bbox: Box
    score: NotRequired[float]


def category(name: str, number: int, *, class_id: int) -> Category:
    """The category of a class, under this number."""
    return {"id": number, "name": name, "supercategory": "", "color": class_color(class_id)}


def image_id(photo: str, taken: set[int]) -> int:
    """40 bits of the name's hash, or the next free number; never 0, which COCOeval cannot match."""
    number = int.from_bytes(stable_id(photo, size=5)) or 1
    while number in taken:
        number += 1
    taken.add(number)
    return number


def image(prediction: Prediction, number: int) -> Image:
    """A photo under this id."""
    return {
        "id": number,
        "file_name": prediction.photo,
        "width": prediction.width,
        "height": prediction.height,
    }


def annotation(
    region: Region,
    *,
    index: int,
    image_id: int,
    category_id: int,
    model_version: str,
    polygons: list[list[float]] | None = None,
) -> Annotation:
    """The ``index``-th region of a photo, as polygons if there are some."""
    item: Annotation = {
        "id": image_id * _REGIONS_PER_PHOTO + index,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": [] if region.is_box else polygons or region.rle,
        "area": region.area,
        "bbox": region.box,
        "iscrowd": int(region.crowd),
    }
    if model_version:
        item["score"] = float(region.score)
        item["cluster"] = region.cluster
        item["model_version"] = model_version
    if region.attributes:
        item["attributes"] = region.attributes
    return item


def attributes_of(found: object) -> dict[str, AttributeValue]:
    """What an annotation's ``attributes`` say: texts, finite numbers and lists of texts, by name. CVAT's
    own (``occluded``, ``rotation``) are said of the shape, and left out."""
    if not isinstance(found, dict):
        return {}
    answers = {
        whole_text(name): _answer(value)
        for name, value in found.items()
        if isinstance(name, str) and name not in _OF_THE_SHAPE
    }
    return {name: answer for name, answer in answers.items() if answer is not None}


def _answer(value: object) -> AttributeValue | None:
    """None for what is no answer."""
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, list) and value and all(isinstance(text, str) for text in value):
        return [whole_text(text) for text in value]
    if isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, int | float) else None


def result(item: Annotation) -> Result:
    """The result of an annotation."""
    found: Result = {
        "image_id": item["image_id"],
        "category_id": item["category_id"],
        "segmentation": item["segmentation"],
        "bbox": item["bbox"],
    }
    if "score" in item:
        found["score"] = item["score"]
    return found
