"""Reading photos: any mode, oriented once, never larger in memory than the stated limit."""

from __future__ import annotations

import hashlib
import io
import math
import stat
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import UnidentifiedImageError

from prelabel.data import image_process
from prelabel.data.image_decoding import MAX_PIXELS as MAX_PIXELS
from prelabel.data.image_decoding import ORIENTATION, Decoded, decode
from prelabel.data.image_decoding import WORKING_SIDE as WORKING_SIDE
from prelabel.data.image_decoding import opened as opened
from prelabel.data.image_formats import EXTENSIONS as EXTENSIONS
from prelabel.data.image_headers import decoding_memory
from prelabel.data.image_mending import LONG_TEXT, ended, find_fault, openable
from prelabel.data.records import Image
from prelabel.errors import PhotoError
from prelabel.storage.files import open_file
from prelabel.storage.memory import MemoryBudget, trim_heap
from prelabel.storage.remote import RemoteFile
from prelabel.storage.threads import cores

_MOST_HERE = 240_000_000
"""Bytes of memory that decoding a photo in this process may take."""
_LARGE = 100_000_000
"""Bytes of memory that go back to the system as soon as a photo is decoded."""
_here = MemoryBudget(max(2, cores()) * _MOST_HERE)
"""Of all photos that are decoded at once in this process, however many threads ask."""
MAX_BYTES = 8 * MAX_PIXELS
"""Largest file that is read: 16 bits in each of four channels."""


def be_frugal() -> None:
    """From now on, all photos that this process decodes at once take as much memory as one may; one
    that needs more than is usual is refused."""
    _here.n_bytes = _MOST_HERE
    image_process.be_frugal()


def read_image(file: Path | RemoteFile) -> Image:
    """Decode a photo. Raises PhotoError, with a reason for people, if that cannot be done."""
    return decode_image(read_bytes(file), file)


def read_bytes(file: Path | RemoteFile) -> bytes:
    """A file's bytes. Raises PhotoError for what cannot be read, is not a file, or is too large; and
    UserError if object storage does not answer."""
    try:
        size = file.size if isinstance(file, RemoteFile) else _size_on_disk(file)
        if size > MAX_BYTES:
            raise PhotoError(
                f"has {size / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:.0f} MB are read: scale it down"
            )
        return file.read_bytes()
    except OSError as error:
        raise PhotoError(f"cannot be read ({error.strerror or error})") from error


def _size_on_disk(file: Path) -> int:
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device may never end
        raise PhotoError("is not a file")
    return status.st_size


def decode_image(data: bytes, file: Path | RemoteFile | None = None) -> Image:
    """Like ``read_image``, from a file's bytes. ``file``: where they are; without it, the image holds
    them if it is larger than the working size."""
    decoded = _decode(data, full=False)
    is_reduced = decoded.pixels.shape[:2] != (decoded.height, decoded.width)
    again = (partial(read_bytes, file) if file else partial(bytes, data)) if is_reduced else None
    return Image(decoded.pixels, decoded.width, decoded.height, digest(data), again)


def pixels_at(image: Image, *, height: int, width: int) -> NDArray[np.uint8]:
    """An image's pixels uint8 (height, width, 3): decoded again where it has more of them than the
    working size keeps. Raises PhotoError if that fails, or the file has changed since."""
    pixels = image.pixels
    if image.read_again and max(height, width) > max(pixels.shape[:2]):
        data = image.read_again()
        if digest(data) != image.digest:
            raise PhotoError("was changed while it was used")
        pixels = _decode(data, full=False, side=max(height, width)).pixels
    return resize(pixels, height=height, width=width)


def decode_full_size(data: bytes) -> NDArray[np.uint8]:
    """The upright pixels (h, w, 3), not reduced to the working size. Raises PhotoError."""
    return _decode(data, full=True).pixels


def _decode(data: bytes, *, full: bool, side: int = WORKING_SIDE) -> Decoded:
    if not data:
        raise PhotoError("is empty (0 bytes)")
    match find_fault(data):
        case "":
            return _decode_whole(data, full=full, side=side)
        case mended if mended == LONG_TEXT:
            return _decode_whole(openable(data), full=full, side=side)
        case _:
            return _decode_without_end(data, full=full, side=side)


def _decode_without_end(jpeg: bytes, *, full: bool, side: int) -> Decoded:
    versions = ended(jpeg)
    if len({digest(_decode_whole(one, full=True).pixels.tobytes()) for one in versions}) != 1:
        raise PhotoError(f"cannot be decoded (it is truncated; {len(jpeg)} bytes)")
    return _decode_whole(versions[0], full=full, side=side)


def _decode_whole(data: bytes, *, full: bool, side: int = WORKING_SIDE) -> Decoded:
    memory = decoding_memory(data)
    if memory is None or memory > _MOST_HERE:
        return image_process.decode_apart(data, full=full, side=side)
    with _here.taking(memory):
        try:
            return decode(data, full=full, side=side)
        finally:
            if memory > _LARGE:
                trim_heap()  # each thread's allocator would keep what the photo took


def read_size(file: Path | bytes) -> tuple[int, int]:
    """Width and height of the EXIF-oriented photo, from its bytes or its file, of which only the head is
    read. Raises PhotoError."""
    try:
        with io.BytesIO(file) if isinstance(file, bytes) else open_file(file) as data:
            return _size(data)
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise PhotoError("is not a picture that can be decoded") from error
    except OSError as error:
        raise PhotoError(f"cannot be read ({error.strerror or error})") from error
    except Exception as error:  # a decoder may fail in any way on a broken file
        whole = file if isinstance(file, bytes) else read_bytes(file)
        if find_fault(whole) == LONG_TEXT:
            with suppress(Exception):
                return _size(io.BytesIO(openable(whole)))
        raise PhotoError(f"cannot be read ({type(error).__name__})") from error


def _size(data: BinaryIO) -> tuple[int, int]:
    with opened(data) as image:
        orientation = image.getexif().get(ORIENTATION, 1)
        width, height = image.size
        is_oriented = image.format == "TIFF"  # already
    return (height, width) if orientation in (5, 6, 7, 8) and not is_oriented else (width, height)


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
