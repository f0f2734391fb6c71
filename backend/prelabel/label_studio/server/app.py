"""The backend's HTTP: what Label Studio asks of it, a page for people, statistics."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from ipaddress import ip_address
from typing import Any

import anyio
import anyio.to_thread
from jinja2 import Environment
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prelabel.errors import UserError
from prelabel.label_studio.format import label_config as label_configs
from prelabel.label_studio.server.ml_model import PrelabelModel
from prelabel.label_studio.server.service import Service

Handler = Callable[[Request], Awaitable[Response]]
_WAITING_CLIENTS = 200
"""Threads that wait for predictions; what is short has threads of its own."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_NAMES = ("localhost", "host.docker.internal", "host.containers.internal")
_FREE = ("/health", "/webhook")
"""Label Studio sends webhooks without a password, and a health check needs none."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Access:
    """Who may ask. ``basic``: ``user:password``; ``token``: as ``Authorization: Bearer …`` or
    ``Token …``; with neither, everybody who can reach the port. ``max_bytes``: of a request."""

    basic: str = ""
    token: str = ""
    max_bytes: int = 100_000_000

    @property
    def open(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.basic or self.token)

    def allows(self, authorization: str) -> bool:
        """Whether a request's Authorization header is right; compared in constant time."""
        scheme, _, secret = authorization.partition(" ")
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


def create_app(service: Service, access: Access) -> ASGIApp:
    """The application; the service is stopped with it."""
    PrelabelModel.service = service
    handlers = _Handlers(service, access)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        yield
        await anyio.to_thread.run_sync(service.stop)

    routes = [
        Route("/", handlers.page),
        Route("/health", handlers.health),
        Route("/setup", handlers.setup, methods=["POST"]),
        Route("/predict", handlers.predict, methods=["POST"]),
        Route("/versions", handlers.versions, methods=["GET", "POST"]),
        Route("/webhook", handlers.webhook, methods=["POST"]),
        Route("/fit", handlers.fit, methods=["POST"]),
        Route("/cancel", handlers.cancel, methods=["POST"]),
        Route("/metrics", handlers.metrics),
    ]
    # Starlette's own application would answer what goes wrong before the guard can.
    return _Guard(Router(routes=routes, lifespan=lifespan), service, access)


class _Guard:
    """Before every request: is it allowed, is it small enough; after it: how long did it take.
    A user's mistake is answered with one line, whatever else goes wrong with a short one."""

    def __init__(self, app: ASGIApp, service: Service, access: Access) -> None:
        self._app = app
        self._metrics = service.metrics
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 500
        begun = False

        async def watched(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
            await send(message)

        request = Request(scope, receive)
        try:
            refusal = self._refusal(request)
            if refusal is None:
                await self._app(scope, receive, watched)
            else:
                await refusal(scope, receive, watched)
        except UserError as error:
            await _error(400, str(error))(scope, receive, watched)
        except ClientDisconnect:
            status = 499
        except asyncio.CancelledError:  # not raised on: uvicorn would log it as a fault
            if not begun:
                await _error(503, "the backend is being stopped")(scope, receive, watched)
        except OSError as error:
            log.warning("%s %s: %s", scope["method"], scope["path"], error)
            if not begun:
                text = f"{error}: see whether there is room on the backend's disk"
                await _error(500, text)(scope, receive, watched)
        except Exception:
            log.exception("%s %s", scope["method"], scope["path"])
            if not begun:
                await _error(500, "a fault of the backend; its log has the details")(
                    scope, receive, watched
                )
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "other")
            self._metrics.requests.labels(path=path, status=str(status)).observe(
                time.monotonic() - started
            )

    def _refusal(self, request: Request) -> Response | None:
        if (
            not self._access.open
            and request.scope["path"] not in _FREE
            and not self._known(request)
        ):
            return Response(
                json.dumps({"error": "user and password of this backend wanted"}),
                status_code=401,
                media_type="application/json",
                headers={"WWW-Authenticate": 'Basic realm="prelabel"'},
            )
        if self._access.open and not _is_this_machine(request.url.hostname or ""):
            return _error(403, f"{request.url.hostname} is no name of this machine: set a password")
        if request.method == "POST":
            origin = request.headers.get("origin")
            if origin and origin.partition("://")[2] != request.headers.get("host"):
                return _error(403, "a page of another site may not ask this backend")
        return None

    def _known(self, request: Request) -> bool:
        return self._access.allows(request.headers.get("authorization", ""))


