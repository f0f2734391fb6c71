"""Faults of files that cost no pixel, and that decoders refuse all the same."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from prelabel.data.image_headers import END, JPEG, PNG, SCAN, jpeg_segments

NO_END = "photos whose JPEG has no end marker, read since all their pixels are there"
LONG_TEXT = "photos whose PNG holds over 1 MB of text, read without it"

_MOST_TEXT = 1_000_000
"""Bytes of a PNG's texts and profiles together, unpacked: Pillow refuses more than 1 MB in one."""
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_PADDINGS = (b"", b"\x55" * 64, b"\xaa" * 64)


def find_fault(data: bytes) -> str:
    """What is mended in a photo that can be decoded: a kind of problem, for people; "" for none."""
    if data.startswith(JPEG) and _lacks_end(data):
        return NO_END
    if data.startswith(PNG) and _text_size(data) > _MOST_TEXT:
        return LONG_TEXT
    return ""


def openable(data: bytes) -> bytes:
    """The same photo, as decoders open it: a PNG with much text without it."""
    return without_text(data) if find_fault(data) == LONG_TEXT else data


def without_text(png: bytes) -> bytes:
    """A PNG without its texts and its colour profile."""
    kept = [PNG]
    end = len(PNG)
    for kind, start, end in _chunks(png):
        if kind not in _TEXTS:
            kept.append(png[start:end])
    kept.append(png[end:])
    return b"".join(kept)


def ended(jpeg: bytes) -> tuple[bytes, ...]:
    """A JPEG without its end marker, in several versions that all have one: what stands before it
    differs, and so do their pixels, unless all pixels stand before that. Empty if a scan is missing.
    """
    whole = jpeg.rstrip(b"\xff")  # the first half of the marker
    return tuple(whole + padding + END for padding in _PADDINGS) if _all_scans(jpeg) else ()


def _lacks_end(jpeg: bytes) -> bool:
    segments = jpeg_segments(jpeg)
    # Pixels never look like a marker; before the first scan, a thumbnail has an end of its own.
    return bool(segments) and segments[-1][0] == SCAN[1] and jpeg.rfind(END) < segments[-1][2]


def _all_scans(jpeg: bytes) -> bool:
    """Whether a progressive JPEG has a last scan of each of its coefficients."""
    segments = jpeg_segments(jpeg)
    frame = next((jpeg[start:end] for marker, start, end in segments if marker == 0xC2), None)
    if frame is None:
        return True
    missing = {(component, k) for component in frame[6::3] for k in range(64)}
    at = segments[-1][1] - 4
    while at >= 0:
        n = jpeg[at + 4] if at + 4 < len(jpeg) else 0
        header = jpeg[at + 5 : at + 8 + 2 * n]
        if len(header) == 2 * n + 3 and header[-1] & 15 == 0:
            first, last = header[-3], header[-2]
            missing -= {(c, k) for c in header[: 2 * n : 2] for k in range(first, last + 1)}
        at = jpeg.find(SCAN, at + 2)
    return not missing


def _text_size(png: bytes) -> int:
    """Bytes of all texts, unpacked; more than ``_MOST_TEXT`` are not counted exactly."""
    size = 0
    for kind, start, end in _chunks(png):
        if kind not in _TEXTS or size > _MOST_TEXT:
            continue
        content = png[start + 8 : end - 4]
        keyword, _, rest = content.partition(b"\0")
        if kind == b"iTXt" and rest[:1] == b"\1":
            packed = rest[2:].split(b"\0", 2)[-1]
        elif kind in (b"zTXt", b"iCCP"):
            packed = rest[1:]
        else:
            size += len(content)
            continue
        unpacker = zlib.decompressobj()
        try:
            size += len(keyword) + len(unpacker.decompress(packed, _MOST_TEXT + 1))
        except zlib.error:
            continue  # the decoder has its own opinion
    return size


def _chunks(png: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each whole chunk."""
    at = len(PNG)
    while at + 12 <= len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4])
        if end > len(png):
            return
        yield png[at + 4 : at + 8], at, end
        at = end
