"""The HTTP of a review page, which can be mounted under any path."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import cache
from importlib.resources import files
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from prelabel.errors import PhotoError, UserError
from prelabel.review.access import TOKEN_HEADER, asked_host, has_token, is_this_machine
from prelabel.review.answers import EmptyAnswer, ErrorAnswer
from prelabel.review.edits import read_request
from prelabel.review.review import Review
from prelabel.storage.json import encode
from prelabel.storage.pages import template

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_NO_STORE = {"Cache-Control": "no-store"}
_KEPT = {"Cache-Control": "private, max-age=0, must-revalidate"}
_KINDS = {".js": "text/javascript", ".css": "text/css"}
_MOST_BYTES = 20_000_000
"""Of an edit: as many regions as 2 million, each with its number."""
_SMALL = 100_000
"""Bytes of an edit beyond which one is received at a time: decoded, it takes ten times as much."""
_DECODING = 4
"""Photos that are decoded at once."""
_log = logging.getLogger(__name__)


class _Number(IntegerConvertor):
    """Numbers in addresses. Python refuses to read one of thousands of digits."""

    regex = "[0-9]{1,4000}"


register_url_convertor("number", _Number())


def create_app(review: Callable[[], Review], *, only_this_machine: bool = True) -> ASGIApp:
    """The page of a review, and what it asks.

    ``review``: gives the review, from any thread; it is called with every request and may raise
    UserError. ``only_this_machine``: answer requests to names of loopback alone; what is mounted into
    a server that decides itself who may ask has no need of it.
    """
    handlers = _Handlers(review, only_this_machine=only_this_machine)
    return Router(
        routes=[
            Route("/", handlers.answering(handlers.page)),
            Route("/page/{path:path}", handlers.answering(handlers.asset)),
            Route("/api/state", handlers.answering(handlers.state)),
            Route("/api/classes/{id:number}/regions", handlers.answering(handlers.class_regions)),
            Route("/api/regions/{id:number}/thumbnail", handlers.answering(handlers.thumbnail)),
            Route("/api/regions/{id:number}/photo", handlers.answering(handlers.photo)),
            Route("/api/photos/{id:number}/image", handlers.answering(handlers.image)),
            Route("/api/map", handlers.answering(handlers.map)),
            Route("/api/figures", handlers.answering(handlers.figures)),
            Route("/api/edits", handlers.answering(handlers.edit), methods=["POST"]),
            Route("/api/push", handlers.answering(handlers.push), methods=["POST"]),
        ]
    )


class _Handlers:
    """One method for each path."""

    def __init__(self, review: Callable[[], Review], *, only_this_machine: bool) -> None:
        self._review = review
        self._only_this_machine = only_this_machine
        self._token = secrets.token_urlsafe(24)
        self._decoding = anyio.CapacityLimiter(_DECODING)
        self._large = asyncio.Lock()

    def answering(self, handler: Handler) -> Handler:
        """A handler that refuses who may not ask, and answers errors with one line."""

        async def answer(request: Request) -> Response:
            try:
                found = self._refusal(request) or await handler(request)
            except UserError as error:
                found = _error(400, str(error))
            except PhotoError as error:
                found = _error(404, f"the photo {error}")
            except OSError as error:
                found = _error(500, f"{error}: see whether there is room on the disk")
            except ClientDisconnect:
                found = Response(status_code=400)
            except Exception:
                _log.exception("%s %s", request.method, request.url.path)
                found = _error(500, "a fault of prelabel; its output has the details")
            found.headers.update(HEADERS)
            return found

        return answer

    def _refusal(self, request: Request) -> Response | None:
        if self._only_this_machine and not is_this_machine(host := asked_host(request)):
            return _error(403, f"{host!r} is not a name of this machine: open the printed address")
        if request.method == "POST" and not has_token(request, self._token):
            return _error(403, f"no valid {TOKEN_HEADER}: load the page again")
        return None

    async def page(self, _: Request) -> Response:
        """The page, with the token that its edits need."""
        text = template("review/page/index.html.j2").render(token=self._token)
        return Response(text, media_type="text/html", headers=_NO_STORE)

    async def asset(self, request: Request) -> Response:
        """A script or style sheet of the page."""
        path = request.path_params["path"]
        found = _assets().get(path)
        if found is None:
            return _error(404, f"no file {path} of the page")
        kind = _KINDS[path[path.rindex(".") :]]
        tag = hashlib.blake2b(found, digest_size=12).hexdigest()
        if _is_known(request, tag):
            return _not_modified(tag)
        return Response(found, media_type=kind, headers=_tagged(tag))

    async def state(self, request: Request) -> Response:
        """What may have changed; nothing if it has not."""
        since = request.query_params.get("since", "")
        known = int(since) if since.isdecimal() and len(since) < 20 else None
        found = await self._run(lambda: self._review().state(known))
        return Response(status_code=204, headers=_NO_STORE) if found is None else _json(found)

    async def class_regions(self, request: Request) -> Response:
        """Some regions of a class."""
        number = request.path_params["id"]
        offset, limit = _number(request, "offset", 0), _number(request, "limit", 200)
        return _json(
            await self._run(
                lambda: self._review().class_regions(number, offset=offset, limit=limit)
            )
        )

    async def thumbnail(self, request: Request) -> Response:
        """A region's cut-out."""
        number = request.path_params["id"]
        tag = f"{self._review().key}-{number}"
        return await self._picture(request, tag, lambda: self._review().thumbnail(number))

    async def image(self, request: Request) -> Response:
        """A photo."""
        number = request.path_params["id"]
        tag = f"{self._review().key}-photo-{number}"
        return await self._picture(request, tag, lambda: self._review().photo_image(number))

    async def photo(self, request: Request) -> Response:
        """A region's photo, with all its regions."""
        number = request.path_params["id"]
        return _json(await self._run(lambda: self._review().photo(number)))

    async def map(self, _: Request) -> Response:
        """Places, classes and scores of all regions."""
        found = await self._run(lambda: self._review().map_bytes())
        if found is None:
            return _error(404, "the map is not ready yet: ask again")
        return Response(found, media_type="application/octet-stream", headers=_NO_STORE)

    async def figures(self, _: Request) -> Response:
        """Histograms of all classes."""
        return _json(await self._run(lambda: self._review().figures()))

    async def edit(self, request: Request) -> Response:
        """An edit; it counts for all who look at the page."""
        size = request.headers.get("content-length", "")
        is_small = size.isdecimal() and len(size) < 8 and int(size) <= _SMALL
        async with nullcontext() if is_small else self._large:
            body = await _body(request)
            return _json(await self._run(lambda: self._review().edit(read_request(body))))

    async def push(self, _: Request) -> Response:
        """Bring stored predictions up to date."""
        await self._run(lambda: self._review().push())
        return _json(EmptyAnswer())

    async def _picture(self, request: Request, tag: str, make: Callable[[], bytes]) -> Response:
        """A picture, made unless the browser has it: the same regions have the same pictures."""
        if _is_known(request, tag):
            return _not_modified(tag)
        found = await anyio.to_thread.run_sync(make, limiter=self._decoding)
        return Response(found, media_type="image/jpeg", headers=_tagged(tag))

    async def _run(self, work: Callable[[], T]) -> T:
        return await run_in_threadpool(work)


