"""A region cut out of its photo, at the size of a small picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import decode_rle
from prelabel.data.records import Image, Region

_MARGIN = 0.06  # of the box's longer side, on each side
_QUALITY = 82


def cut_out(
    image: Image, region: Region, *, side: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The region's box with a margin, uint8 (h, w, 3), whose longer side is ``side``; and how far each
    pixel is inside the mask, float32 (h, w) in [0, 1]."""
    height, width = image.pixels.shape[:2]
    scale_x, scale_y = image.width / width, image.height / height
    x, y, box_width, box_height = region.box
    margin = max(box_width, box_height) * _MARGIN
    # Whole pixels of the image first: a mask at full size meets their edges within half a pixel.
    left = max(0, int((x - margin) / scale_x))
    top = max(0, int((y - margin) / scale_y))
    right = min(width, int((x + box_width + margin) / scale_x) + 1)
    bottom = min(height, int((y + box_height + margin) / scale_y) + 1)
    mask = decode_rle(region.rle)[
        round(top * scale_y) : round(bottom * scale_y),
        round(left * scale_x) : round(right * scale_x),
    ]
    scale = side / max(right - left, bottom - top)
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    colours = shrink(image.pixels[top:bottom, left:right], width=size[0], height=size[1])
    alpha = shrink(np.where(mask, np.uint8(255), np.uint8(0)), width=size[0], height=size[1])
    return colours, np.asarray(alpha * np.float32(1 / 255))


def blended(
    colours: NDArray[np.uint8], around: NDArray[np.uint8], inside: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """The colours where ``inside`` is 1, and ``around`` where it is 0."""
    return np.asarray(cv2.blendLinear(colours, around, inside, 1 - inside), dtype=np.uint8)


def shrink(pixels: NDArray[np.uint8], *, width: int, height: int) -> NDArray[np.uint8]:
    """Halve while that is not too small, then bilinear: a seventh of an area average's time."""
    pixels = np.ascontiguousarray(pixels)
    while pixels.shape[1] >= 2 * width and pixels.shape[0] >= 2 * height:
        half = (pixels.shape[1] // 2, pixels.shape[0] // 2)
        pixels = np.asarray(cv2.resize(pixels, half, interpolation=cv2.INTER_LINEAR), np.uint8)
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def shrink_to(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The whole picture with at most ``side`` pixels on its longer side."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    return shrink(pixels, width=max(1, round(width * scale)), height=max(1, round(height * scale)))


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """RGB pixels as a JPEG file."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()
