"""Requests to a Label Studio server: address, token, retries, redirects, timeouts and errors."""

from __future__ import annotations

import itertools
import json
import logging
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from prelabel.errors import UserError
from prelabel.label_studio.api.address import server_place
from prelabel.label_studio.api.deadline import Deadline
from prelabel.label_studio.api.errors import (
    KEPT,
    AttemptError,
    ForbiddenError,
    NotFoundError,
    RedirectedAwayError,
    ServerFault,
)
from prelabel.label_studio.api.tokens import Token

for _name in ("httpx", "httpcore"):  # they log whole addresses, signed ones too
    logging.getLogger(_name).setLevel(logging.WARNING)

_T = TypeVar("_T")
_LONGEST_WAIT = 60.0
"""Seconds between two attempts, at most, whatever the server asks for."""
_REDIRECTS = 5


class Transport:
    """A connection to a Label Studio server. May be used by several threads at once.

    ``url``: where the server is, with a path if it is below one. ``token``: a legacy token or a
    personal access token. ``timeout``: seconds for connecting and for each read or write.
    ``attempts``: how often a request is made that may be repeated. ``wait``: seconds before the
    second attempt; doubled before each further one. Raises UserError if url or token cannot be
    used; nothing is requested from the server yet.
    """

    def __init__(self, url: str, token: str, *, timeout: float, attempts: int, wait: float) -> None:
        self.url = _checked(url)
        self.timeout = timeout
        self.token = Token(token, self.url, self._refresh)
        self._attempts = max(1, attempts)
        self._wait = wait
        self._http = httpx.Client(timeout=timeout, follow_redirects=False)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def json(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        content: bytes | None = None,
        content_type: str = "application/json",
        repeatable: bool = True,
        timeout: float | None = None,
        authorized: bool = True,
    ) -> object:
        """The JSON of an answer, None for an empty one.

        ``body``: sent as JSON; or ``content``, bytes of ``content_type``. ``repeatable``: doing it
        twice does no harm. ``timeout``: in place of the usual one. ``authorized``: send the token.
        Raises NotFoundError for a 404, ServerFault if the server fails, else UserError.
        """
        if body is not None:
            content = json.dumps(body, allow_nan=False).encode()
        try:
            status, answer = self.call(
                method,
                path,
                lambda response: (response.status_code, response.read()),
                headers={"Content-Type": content_type} if content else {},
                content=content,
                repeatable=repeatable,
                timeout=timeout,
                authorized=authorized,
            )
        except RedirectedAwayError as other:
            place = urlsplit(other.url)
            raise UserError(
                f"{self.url} redirects to {place.scheme}://{place.netloc.rpartition('@')[2]}, "
                "where the token is not sent: give the address that Label Studio is at"
            ) from None
        if not 200 <= status < 300:
            raise self._refusal(f"{method} {urlsplit(path).path}", status, answer)
        try:
            return json.loads(answer) if answer else None
        except ValueError:
            raise self.unexpected("something that is not JSON") from None

    def call(
        self,
        method: str,
        path: str,
        read: Callable[[httpx.Response], _T],
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
        repeatable: bool = True,
        timeout: float | None = None,
        authorized: bool = True,
        deadline: Deadline | None = None,
        follow: Callable[[str], bool] = lambda path: True,
    ) -> _T:
        """``read`` of the first answer that is not a fault of the server; the other arguments are
        as for ``json``. ``deadline``: of all attempts. ``follow``: whether a redirect leads to a path
        of this server, below its own, that the token may be sent to. Raises ServerFault,
        RedirectedAwayError, UserError for a refused token, and what the deadline raises."""
        request = _Request(
            method=method,
            address=self._address(path),
            headers=headers,
            content=content,
            timeout=timeout or self.timeout,
            authorized=authorized,
            deadline=deadline,
            follow=follow,
        )
        for attempt in itertools.count(1):
            if deadline:
                deadline.check()
            try:
                return self._attempt(request, read)
            except AttemptError as failure:
                if deadline:
                    deadline.check()
                if attempt >= self._attempts or not (repeatable or failure.not_done):
                    times = f" ({attempt} attempts)" if attempt > 1 else ""
                    see = "see the server's log" if failure.reached else "see whether it runs there"
                    raise ServerFault(
                        f"{self.url} {failure.reason}{times}: {see}; {KEPT}",
                        reason=failure.reason,
                        reached=failure.reached,
                    ) from failure
                seconds = max(failure.retry_after, self._wait * 2 ** (attempt - 1))
            time.sleep(min(_LONGEST_WAIT, seconds, deadline.left if deadline else math.inf))
        raise AssertionError  # the count has no end

    def unexpected(self, answer: str) -> UserError:
        """The error for an answer that a Label Studio does not give."""
        return UserError(
            f"{self.url} answered with {answer}: see whether {self.url} is a Label Studio server"
        )

    def _attempt(self, request: _Request, read: Callable[[httpx.Response], _T]) -> _T:
        """One attempt: redirects on this server are followed, and a refused access token is renewed
        once. Raises AttemptError if it may be made again."""
        address, hops, renewed = request.address, 0, False
        while True:
            header = self.token.header() if request.authorized else {}
            try:
                with self._http.stream(
                    request.method,
                    address,
                    headers={**request.headers, **header},
                    content=request.content,
                    timeout=request.timeout,
                    extensions={"trace": request.deadline.trace} if request.deadline else None,
                ) as response:
                    if request.deadline:
                        request.deadline.watch(response.extensions["network_stream"])
                    status = response.status_code
                    if response.has_redirect_location:
                        target = _redirect_target(response, request.method, address)
                        below = target.raw_path.decode("ascii", "replace")
                        if "/user/login" in target.path:
                            status = 401
                        elif not request.follow(below.removeprefix(urlsplit(self.url).path)):
                            raise RedirectedAwayError(str(target))
                        else:
                            address, hops = target, hops + 1
                            if hops > _REDIRECTS:
                                raise ServerFault(
                                    f"{self.url} redirects in a circle: see its settings"
                                )
                            continue
                    if status == 401 and request.authorized:
                        if renewed or not self.token.personal:
                            raise self.token.refused()
                        renewed = True
                        self.token.expire(header)
                        continue
                    if status < 500 and status != 429:
                        return read(response)
                    raise AttemptError.of_answer(response)
            except httpx.RequestError as error:
                raise AttemptError.of_connection(error) from error

    def _address(self, path: str) -> httpx.URL:
        """The path's address; a path from a task may begin with that of the server already."""
        place = urlsplit(self.url)
        if place.path and path.startswith(f"{place.path}/"):
            return httpx.URL(f"{place.scheme}://{place.netloc}{path}")
        return httpx.URL(self.url + path)

    def _refresh(self, token: str) -> str:
        """The access token for a personal access token."""
        try:
            answer = self.json(
                "POST", "/api/token/refresh/", body={"refresh": token}, authorized=False
            )
        except NotFoundError:
            answer = None
        access = answer.get("access") if isinstance(answer, dict) else None
        if not isinstance(access, str) or not re.fullmatch(r"[!-~]+", access):
            raise UserError(
                f"{self.url} gives no access token for a personal access token: use a legacy "
                "token, or a newer Label Studio"
            )
        return access

    def _refusal(self, request: str, status: int, answer: bytes) -> UserError:
        if status == 401:
            return self.token.refused()
        reason = self._without_secrets(answer.decode("utf-8", "replace"))
        if status == 403:
            return ForbiddenError(
                f"{self.url} forbids {request} to this token's user (403): use the token of a user "
                "who may change the project",
                reason=reason,
            )
        kind = NotFoundError if status == 404 else UserError
        return kind(
            f"{self.url} answered {status} to {request}{f' ({reason})' if reason else ''}: see "
            f"whether {self.url} is a Label Studio server"
        )

    def _without_secrets(self, text: str) -> str:
        """A server's text on one short line, without secrets; nothing of a web page."""
        if text.lstrip().startswith("<"):
            return ""
        text = self.token.removed_from(text)
        return " ".join(re.sub(r"\?[^\s\"']*", "?…", text).split())[:300]