@cache
def _assets() -> dict[str, bytes]:
    """The page's scripts and style sheets, by path."""
    root = files("prelabel").joinpath("review/page")
    found = {}
    folders = [("", root)]
    while folders:
        before, folder = folders.pop()
        for entry in folder.iterdir():
            if entry.is_dir():
                folders.append((f"{before}{entry.name}/", entry))
            elif entry.name.endswith(tuple(_KINDS)):
                found[before + entry.name] = entry.read_bytes()
    return found


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            raise UserError(f"an edit of more than {_MOST_BYTES:,} bytes: choose fewer regions")
    return bytes(body)


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdecimal() or len(text) > 9:
        raise UserError(f"{name}={text}: expected a whole number from 0")
    return int(text)


def _tagged(tag: str) -> dict[str, str]:
    """Headers of what a browser may keep, and asks about by its tag."""
    return {**_KEPT, "ETag": f'"{tag}"'}


def _is_known(request: Request, tag: str) -> bool:
    return request.headers.get("if-none-match") == f'"{tag}"'


def _not_modified(tag: str) -> Response:
    return Response(status_code=304, headers=_tagged(tag))


def _json(value: msgspec.Struct) -> Response:
    return Response(encode(value), media_type="application/json", headers=_NO_STORE)


def _error(status: int, text: str) -> Response:
    response = _json(ErrorAnswer(text))
    response.status_code = status
    return response
