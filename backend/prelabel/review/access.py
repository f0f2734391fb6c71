"""Who may use a review on loopback: names of this machine, and pages that it has served itself."""

from __future__ import annotations

import hmac
import re
from contextlib import suppress
from ipaddress import ip_address

from starlette.requests import Request

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]@/\s]+)(:\d{1,5})?")
TOKEN_HEADER = "X-Prelabel-Token"


def asked_host(request: Request) -> str:
    """The Host header without its port; "" if it is not one. Starlette would give the server's own
    address in place of one that it cannot read."""
    found = _HOST.fullmatch(request.headers.get("host", ""))
    return found[1].strip("[]") if found else ""


def is_this_machine(host: str) -> bool:
    """Whether a Host header names this machine by loopback, which no name on the internet can be made
    to do (DNS rebinding)."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def has_token(request: Request, token: str) -> bool:
    """Whether a request has the page's token, which other sites' pages cannot read (CSRF)."""
    given = request.headers.get(TOKEN_HEADER, "")
    return hmac.compare_digest(given.encode(), token.encode())