@dataclass(frozen=True)
class _Request:
    """What is sent, at every attempt."""

    method: str
    address: httpx.URL
    headers: Mapping[str, str]
    content: bytes | None
    timeout: float
    authorized: bool
    deadline: Deadline | None
    follow: Callable[[str], bool]


def _checked(url: str) -> str:
    """The server's address without a slash at the end. Raises UserError."""
    expected = "expected http://HOST:PORT or https://HOST, as in a browser"
    place = server_place(url)
    if place is None:
        raise UserError(f"the Label Studio address is not valid: {expected}")
    if "@" in place.netloc:
        raise UserError(
            "the Label Studio address has a user or password in it, which cannot be sent together "
            f"with a token: {expected}"
        )
    return f"{place.scheme}://{place.netloc}{place.path.rstrip('/')}"


def _redirect_target(response: httpx.Response, method: str, address: httpx.URL) -> httpx.URL:
    """Where to go on. Raises RedirectedAwayError for another server, and whatever is not a GET."""
    try:
        target = response.url.join(response.headers["location"])
    except (ValueError, httpx.InvalidURL):
        raise httpx.RemoteProtocolError("a redirect to an address that is not valid") from None
    if _origin(target) != _origin(address) or method != "GET":
        raise RedirectedAwayError(str(target))
    return target


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port  # httpx leaves out a scheme's usual port
