"""Bodies of requests: how large they may be, one by one and all together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request

from prelabel.errors import UserError

SMALL = 1_000_000
"""Bytes of all bodies but those of /predict and of trusted webhooks."""


class BusyError(Exception):
    """The backend has too much to do at present; the text is for people."""


@dataclass(eq=False)
class _Body:
    """``whole``: nothing is missing. ``dropped``: to make room for others."""

    content: bytearray = field(default_factory=bytearray)
    whole: bool = False
    dropped: bool = False


class Bodies:
    """Bodies that are in memory at once. If two of the ``largest`` would not hold all of them, those
    that have taken longest to arrive are dropped: whoever sends slowly does not keep out the others.

    ``largest``: bytes of one. For one event loop.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._bodies: dict[_Body, None] = {}

    @asynccontextmanager
    async def reading(self, request: Request, *, large: bool) -> AsyncIterator[bytearray]:
        """A request's JSON body, which counts until the end of the block. ``large``: it may have more
        than SMALL bytes. Raises UserError for one that is too large or of another type, BusyError."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise UserError(f"Content-Type is {kind or 'not given'}: expected application/json")
        self._check(request.headers.get("content-length", ""), large=large)
        body = _Body()
        self._bodies[body] = None
        try:
            async for chunk in request.stream():
                body.content += chunk
                self._check(str(len(body.content)), large=large)
                self._make_room()
                if body.dropped:
                    raise BusyError("the backend is reading too many large requests: ask again")
            body.whole = True
            yield body.content
        finally:
            del self._bodies[body]

    def _make_room(self) -> None:
        size = sum(len(body.content) for body in self._bodies)
        for body in list(self._bodies):  # in the order in which they began
            if size <= 2 * self._largest:
                return
            if not body.whole:
                size -= len(body.content)
                body.content.clear()
                body.dropped = True

    def _check(self, size: str, *, large: bool) -> None:
        most = self._largest if large else min(SMALL, self._largest)
        if size.isdecimal() and (len(size) > 15 or int(size) > most):
            advice = (
                "send fewer tasks at once, or start the backend with a larger --max-request-mb"
                if large
                else "expected a small one here"
            )
            raise UserError(f"the request has more than {most / 1e6:g} MB: {advice}")
