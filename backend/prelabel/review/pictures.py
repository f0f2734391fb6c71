"""Pictures of regions and photos as JPEG, made when they are asked for; the last ones are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data.images import resize
from prelabel.data.masks import decode_rle
from prelabel.data.records import Image, Region

THUMBNAIL_SIDE = 160
PHOTO_SIDE = 1600
_MARGIN = 0.06  # of the box's longer side, on each side
_DIMMED = 0.35
"""What is left of the brightness around a region."""
_QUALITY = 82
T = TypeVar("T")


class Recent(Generic[T]):
    """Keeps the values that were made last, by key. Two threads may make one value at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[object, T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: object, make: Callable[[], T]) -> T:
        """The value of a key, made if it is not known. Raises what ``make`` raises."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        value = make()
        with self._lock:
            self._known[key] = value
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return value


def cut_out(image: Image, region: Region) -> bytes:
    """A region's box with a margin, what is around it dimmed, as JPEG."""
    height, width = image.pixels.shape[:2]
    scale_x, scale_y = image.width / width, image.height / height
    x, y, box_width, box_height = region.box
    margin = max(box_width, box_height) * _MARGIN
    left = min(max(0, int((x - margin) / scale_x)), width - 1)
    top = min(max(0, int((y - margin) / scale_y)), height - 1)
    right = min(width, int((x + box_width + margin) / scale_x) + 1)
    bottom = min(height, int((y + box_height + margin) / scale_y) + 1)
    scale = THUMBNAIL_SIDE / max(right - left, bottom - top)
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    colours = resize(image.pixels[top:bottom, left:right], width=size[0], height=size[1])
    mask = decode_rle(region.rle)[
        round(top * scale_y) : max(round(bottom * scale_y), round(top * scale_y) + 1),
        round(left * scale_x) : max(round(right * scale_x), round(left * scale_x) + 1),
    ]
    alpha = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    lit = _DIMMED + (1 - _DIMMED) * alpha[..., None]
    return _jpeg((colours * lit).astype(np.uint8))


def whole_photo(image: Image) -> bytes:
    """The photo as JPEG, at most ``PHOTO_SIDE`` on its long side."""
    height, width = image.pixels.shape[:2]
    scale = min(1.0, PHOTO_SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return _jpeg(resize(image.pixels, height=size[0], width=size[1]))


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    _, data = cv2.imencode(
        ".jpg",
        cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR),
        [cv2.IMWRITE_JPEG_QUALITY, _QUALITY],
    )
    return data.tobytes()
