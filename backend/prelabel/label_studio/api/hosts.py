"""The hosts that photos may come from, beside Label Studio's own."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

from prelabel.errors import PhotoError, UserError
from prelabel.label_studio.api.uris import PORTS


class AllowedHosts:
    """``name`` (on the usual ports of http and https), ``name:port``, or ``*`` for all."""

    def __init__(self, hosts: Iterable[str]) -> None:
        """Raises UserError for what is not a host."""
        self._all = False
        self._allowed: set[tuple[str, int]] = set()
        for host in hosts:
            if host.strip() == "*":
                self._all = True
            else:
                self._allowed |= _places(host.strip())

    def check(self, place: SplitResult) -> None:
        """Raises PhotoError for an address that no photo may be fetched from."""
        name = (place.hostname or "").lower()
        if place.scheme not in ("http", "https") or not name:
            raise PhotoError(
                f"is redirected to {place.scheme or 'no'}: address, expected http or https"
            )
        port = place.port or PORTS[place.scheme]
        if not self._all and (name, port) not in self._allowed:
            shown = name if port == PORTS[place.scheme] else f"{name}:{port}"
            raise PhotoError(
                f"lies on {shown}, which is not among the hosts that photos may come from: "
                "allow that host if you trust it"
            )


def _places(host: str) -> set[tuple[str, int]]:
    try:
        place = urlsplit(f"//{host}")
        name, port = (place.hostname or "").lower(), place.port
    except ValueError:
        name, port = "", None
    if not name or place.path or place.query or place.fragment or "@" in host or port == 0:
        raise UserError(f"{host!r} is not a host: expected NAME, NAME:PORT or *")
    return {(name, port)} if port else {(name, usual) for usual in PORTS.values()}
