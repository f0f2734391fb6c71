"""What can go wrong between this tool and a Label Studio server."""

from __future__ import annotations

import httpx

from prelabel.errors import UserError

_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
KEPT = "what is done is kept; run the same command again and it goes on from there"


class ServerFault(UserError):  # noqa: N818
    """The server failed in the middle of a job; what is done is kept.

    ``reason``: what happened, without the advice. ``reached``: whether the server answered at all.
    """

    def __init__(self, message: str, *, reason: str = "", reached: bool = True) -> None:
        super().__init__(message)
        self.reason = reason or message
        self.reached = reached


class TokenRefusedError(UserError):
    """The server does not accept the token, at the path that was requested at least."""


class NotFoundError(UserError):
    """The server answered 404: nothing is there, or this user may not see it."""


class ForbiddenError(UserError):
    """The server answered 403. ``reason``: what it says, which may be nothing."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class RedirectedAwayError(Exception):
    """The server redirects to another one. ``url``: where to; it may be signed."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url


class AttemptError(Exception):
    """An attempt failed and may be made again. ``not_done``: the server has done nothing, so that
    even a request that is not repeatable may be. ``retry_after``: seconds that the server asks to
    wait. ``reached``: whether it answered."""

    def __init__(
        self, reason: str, *, not_done: bool, retry_after: float = 0.0, reached: bool = True
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.not_done = not_done
        self.retry_after = retry_after
        self.reached = reached

    @classmethod
    def of_answer(cls, response: httpx.Response) -> AttemptError:
        status, after = response.status_code, response.headers.get("retry-after", "")
        seconds = float(after) if after.isdecimal() and len(after) < 6 else 0.0
        not_done = status in (429, 502, 503)
        return cls(f"answered {status}", not_done=not_done, retry_after=seconds)

    @classmethod
    def of_connection(cls, error: httpx.RequestError) -> AttemptError:
        unsent = isinstance(error, _UNSENT)
        if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
            reason = "cannot be reached"
        elif isinstance(error, httpx.TimeoutException):
            reason = "did not answer in time"
        else:
            reason = "broke the connection off"
        return cls(reason, not_done=unsent, reached=not unsent)
