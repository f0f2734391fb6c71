"""Who may use a review on loopback: names of this machine, and pages that it has served itself."""

from __future__ import annotations

import hmac
from contextlib import suppress
from ipaddress import ip_address

from starlette.requests import Request

TOKEN_HEADER = "X-Prelabel-Token"


def is_this_machine(host: str) -> bool:
    """Whether a Host header names this machine by loopback, which no name on the internet can be made
    to do (DNS rebinding)."""
    with suppress(ValueError):
        return ip_address(host.strip("[]")).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def has_token(request: Request, token: str) -> bool:
    """Whether a request has the page's token, which other sites' pages cannot read (CSRF)."""
    given = request.headers.get(TOKEN_HEADER, "")
    return hmac.compare_digest(given.encode(), token.encode())
