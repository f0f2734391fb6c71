"""Decoding a photo's bytes to upright RGB pixels, within a stated budget of memory.

What is decoded here may come from anybody: ``image_process`` runs this where it can do no harm.
"""

from __future__ import annotations

import io
import math
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageFile, ImageOps, UnidentifiedImageError
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from prelabel.data.image_formats import FORMATS
from prelabel.data.image_headers import TIFF, jpeg_2000_bits, jpeg_2000_levels, webp_size
from prelabel.data.image_rows import DEEP, DeepRows, EightBitRows, Rows, Values, bands
from prelabel.errors import PhotoError

WORKING_SIDE = 1024
"""Long side in pixels at which edges are refined."""
MAX_PIXELS = 256_000_000
"""Largest photo that is decoded. Larger ones are skipped, with a reason."""
MAX_MEMORY = 2_200_000_000
"""Bytes of memory that decoding may take beside the file itself: as 256 megapixels of 16-bit RGBA."""
ORIENTATION = 0x0112
"""EXIF's tag."""

_PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
"""Bytes of a pixel as Pillow holds it, where they are not 4."""
_DECODER_BYTES = {"AVIF": 24, "HEIF": 20, "JPEG2000": 36, "WEBP": 16}
"""Bytes of a pixel, where the decoder takes more than Pillow: measured, of photos in colour."""
_open_lock = threading.Lock()


class DecodingMemoryError(PhotoError):
    """Decoding a photo takes more memory than it may."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """``pixels``: uint8 (h, w, 3), upright. ``width``, ``height``: of the upright photo at full
    size."""

    pixels: NDArray[np.uint8]
    width: int
    height: int


def decode(
    data: bytes, *, full: bool, side: int = WORKING_SIDE, memory: int = MAX_MEMORY
) -> Decoded:
    """A photo's upright pixels, with at most ``side`` pixels on the long side, or at full size.
    ``memory``: bytes that this may take, as far as the file's head tells. Raises PhotoError."""
    try:
        return _decoded(data, full=full, side=side, memory=memory)
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise PhotoError(f"is not a picture that can be decoded ({len(data)} bytes)") from error
    except MemoryError as error:
        raise _too_much(memory) from error
    except Exception as error:  # a decoder may fail in any way on a broken file
        reason = " ".join(str(error).split()) or type(error).__name__
        if "memory" in reason.lower():
            raise _too_much(memory) from error
        raise PhotoError(f"cannot be decoded ({reason}; {len(data)} bytes)") from error


@contextmanager
def opened(data: BinaryIO, formats: Sequence[str] = FORMATS) -> Iterator[PilImage.Image]:
    """An image of one of Pillow's ``formats``, not decoded yet; Pillow's own size limit, which is
    global and lower than ours, does not count. Raises PhotoError for more than ``MAX_PIXELS``, and
    whatever Pillow raises."""
    at = data.tell()
    if size := webp_size(data.read(30)):  # whose decoder takes the memory when it is opened
        _check_size(size)
    data.seek(at)
    with _open_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, PilImage.MAX_IMAGE_PIXELS = PilImage.MAX_IMAGE_PIXELS, None
        try:
            image = PilImage.open(data, formats=tuple(formats))
        finally:
            PilImage.MAX_IMAGE_PIXELS = limit
    with image:
        _check_size(image.size)
        yield image


def _decoded(data: bytes, *, full: bool, side: int, memory: int) -> Decoded:
    if webp := webp_size(data):
        _check_size(webp)
        _check_memory(webp[0] * webp[1] * _DECODER_BYTES["WEBP"], memory)
    try:
        with opened(io.BytesIO(data)) as image:
            stated = image.size
            deep_color = _has_deep_channels(image, data)
            if not (full or deep_color):
                _reduce(image, data, side)
            _check_memory(_memory_of(image), memory)
            deep = _decode_deep(data) if deep_color else None
            if deep is not None and deep.shape[1::-1] != stated:
                deep = None
            if deep is None:
                image.load()
            # Not before: a TIFF's size is oriented on opening, its pixels and EXIF on loading.
            orientation = image.getexif().get(ORIENTATION, 1)
            if deep is not None:
                rows: Rows = DeepRows.of_bgr(deep)
            else:
                rows = DeepRows.of_image(image) if image.mode in DEEP else EightBitRows(image)
            return _finish(rows, stated, orientation, None if full else side)
    except UnidentifiedImageError:
        deep = _decode_deep(data) if data.startswith(TIFF) else None  # of floats, in colour
        if deep is None:
            raise
        exif = PilImage.Exif()
        exif.load(data)
        rows = DeepRows.of_bgr(deep)
        return _finish(rows, rows.size, exif.get(ORIENTATION, 1), None if full else side)


