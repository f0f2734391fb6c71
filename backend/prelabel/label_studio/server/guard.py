"""Who may use the backend, and what is answered when something goes wrong."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prelabel.errors import UserError
from prelabel.label_studio.server.bodies import BusyError
from prelabel.label_studio.server.metrics import Metrics
from prelabel.label_studio.server.problems import ProblemLog
from prelabel.review.access import asked_host

_NAMES_OF_THIS_MACHINE = ("localhost", "host.docker.internal", "host.containers.internal")
_OPEN_PATHS = ("/health", "/webhook")
"""Label Studio sends webhooks without a password, and a health check needs none."""

REASON = "x-prelabel-reason"
"""The header that the connection makes the reason phrase of."""
_REASON = 300
"""Characters of a reason phrase."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Access:
    """Who may use the backend. ``basic``: ``user:password``; ``token``: as ``Authorization: Bearer …`` or
    ``Token …``; with neither, everybody who can reach the port. ``max_bytes``: of a request."""

    basic: str = ""
    token: str = ""
    max_bytes: int = 100_000_000

    @property
    def open(self) -> bool:
        """Whether neither password nor token is required."""
        return not (self.basic or self.token)

    def allows(self, request: Request) -> bool:
        """Whether a request has the password or token, compared in constant time, or needs none."""
        if self.open:
            return True
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        secret = secret.strip()
        if scheme.lower() == "basic" and self.basic:
            try:
                given = base64.b64decode(secret, validate=True)
            except ValueError:
                return False
            return hmac.compare_digest(given, self.basic.encode())
        if scheme.lower() in ("bearer", "token") and self.token:
            return hmac.compare_digest(secret.encode(), self.token.encode())
        return False


class Guard:
    """Wraps the application: refuses requests that are not allowed, answers errors with one line,
    and measures how long each answer takes."""

    def __init__(
        self, app: ASGIApp, access: Access, metrics: Metrics, problems: ProblemLog
    ) -> None:
        self._app = app
        self._access = access
        self._metrics = metrics
        self._problems = problems

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received_at = time.monotonic()
        status = 500
        begun = False

        async def send_and_note(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
            await send(message)

        request = Request(scope, receive)
        try:
            refusal = self._refusal(request)
            if refusal is None:
                await self._app(scope, receive, send_and_note)
            else:
                await refusal(scope, receive, send_and_note)
        except UserError as error:
            await _error(400, str(error))(scope, receive, send_and_note)
        except BusyError as error:
            await _error(503, str(error))(scope, receive, send_and_note)
        except ClientDisconnect:
            status = 499
        except asyncio.CancelledError:  # not raised again: uvicorn would log it as a fault
            if not begun:
                await _error(503, "the backend is being stopped")(scope, receive, send_and_note)
        except OSError as error:
            log.warning("%s %s: %s", scope["method"], scope["path"], error)
            if not begun:
                text = f"{error}: see whether there is room on the backend's disk"
                await _error(500, text)(scope, receive, send_and_note)
        except Exception:
            log.exception("%s %s", scope["method"], scope["path"])
            if not begun:
                await _error(500, "a fault of the backend; its log has the details")(
                    scope, receive, send_and_note
                )
        finally:
            path = getattr(scope.get("route"), "path", "other")
            seconds = time.monotonic() - received_at
            self._metrics.requests.labels(path=path, status=str(status)).observe(seconds)

    def _refusal(self, request: Request) -> Response | None:
        path = request.scope["path"]
        if path not in _OPEN_PATHS and not self._access.allows(request):
            if path == "/setup":
                self._problems.refused(
                    "a project cannot be connected: Label Studio has sent no or another user and "
                    "password than this backend's; enter them there in Settings, Model"
                )
            return unauthorized()
        if self._access.open and not _is_this_machine(host := asked_host(request)):
            return _error(403, f"{host!r} is not a name of this machine: set a password")
        if request.method == "POST":
            origin = request.headers.get("origin")
            if origin and origin.partition("://")[2] != request.headers.get("host"):
                return _error(403, "a page of another site may not ask this backend")
        return None


def _is_this_machine(host: str) -> bool:
    """Whether a Host header may name a backend without a password: addresses, and names that nobody
    on the internet can have pointed here (DNS rebinding)."""
    with suppress(ValueError):
        ip_address(host)
        return True
    return host in _NAMES_OF_THIS_MACHINE or host.endswith(".localhost")


def unauthorized() -> Response:
    """The answer to a request without the backend's password or token."""
    return JSONResponse(
        {"error": "expected the user and password of this backend"},
        status_code=401,
        headers={"WWW-Authenticate": 'Basic realm="prelabel"'},
    )


def reasoned(status: int, text: str) -> Response:
    """An error whose text is the reason phrase too: of an error in /setup, Label Studio shows nothing
    else, as HTML."""
    plain = text.partition(", like <")[0].replace("<", "").replace(">", "")
    reason = " ".join(plain.encode("ascii", "replace").decode().split())
    return JSONResponse({"error": text}, status_code=status, headers={REASON: reason[:_REASON]})


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status_code=status)
