"""Reading pictures: any mode, oriented once, never larger in memory than the stated cap."""

from __future__ import annotations

import hashlib
import io
import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from prelabel.errors import PhotoError
from prelabel.records import Picture

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
WORKING_SIDE = 1024
"""Long side in pixels at which edges are refined (DESIGN: no more than 1 024)."""
MAX_PIXELS = 256_000_000
"""Largest photo that is decoded: 768 MB as RGB. Larger ones are skipped, with a reason."""

_open_lock = threading.Lock()


def read_picture(file: Path) -> Picture:
    """Decode a photo. Raises PhotoError, with a reason for people, if that cannot be done."""
    return decode_picture(read_bytes(file))


def read_bytes(file: Path) -> bytes:
    """A file's bytes. Raises PhotoError."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise PhotoError(f"cannot be read ({error.strerror or error})") from error


def decode_picture(data: bytes) -> Picture:
    """Like ``read_picture``, from a file's bytes."""
    if not data:
        raise PhotoError("is empty (0 bytes)")
    try:
        with _open(data) as image:
            if image.width * image.height > MAX_PIXELS:
                raise PhotoError(
                    f"is {image.width} × {image.height} pixels; at most "
                    f"{MAX_PIXELS // 1_000_000} megapixels are decoded: scale it down"
                )
            full = image.size
            # JPEG only: decodes at 1/2, 1/4 or 1/8 where that is still large enough.
            image.draft(None, (WORKING_SIDE, WORKING_SIDE))
            swapped = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            pixels = np.asarray(_working_size(ImageOps.exif_transpose(_to_rgb(image))))
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise PhotoError(f"is not a picture that can be decoded ({len(data)} bytes)") from error
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise PhotoError(f"cannot be decoded ({error})") from error
    width, height = full[::-1] if swapped else full
    return Picture(pixels=pixels, width=width, height=height, digest=digest(data))


def digest(data: bytes) -> str:
    """32 hex digits that name a file's content (BLAKE2b, 128 bits)."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def grid_size(width: int, height: int, *, size: int, patch: int) -> tuple[int, int]:
    """Rows and columns of patches for a photo: its aspect ratio, the area of ``size`` × ``size``.

    Every photo costs about the same whatever its shape; a side has at least one patch, and aspect
    ratios beyond 4:1 are squeezed to 4:1, where a ViT's position grid still means something.
    """
    aspect = min(max(width / height, 0.25), 4.0)
    n_patches = (size / patch) ** 2
    rows = max(1, round(math.sqrt(n_patches / aspect)))
    return rows, max(1, round(n_patches / rows))


def resize(pixels: NDArray[np.uint8], *, height: int, width: int) -> NDArray[np.uint8]:
    """Resize uint8 (h, w, 3): area average when shrinking, bicubic when growing."""
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = pixels.shape[0] * pixels.shape[1] > height * width
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=mode), dtype=np.uint8)


@contextmanager
def _open(data: bytes) -> Iterator[Image.Image]:
    """Open without Pillow's own size limit, which is global and lower than ours."""
    with _open_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(io.BytesIO(data))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image


def _to_rgb(image: Image.Image) -> Image.Image:
    exif = image.getexif()
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I", "F"):
        # 12-bit and 16-bit cameras rarely use the whole range: stretch what is there.
        values = np.nan_to_num(np.asarray(image, dtype=np.float32))
        low, high = float(values.min()), float(values.max())
        grey = (values - low) * (255.0 / (high - low) if high > low else 0.0)
        result = Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        result = Image.alpha_composite(white, rgba).convert("RGB")
    else:
        result = image.convert("RGB")
    result.getexif().update(exif)
    return result


def _working_size(image: Image.Image) -> Image.Image:
    long_side = max(image.size)
    if long_side <= WORKING_SIDE:
        return image
    scale = WORKING_SIDE / long_side
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
