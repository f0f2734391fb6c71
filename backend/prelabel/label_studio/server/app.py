"""The backend's HTTP: Label Studio's requests, the status page, and metrics."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TypeVar

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from prelabel.errors import UserError
from prelabel.label_studio.server.guard import Access, Guard, unauthorized
from prelabel.label_studio.server.service import Service
from prelabel.storage.json import JsonObject
from prelabel.storage.pages import template

T = TypeVar("T")
_MOST_WAITING = 200
"""Threads that wait for predictions; short requests have threads of their own."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def create_app(service: Service, access: Access) -> ASGIApp:
    """The application; the service is stopped with it."""
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
    return Guard(Router(routes=routes, lifespan=lifespan), access, service.metrics)


class _Handlers:
    """One method for each path."""

    def __init__(self, service: Service, access: Access) -> None:
        self._service = service
        self._access = access
        self._predicting = anyio.CapacityLimiter(_MOST_WAITING)
        self._short = anyio.CapacityLimiter(8)
        self._page = template("label_studio/server/status.html.j2")

    async def health(self, _: Request) -> Response:
        """A health check. It says nothing else, since it needs no password."""
        return JSONResponse({"status": "UP", "model_class": "PrelabelModel"})

    async def setup(self, request: Request) -> Response:
        """A project is connected, looked at, or about to be predicted."""
        asked = await self._json(request)

        def work() -> str:
            return self._service.setup(
                str(asked.get("project") or ""),
                str(asked.get("schema") or ""),
                str(asked.get("hostname") or ""),
                str(asked.get("access_token") or ""),
            )

        return JSONResponse({"model_version": await self._run(work)})

    async def predict(self, request: Request) -> Response:
        """Predictions of tasks, or the object of a click or box."""
        asked = await self._json(request)
        tasks = asked.get("tasks")
        if not isinstance(tasks, list) or not all(
            isinstance(t, dict) and isinstance(t.get("id"), int) for t in tasks
        ):
            raise UserError("tasks: expected a list of tasks with an id each")
        params = asked.get("params")
        context = params.get("context") if isinstance(params, dict) else None

        def work() -> bytes:
            answers = self._service.answers(
                str(asked.get("project") or ""),
                tasks,
                str(asked.get("label_config") or ""),
                context if isinstance(context, dict) else None,
            )
            return b'{"results": [' + b", ".join(answers) + b"]}"

        body = await anyio.to_thread.run_sync(work, limiter=self._predicting)
        return Response(body, media_type="application/json")

    async def versions(self, request: Request) -> Response:
        """All versions that were given out; Label Studio does not name a project."""
        asked = await self._json(request) if request.method == "POST" else {}
        project = str(asked.get("project") or "")
        return JSONResponse({"versions": await self._run(lambda: self._service.versions(project))})

    async def webhook(self, request: Request) -> Response:
        """An event in Label Studio."""
        asked = await self._json(request)
        action = str(asked.get("action") or "")
        if action == "START_TRAINING" and not self._access.allows(request):
            return unauthorized()
        answer = await self._run(lambda: self._service.event(action, asked))
        return JSONResponse(answer, status_code=201)

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

    async def _run(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._short)

    async def _json(self, request: Request) -> JsonObject:
        """The body, a JSON object. Raises UserError."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise UserError(f"Content-Type is {kind or 'not given'}: expected application/json")
        body = await self._body(request)
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            raise UserError("the request is not JSON") from None
        if not isinstance(found, dict):
            raise UserError("the request is not a JSON object")
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