def _reduce(image: PilImage.Image, data: bytes, side: int) -> None:
    """Have an opened image decoded smaller where its format can do so and that is still large enough."""
    longer = max(side, *image.size)
    if not isinstance(image, Jpeg2KImageFile):  # JPEG alone can be drafted
        width, height = (-(-n * side // longer) for n in image.size)
        image.draft(None, (width, height))
        return
    halves = min(jpeg_2000_levels(data), int(math.log2(longer / side)))
    while any((n + (1 << halves >> 1)) >> halves != -(-n >> halves) for n in image.size):
        halves -= 1  # Pillow rounds these to another size than the decoder
    image.reduce = halves  # quicker; it takes as much memory


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise PhotoError(
            f"is {width} × {height} pixels; at most "
            f"{MAX_PIXELS // 1_000_000} megapixels are decoded: scale it down"
        )


def _check_memory(needed: int, memory: int) -> None:
    if needed > memory:
        raise _too_much(memory)


def _too_much(memory: int) -> DecodingMemoryError:
    return DecodingMemoryError(
        f"takes more than {memory / 1e9:.2g} GB of memory to decode: scale it down, or save it in "
        "another format"
    )


def _memory_of(image: PilImage.Image) -> int:
    """Bytes that an opened image will take: its pixels, and a pointer to each row."""
    pixel = _DECODER_BYTES.get(image.format or "", _PIXEL_BYTES.get(image.mode, 4))
    return image.height * (8 + image.width * pixel)


def _finish(rows: Rows, stated: tuple[int, int], orientation: int, side: int | None) -> Decoded:
    """``stated``: the size of the whole image, of which ``rows`` may be a reduced one. ``side``: the
    longest that the result may have; None for all of it."""
    image = _whole(rows) if side is None else _working_size(rows, side)
    image.getexif()[ORIENTATION] = orientation
    width, height = stated[::-1] if orientation in (5, 6, 7, 8) else stated
    return Decoded(np.asarray(ImageOps.exif_transpose(image)), width, height)


def _whole(rows: Rows) -> PilImage.Image:
    whole = PilImage.new("RGB", rows.size)
    for top, bottom in bands(rows.size):
        whole.paste(rows.rgb(top, bottom), (0, top))
    return whole


def _working_size(rows: Rows, side: int) -> PilImage.Image:
    """RGB with at most ``side`` pixels on the long side, not oriented."""
    width, height = rows.size
    scale = min(1.0, side / max(rows.size))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # As Pillow's reducing_gap=2, but in bands: a copy of a large photo would double its cost.
    across, down = (max(1, n // (2 * m)) for n, m in zip(rows.size, size, strict=True))
    reduced = PilImage.new("RGB", (-(-width // across), -(-height // down)))
    for top, bottom in bands(rows.size, multiple=down):
        reduced.paste(rows.rgb(top, bottom).reduce((across, down)), (0, top // down))
    box = (0, 0, width / across, height / down)
    return reduced.resize(size, PilImage.Resampling.BOX, box=box)


def _has_deep_channels(image: PilImage.Image, data: bytes) -> bool:
    """Whether an opened image is in colour and has more than 8 bits a channel, of which Pillow would
    keep the upper 8."""
    if image.mode in DEEP:
        return False
    if image.format == "JPEG2000":
        return jpeg_2000_bits(data) > 8
    if not isinstance(image, ImageFile.ImageFile):
        return False
    for tile in image.tile:
        parts = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if any(";16" in part for part in parts if isinstance(part, str)):
            return True
        if image.format == "PPM" and isinstance(parts[-1], int) and parts[-1] > 255:
            return True
    return False


def _decode_deep(data: bytes) -> Values | None:
    """Values (h, w, 3 or 4), BGR, as they are in the file; None if OpenCV cannot read it."""
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    values = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    if values is None or values.ndim != 3 or values.shape[2] not in (3, 4):
        return None
    return np.asarray(values)
