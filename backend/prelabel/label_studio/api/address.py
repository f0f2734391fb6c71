"""The address of a Label Studio server."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

import httpx

_LONGEST = 1000
"""Characters."""


def server_place(url: str) -> SplitResult | None:
    """The parts of an http:// or https:// address that can be requested; None for all else."""
    url = url.strip()
    if len(url) > _LONGEST or not url.isprintable():  # urlsplit passes over line ends
        return None
    try:
        place = urlsplit(url)
        host, port = place.hostname or "", place.port
        host.encode("idna")  # as the system does when it looks a name up
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        return None
    return place if place.scheme in ("http", "https") and host and port != 0 else None
