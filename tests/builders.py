"""Masks, regions, predictions and Label Studio's items and tasks, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from prelabel.data.masks import Mask, encode_rle, rle_area, rle_box
from prelabel.data.records import Prediction, Region

HEIGHT, WIDTH = 8, 10
"""Of a photo that a test says nothing else about, in pixels."""


def box(
    x: int, y: int, width: int, height: int, *, photo: tuple[int, int] = (HEIGHT, WIDTH)
) -> Mask:
    """A mask with a filled box, in a photo of ``photo`` = (height, width) pixels."""
    mask = np.zeros(photo, dtype=np.bool_)
    mask[y : y + height, x : x + width] = True
    return mask


RING = box(2, 1, 5, 5) & ~box(3, 3, 3, 1)
"""A mask with a hole."""
PARTS = box(0, 7, 10, 1) & (np.arange(WIDTH) % 2 == 0)
"""A mask of five pixels that do not touch."""


def iou(one: Mask, other: Mask) -> float:
    """Intersection over union of two masks; 0 if both are empty."""
    return float((one & other).sum() / max((one | other).sum(), 1))


def region(mask: Mask, cluster: int = 0, *, score: float = 0.5, crowd: bool = False) -> Region:
    """A region whose box and area are its mask's."""
    rle = encode_rle(mask)
    return Region(rle, rle_box(rle), rle_area(rle), score, cluster, crowd)


def prediction(
    photo: str,
    *regions: Region,
    size: tuple[int, int] | None = None,
    digest: str = "",
    dropped: int = 0,
    version: str = "m-1",
) -> Prediction:
    """A prediction of a photo of ``size`` = (height, width); left out, that of its regions."""
    height, width = size or (regions[0].rle["size"] if regions else (HEIGHT, WIDTH))
    return Prediction(photo, digest, width, height, regions, dropped, version)


def item(mask: Mask, label: str | None = "cat", **more: Any) -> dict[str, Any]:
    """A brush region as Label Studio's own SDK writes one; ``more`` replaces its fields."""
    from label_studio_sdk.converter import brush  # takes a second, and few tests want it

    value = {
        "format": "rle",
        "rle": brush.mask2rle(mask.astype(np.uint8) * 255),
        "brushlabels": [label] if label else [],
    }
    return {
        "id": "r1",
        "type": "brushlabels",
        "from_name": "brush",
        "to_name": "img",
        "original_width": mask.shape[1],
        "original_height": mask.shape[0],
        "image_rotation": 0,
        "value": value,
        **more,
    }


def task(
    number: int,
    *,
    data: dict[str, Any] | None = None,
    annotation: Sequence[dict[str, Any]] | None = None,
    predicted: Sequence[dict[str, Any]] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A task of Label Studio; with the items of an annotation or a prediction, if given."""
    found: dict[str, Any] = {"id": number, "data": data or {"image": f"{number}.jpg"}}
    if annotation is not None:
        found["annotations"] = [{"id": 100 + number, "result": list(annotation)}]
    if predicted is not None:
        found["predictions"] = [{"id": 200 + number, "result": list(predicted)}]
    return {**found, **more}
