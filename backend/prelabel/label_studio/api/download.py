"""Writing a photo's answer to a file, within limits of size and time."""

from __future__ import annotations

import time
from typing import BinaryIO

import httpx

from prelabel.errors import PhotoError


def write_photo(
    response: httpx.Response, into: BinaryIO, max_bytes: int, *, seconds: float
) -> None:
    """Write a photo's answer to ``into``. Raises PhotoError if it is not a photo, is empty, has more
    than ``max_bytes`` bytes or takes longer than ``seconds``; httpx's errors if the connection
    fails."""
    status = response.status_code
    if status in (404, 410):
        raise PhotoError(f"cannot be fetched (there is no such file: {status})")
    if status in (401, 403):
        raise PhotoError(f"cannot be fetched (access is refused: {status})")
    if status != 200:
        raise PhotoError(f"cannot be fetched (the answer is {status}, not 200)")
    if response.headers.get("content-type", "").lower().startswith("text/html"):
        raise PhotoError("is a web page, not a picture")
    end = time.monotonic() + seconds
    stated = response.headers.get("content-length", "")
    n_bytes = int(stated) if stated.isdecimal() and len(stated) < 20 else 0
    check_size(n_bytes or 1, max_bytes)
    n_bytes = 0
    for chunk in response.iter_bytes():
        n_bytes += len(chunk)
        check_size(n_bytes or 1, max_bytes)
        if time.monotonic() > end:
            raise PhotoError(f"cannot be fetched (not done after {seconds:.0f} seconds)")
        into.write(chunk)
    check_size(n_bytes, max_bytes)


def check_size(n_bytes: int, max_bytes: int) -> None:
    """Raises PhotoError if a photo is empty or has more than ``max_bytes`` bytes."""
    if not n_bytes:
        raise PhotoError("is empty (0 bytes)")
    if n_bytes > max_bytes:
        raise PhotoError(
            f"has more than {max_bytes / 1e6:.3g} MB, the most that is fetched: scale it down"
        )
