"""Writing a photo's answer to a file, within limits of size."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

import httpx

from prelabel.errors import PhotoError

HEADERS = {"Accept-Encoding": "identity"}
"""What photos are asked for with: they are compressed already."""
_PIECE = 65_536
"""Bytes that are decompressed at once."""
_GZIP = zlib.MAX_WBITS | 16


def write_photo(response: httpx.Response, into: BinaryIO, max_bytes: int) -> None:
    """Write a photo's answer to ``into``. Raises PhotoError if it is not a photo, is empty or has more
    than ``max_bytes`` bytes, compressed or not; httpx's errors if the connection fails."""
    status = response.status_code
    if status in (404, 410):
        raise PhotoError(f"cannot be fetched (there is no such file: {status})")
    if status in (401, 403):
        raise PhotoError(f"cannot be fetched (access is refused: {status})")
    if status != 200:
        raise PhotoError(f"cannot be fetched (the answer is {status}, not 200)")
    if response.headers.get("content-type", "").lower().startswith("text/html"):
        raise PhotoError("is a web page, not a picture")
    stated = response.headers.get("content-length", "")
    n_bytes = int(stated) if stated.isdecimal() and len(stated) < 20 else 0
    check_size(n_bytes or 1, max_bytes)
    n_bytes = 0
    for piece in _decompressed(response, max_bytes):
        n_bytes += len(piece)
        check_size(n_bytes or 1, max_bytes)
        into.write(piece)
    check_size(n_bytes, max_bytes)


def check_size(n_bytes: int, max_bytes: int) -> None:
    """Raises PhotoError if a photo is empty or has more than ``max_bytes`` bytes."""
    if not n_bytes:
        raise PhotoError("is empty (0 bytes)")
    if n_bytes > max_bytes:
        raise PhotoError(
            f"has more than {max_bytes / 1e6:.3g} MB, the most that is fetched: scale it down"
        )


def _decompressed(response: httpx.Response, max_bytes: int) -> Iterator[bytes]:
    """The body in small pieces. Servers compress what was not asked for; at most once is read."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    raw = _limited(response.iter_raw(_PIECE), max_bytes)
    if encoding in ("", "identity"):
        return raw
    if encoding in ("gzip", "x-gzip", "deflate"):
        return _inflated(raw, _GZIP if encoding != "deflate" else zlib.MAX_WBITS)
    raise PhotoError(
        f"cannot be fetched (it is sent with the encoding {encoding[:40]!r}, expected none or gzip)"
    )


def _limited(pieces: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
    n_bytes = 0
    for piece in pieces:
        n_bytes += len(piece)
        check_size(n_bytes or 1, max_bytes)
        yield piece


def _inflated(pieces: Iterator[bytes], bits: int) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(bits)
    try:
        for piece in pieces:
            left = piece
            while left:
                yield unpacker.decompress(left, _PIECE)
                left = unpacker.unconsumed_tail
        yield unpacker.flush(_PIECE)
    except zlib.error:
        raise PhotoError("cannot be fetched (its compression is broken)") from None
    if not unpacker.eof:
        raise PhotoError("cannot be fetched (its compression is cut off)")