class _Handlers:
    def __init__(self, service: Service, access: Access) -> None:
        self._service = service
        self._access = access
        self._predicting = anyio.CapacityLimiter(_WAITING_CLIENTS)
        self._short = anyio.CapacityLimiter(8)
        source = files("prelabel.label_studio.server").joinpath("status.html.j2").read_text("utf-8")
        self._page = Environment(autoescape=True).from_string(source)

    async def health(self, _: Request) -> Response:
        """Whether it runs; says nothing else, as everybody may ask."""
        return JSONResponse({"status": "UP", "model_class": PrelabelModel.__name__})

    async def setup(self, request: Request) -> Response:
        """A project is connected, looked at, or about to be predicted."""
        asked = await self._json(request)
        project = str(asked.get("project") or "")

        def work() -> str:
            return self._service.setup(
                project,
                str(asked.get("schema") or ""),
                str(asked.get("hostname") or ""),
                str(asked.get("access_token") or ""),
            )

        return JSONResponse({"model_version": await self._run(work)})

    async def predict(self, request: Request) -> Response:
        """Predictions for tasks, or an answer to who points at something."""
        asked = await self._json(request)
        tasks = asked.get("tasks")
        if not isinstance(tasks, list) or not all(
            isinstance(t, dict) and isinstance(t.get("id"), int) for t in tasks
        ):
            raise UserError("tasks: a list of tasks with an id each wanted")
        params = asked.get("params")
        context = params.get("context") if isinstance(params, dict) else None
        label_config = str(asked.get("label_config") or "")
        project = str(asked.get("project") or "")

        def work() -> bytes:
            if label_config:  # the library's own reader says less of what is wrong with one
                label_configs.parse_label_config(label_config)
            model = PrelabelModel(project_id=project, label_config=label_config)
            answers = model.answers(tasks, context if isinstance(context, dict) else None)
            return b'{"results": [' + b", ".join(answers) + b"]}"

        body = await anyio.to_thread.run_sync(work, limiter=self._predicting)
        return Response(body, media_type="application/json")

    async def versions(self, request: Request) -> Response:
        """All versions that were given out; Label Studio does not say for which project."""
        asked = await self._json(request) if request.method == "POST" else {}
        project = str(asked.get("project") or "")
        return JSONResponse({"versions": await self._run(lambda: self._service.versions(project))})

    async def webhook(self, request: Request) -> Response:
        """Something has happened in Label Studio."""
        asked = await self._json(request)
        action = str(asked.get("action") or "")
        known = self._access.open or self._access.allows(request.headers.get("authorization", ""))
        if action == "START_TRAINING" and not known:
            return _error(401, "user and password of this backend wanted")
        return JSONResponse(
            await self._run(lambda: self._service.event(action, asked)), status_code=201
        )

    async def fit(self, request: Request) -> Response:
        """From the page: fit a project anew."""
        project = request.query_params.get("project", "")
        await self._run(lambda: self._service.fit(project))
        return RedirectResponse("./", status_code=303)

    async def cancel(self, request: Request) -> Response:
        """From the page: end a project's fit."""
        project = request.query_params.get("project", "")
        await self._run(lambda: self._service.cancel(project))
        return RedirectResponse("./", status_code=303)

    async def metrics(self, _: Request) -> Response:
        """For Prometheus."""
        return Response(
            await self._run(self._service.statistics),
            media_type="text/plain; version=0.0.4; charset=utf-8",
        )

    async def page(self, _: Request) -> Response:
        """For people."""
        status = await self._run(self._service.status)
        text = self._page.render(version=version("prelabel"), **status)
        return Response(text, media_type="text/html; charset=utf-8", headers=_HEADERS)

    async def _run(self, work: Callable[[], Any]) -> Any:
        return await anyio.to_thread.run_sync(work, limiter=self._short)

    async def _json(self, request: Request) -> dict[str, Any]:
        """The body, a JSON object. Raises UserError."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise UserError(f"Content-Type is {kind or 'not given'}: application/json wanted")
        body = await self._body(request)
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            raise UserError("the request is no JSON") from None
        if not isinstance(found, dict):
            raise UserError("the request is no JSON object")
        return found

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._access.max_bytes:
                raise UserError(
                    f"the request has more than {self._access.max_bytes / 1e6:.0f} MB: send fewer "
                    "tasks at once, or start the backend with a larger --max-request-mb"
                )
        return bytes(body)


def _is_this_machine(host: str) -> bool:
    """Whether a Host may name a backend that asks for no password: addresses, and names that no
    page on the internet can have pointed here (DNS rebinding)."""
    with suppress(ValueError):
        ip_address(host)
        return True
    return host in _NAMES or host.endswith(".localhost")


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status_code=status)
