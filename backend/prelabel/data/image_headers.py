"""What the first bytes of a file say, before any decoder sees it."""

from __future__ import annotations

import struct

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
SCAN, END = b"\xff\xda", b"\xff\xd9"
"""JPEG's markers."""
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})

_PIXEL_BYTES = {"JPEG": 10, "PNG": 10, "deep PNG": 20, "WEBP": 20}
"""Bytes of memory that decoding takes for each pixel, and for its part of the file: measured."""
_MOST_SCANS = 50
"""Of such a JPEG: each scan of a progressive one goes over all pixels."""


def begins_as_photo(head: bytes) -> bool:
    """Whether the first 16 bytes of a file are those of the usual formats of photos."""
    return head.startswith((JPEG, PNG, b"GIF8", *TIFF)) or head[8:12] == b"WEBP"


def decoding_memory(data: bytes) -> int | None:
    """Bytes of memory that decoding a photo takes; None where its head does not tell, or where it may
    take long."""
    if data.startswith(JPEG):
        kind, size = "JPEG", jpeg_size(data)
        if data.count(SCAN) > _MOST_SCANS:
            return None
    elif data.startswith(PNG):
        kind, size = "deep PNG" if _is_deep_png(data) else "PNG", png_size(data)
    else:
        kind, size = "WEBP", webp_size(data)
    return None if size is None else size[0] * size[1] * _PIXEL_BYTES[kind]


def _is_deep_png(data: bytes) -> bool:
    """Whether a PNG is in colour and has 16 bits a channel."""
    return data[24:25] == b"\x10" and data[25:26] in (b"\x02", b"\x06")


def png_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a PNG states."""
    if len(data) < 24 or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def webp_size(head: bytes) -> tuple[int, int] | None:
    """Width and height that a WebP states in its first 30 bytes; None for another file."""
    if len(head) < 25 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return None
    if head[12:16] == b"VP8 " and len(head) >= 30:
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if head[12:16] == b"VP8X" and len(head) >= 30:
        return (
            int.from_bytes(head[24:27], "little") + 1,
            int.from_bytes(head[27:30], "little") + 1,
        )
    return None


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG states."""
    for marker, start, _ in jpeg_segments(data):
        if marker in _FRAMES and start + 5 <= len(data):
            height, width = struct.unpack(">HH", data[start + 1 : start + 5])
            return width, height
    return None


def jpeg_segments(data: bytes) -> list[tuple[int, int, int]]:
    """Marker, start and end of the content of each segment of a JPEG, up to its first scan's."""
    found = []
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:  # 0xFF: a byte that fills
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        found.append((marker, at + 4, end))
        if marker == SCAN[1]:
            break
        at = end
    return found


def jpeg_2000_bits(data: bytes) -> int:
    """Bits of a JPEG 2000's first channel; 0 for another file."""
    at = data.find(b"\xff\x4f\xff\x51")  # the codestream begins with its sizes
    return (data[at + 42] & 0x7F) + 1 if 0 <= at < len(data) - 42 else 0


def jpeg_2000_levels(data: bytes) -> int:
    """How often a JPEG 2000 can be decoded at half the size."""
    at = data.find(b"\xff\x52", data.find(b"\xff\x4f\xff\x51"))
    return data[at + 9] if 0 <= at < len(data) - 9 else 0
