"""Small files that say they are huge, or that take decoders long."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

_NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """An image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, color: int = 2) -> bytes:
    """A PNG that says how large it is and ends there."""
    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(b"\0"))
    )


def webp(width: int, height: int) -> bytes:
    """A lossless WebP without pixels: 26 bytes."""
    bits = (width - 1) | (height - 1) << 14
    body = b"VP8L" + struct.pack("<I", 6) + b"\x2f" + struct.pack("<I", bits) + b"\0"
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def animated_webp(width: int, height: int) -> bytes:
    """A large canvas with one frame of 16 × 16 pixels."""

    def three(value: int) -> bytes:
        return struct.pack("<I", value)[:3]

    pixels = b"VP8L" + struct.pack("<I", 6) + b"\x2f" + struct.pack("<I", 15 | 15 << 14) + b"\0"
    frame = three(0) * 2 + three(15) * 2 + bytes(4) + pixels
    body = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + three(width - 1) + three(height - 1)
    body += b"ANIM" + struct.pack("<I", 6) + bytes(6)
    body += b"ANMF" + struct.pack("<I", len(frame)) + frame
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def gif(width: int, height: int) -> bytes:
    """A small screen with a frame of another size."""
    data = bytearray(encoded(_NOISE, "GIF"))
    at = data.rindex(b"\x2c\0\0\0\0" + struct.pack("<HH", 64, 48))
    data[at + 5 : at + 9] = struct.pack("<HH", width, height)
    return bytes(data)


def tiff(width: int, height: int, *, tile: tuple[int, int] | None = None) -> bytes:
    """A compressed TIFF with eight bytes of pixels, in one strip or in one tile of another size."""
    tags = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 277: 1}
    if tile:
        tags |= {322: tile[0], 323: tile[1], 324: 8, 325: 8}
    else:
        tags |= {273: 8, 278: height, 279: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    head = b"II*\0" + struct.pack("<I", 16) + zlib.compress(bytes(100))[:8]
    return head + struct.pack("<H", len(tags)) + entries + bytes(104)


def tiff_with_many_tags(n: int, n_bytes: int) -> bytes:
    """A TIFF whose tags all have the same bytes as their value."""
    tags = {256: (4, 64), 257: (4, 48), 258: (3, 8), 259: (3, 1), 262: (3, 1), 273: (4, 8)}
    tags |= {277: (3, 1), 278: (4, 48), 279: (4, 3072)}
    entries = {tag: struct.pack("<HHII", tag, kind, 1, v) for tag, (kind, v) in tags.items()}
    entries |= {1000 + i: struct.pack("<HHII", 1000 + i, 7, n_bytes, 8) for i in range(n)}
    body = bytes(n_bytes + 8)
    ifd = struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries))
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + ifd + bytes(4)


def jpeg_2000(width: int, height: int) -> bytes:
    """The pixels of a small image under the sizes of a large one."""
    data = bytearray(encoded(_NOISE, "JPEG2000", no_jp2=True))
    at = data.index(b"\xff\x51")
    data[at + 6 : at + 14] = data[at + 22 : at + 30] = struct.pack(">II", width, height)
    return bytes(data)


def icon(inside: bytes) -> bytes:
    """A Windows icon that says it is 256 × 256 and holds another file."""
    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(inside), 22)
    return b"\0\0\1\0\1\0" + entry + inside


def apple_icon(inside: bytes) -> bytes:
    """An icon that says it is 512 × 512 and holds another file."""
    part = b"ic09" + struct.pack(">I", 8 + len(inside)) + inside
    return b"icns" + struct.pack(">I", 8 + len(part)) + part


def bmp(width: int, height: int) -> bytes:
    """The pixels of a small image under the sizes of a large one."""
    data = bytearray(encoded(_NOISE, "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def psd(width: int, height: int) -> bytes:
    """Without its pixels."""
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, height, width, 8, 3)
    return head + bytes(12) + struct.pack(">H", 1) + bytes(100)


def qoi(width: int, height: int) -> bytes:
    """Without most of its pixels."""
    return b"qoif" + struct.pack(">IIBB", width, height, 3, 0) + b"\xc0" * 100


def jpeg_of_many_scans(width: int, height: int, n: int) -> bytes:
    """A progressive JPEG whose last scan stands there ``n`` times."""
    data = bytearray(encoded(_NOISE, "JPEG", progressive=True))
    at = data.index(b"\xff\xc2")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    scan = bytes(data[data.rindex(b"\xff\xda") : -2])
    return bytes(data[:-2]) + scan * n + b"\xff\xd9"
