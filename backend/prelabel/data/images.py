"""Reading photos: any mode, oriented once, never larger in memory than the stated limit."""

from __future__ import annotations

import hashlib
import io
import math
import stat
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageOps, UnidentifiedImageError

from prelabel.data.records import Image
from prelabel.errors import PhotoError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
WORKING_SIDE = 1024
"""Long side in pixels at which edges are refined."""
MAX_PIXELS = 256_000_000
"""Largest photo that is decoded: 1 GB at 4 bytes a pixel, and little beside it, since it is reduced
in bands. Larger ones are skipped, with a reason."""
MAX_BYTES = 4 * MAX_PIXELS
"""Largest file that is read."""

_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")
"""What is decoded, whatever a file's ending: no format whose decoder starts other programs (EPS)."""
_BAND = 4_000_000
"""Pixels of a large photo that are converted at once."""
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
_ORIENTATION = 0x0112
_open_lock = threading.Lock()


def read_image(file: Path) -> Image:
    """Decode a photo. Raises PhotoError, with a reason for people, if that cannot be done."""
    return decode_image(read_bytes(file))


def read_bytes(file: Path) -> bytes:
    """A file's bytes. Raises PhotoError for what cannot be read, is not a file, or is too large."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device may never end
            raise PhotoError("is not a file")
        if status.st_size > MAX_BYTES:
            raise PhotoError(
                f"has {status.st_size / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:.0f} MB are read: "
                "scale it down"
            )
        return file.read_bytes()
    except OSError as error:
        raise PhotoError(f"cannot be read ({error.strerror or error})") from error


def decode_image(data: bytes) -> Image:
    """Like ``read_image``, from a file's bytes."""
    if not data:
        raise PhotoError("is empty (0 bytes)")
    try:
        with opened(io.BytesIO(data)) as image:
            full = image.size
            # JPEG only: decodes at 1/2, 1/4 or 1/8 where that is still large enough.
            side = max(WORKING_SIDE, *full)
            image.draft(
                None, (-(-full[0] * WORKING_SIDE // side), -(-full[1] * WORKING_SIDE // side))
            )
            image.load()
            # Not before: a TIFF's size is oriented on opening, its pixels and EXIF on loading.
            orientation = image.getexif().get(_ORIENTATION, 1)
            small = _working_size(image)
            small.getexif()[_ORIENTATION] = orientation
            pixels = np.asarray(ImageOps.exif_transpose(small))
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise PhotoError(f"is not a picture that can be decoded ({len(data)} bytes)") from error
    except Exception as error:  # a decoder may fail in any way on a broken file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PhotoError(f"cannot be decoded ({reason}; {len(data)} bytes)") from error
    width, height = full[::-1] if orientation in (5, 6, 7, 8) else full
    return Image(pixels=pixels, width=width, height=height, digest=digest(data))


def read_size(file: Path) -> tuple[int, int]:
    """Width and height of the EXIF-oriented photo; only its head is read. Raises PhotoError."""
    try:
        with file.open("rb") as data, opened(data) as image:
            orientation = image.getexif().get(_ORIENTATION, 1)
            width, height = image.size
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise PhotoError("is not a picture that can be decoded") from error
    except OSError as error:
        raise PhotoError(f"cannot be read ({error.strerror or error})") from error
    except Exception as error:  # as above
        raise PhotoError(f"cannot be read ({type(error).__name__})") from error
    turned = (
        orientation in (5, 6, 7, 8) and image.format != "TIFF"
    )  # whose size is oriented already
    return (height, width) if turned else (width, height)


def upright(image: PilImage.Image) -> PilImage.Image:
    """An opened photo as ``read_image`` shows it, RGB and oriented, at its full size."""
    image.load()
    orientation = image.getexif().get(_ORIENTATION, 1)
    rows = max(1, _BAND // image.width)
    limits = _limits(image, rows)
    whole = PilImage.new("RGB", image.size)
    for top, band in _bands(image, rows):
        whole.paste(_to_rgb(band, limits), (0, top))
    whole.getexif()[_ORIENTATION] = orientation
    return ImageOps.exif_transpose(whole)


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
def opened(data: BinaryIO, formats: Sequence[str] = _FORMATS) -> Iterator[PilImage.Image]:
    """An image of one of Pillow's ``formats``, not decoded yet; Pillow's own size limit, which is
    global and lower than ours, does not count. Raises PhotoError for more than ``MAX_PIXELS``, and
    whatever Pillow raises."""
    with _open_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, PilImage.MAX_IMAGE_PIXELS = PilImage.MAX_IMAGE_PIXELS, None
        try:
            image = PilImage.open(data, formats=tuple(formats))
        finally:
            PilImage.MAX_IMAGE_PIXELS = limit
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise PhotoError(
                f"is {image.width} × {image.height} pixels; at most "
                f"{MAX_PIXELS // 1_000_000} megapixels are decoded: scale it down"
            )
        yield image


def _working_size(image: PilImage.Image) -> PilImage.Image:
    """A loaded image as RGB of the working size, not oriented."""
    scale = min(1.0, WORKING_SIDE / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # As Pillow's reducing_gap=2, but in bands: a copy of a large photo would double its cost.
    across, down = (max(1, n // (2 * m)) for n, m in zip(image.size, size, strict=True))
    rows = down * max(1, _BAND // (down * image.width))
    limits = _limits(image, rows)
    reduced = PilImage.new("RGB", (-(-image.width // across), -(-image.height // down)))
    for top, band in _bands(image, rows):
        reduced.paste(_to_rgb(band, limits).reduce((across, down)), (0, top // down))
    box = (0, 0, image.width / across, image.height / down)
    return reduced.resize(size, PilImage.Resampling.BOX, box=box)


def _bands(image: PilImage.Image, rows: int) -> Iterator[tuple[int, PilImage.Image]]:
    """The image in pieces of ``rows`` rows, each with its upper edge."""
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _limits(image: PilImage.Image, rows: int) -> tuple[float, float] | None:
    """Lowest and highest value of a photo with more than 8 bits; None for others."""
    if image.mode not in _DEEP:
        return None
    low, high = np.inf, -np.inf
    for _, band in _bands(image, rows):
        values = np.asarray(band, dtype=np.float32)
        values = values[np.isfinite(values)]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return (low, high) if low <= high else (0.0, 0.0)


def _to_rgb(image: PilImage.Image, limits: tuple[float, float] | None) -> PilImage.Image:
    """8-bit RGB: ``limits`` become black and white, what is transparent white."""
    if limits:
        # 12-bit and 16-bit cameras rarely use the whole range: stretch what is there.
        low, high = limits
        values = np.nan_to_num(
            np.asarray(image, dtype=np.float64), nan=low, posinf=high, neginf=low
        )
        grey = (values - low) * (255.0 / (high - low) if high > low else 0.0)
        return PilImage.fromarray(np.rint(grey).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = PilImage.new("RGBA", rgba.size, (255, 255, 255, 255))
        return PilImage.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")
