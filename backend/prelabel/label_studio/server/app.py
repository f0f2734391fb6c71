"""The backend's HTTP: Label Studio's requests, the status page, and metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TypeVar

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp

from prelabel.errors import UserError
from prelabel.label_studio.server.bodies import SMALL, Bodies, BusyError
from prelabel.label_studio.server.guard import Access, Guard, reasoned, unauthorized
from prelabel.label_studio.server.pages import HEADERS
from prelabel.label_studio.server.requests import (
    EventRequest,
    PredictRequest,
    SetupRequest,
    VersionsRequest,
    checked_config,
    decode,
)
from prelabel.label_studio.server.review_pages import ReviewPages
from prelabel.label_studio.server.service import Service
from prelabel.label_studio.server.status import queue_words
from prelabel.label_studio.server.webhooks import HEADER
from prelabel.storage.pages import template

T = TypeVar("T")
_MOST_WAITING = 200
"""Threads that wait for predictions; short requests have threads of their own."""


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
        Mount("/projects/{name}/review", app=ReviewPages(service.reviews)),
    ]
    # Starlette's own application would answer what goes wrong before the guard can.
    return Guard(
        Router(routes=routes, lifespan=lifespan), access, service.metrics, service.problems
    )


class _Handlers:
    """One method for each path."""

    def __init__(self, service: Service, access: Access) -> None:
        self._service = service
        self._access = access
        self._predicting = anyio.CapacityLimiter(_MOST_WAITING)
        self._short = anyio.CapacityLimiter(8)
        self._decoding = anyio.CapacityLimiter(1)
        self._bodies = Bodies(access.max_bytes)
        self._page = template("label_studio/server/status.html.j2")

    async def health(self, _: Request) -> Response:
        """A health check; parts that had failed are started again, and named for a minute. It says
        nothing else, since it needs no password."""
        found: dict[str, object] = {"status": "UP", "model_class": "PrelabelModel"}
        if restarted := self._service.supervisor.dead():
            found["restarted"] = restarted
        return JSONResponse(found)

    async def setup(self, request: Request) -> Response:
        """A project is connected, looked at, or about to be predicted."""
        asked = await self._read(request, lambda body: decode(body, SetupRequest))

        def work() -> str:
            return self._service.setup(
                str(asked.project or ""),
                checked_config(asked.schema),
                asked.hostname or "",
                asked.access_token or "",
                request.headers.get("host", ""),
            )

        try:
            version = await self._run(work)
        except UserError as error:
            self._service.problems.refused(f"project {asked.project} cannot be connected: {error}")
            return reasoned(400, str(error))
        return JSONResponse({"model_version": version})

    async def predict(self, request: Request) -> Response:
        """Predictions of tasks, or the object of a click or box."""
        asked = await self._read(request, PredictRequest.decode, large=True)

        def work() -> bytes:
            return b'{"results": [' + b", ".join(self._service.predict(asked)) + b"]}"

        body = await anyio.to_thread.run_sync(work, limiter=self._predicting)
        return Response(body, media_type="application/json")

    async def versions(self, request: Request) -> Response:
        """All versions that were given out; Label Studio does not name a project."""
        project = ""
        if request.method == "POST":
            asked = await self._read(request, lambda body: decode(body, VersionsRequest))
            project = str(asked.project or "")
        return JSONResponse({"versions": await self._run(lambda: self._service.versions(project))})

    async def webhook(self, request: Request) -> Response:
        """An event in Label Studio. It is never refused, as Label Studio switches off webhooks that
        fail; without the project's secret, only a password allows to begin a fit."""
        secret = request.headers.get(HEADER, "")
        project = await self._run(lambda: self._service.webhooks.project_of(secret))
        trusted = project is not None or (not self._access.open and self._access.allows(request))
        if not trusted and not self._access.open:
            if "authorization" in request.headers:
                return unauthorized()  # a person who begins a fit, and sees this
            return self._ignored("no secret")
        try:
            asked = await self._read(request, EventRequest.decode, large=trusted)
        except (UserError, BusyError):
            return self._ignored("not valid")
        if not trusted and asked.action != "START_TRAINING":
            return self._ignored("no secret")
        self._service.metrics.webhooks.labels(outcome="taken").inc()
        answer = await self._run(lambda: self._service.event(asked.action, asked.payload, project))
        return JSONResponse(answer, status_code=201)

    def _ignored(self, outcome: str) -> Response:
        self._service.metrics.webhooks.labels(outcome=outcome).inc()
        return JSONResponse({"status": "ignored"})

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
        status = await self._run(self._service.page)
        text = self._page.render(
            version=version("prelabel"),
            waiting=queue_words(status["queue"], status["worker_restarts"]),
            **status,
        )
        return Response(text, media_type="text/html; charset=utf-8", headers=HEADERS)

    async def _run(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._short)

    async def _read(
        self, request: Request, decoded: Callable[[bytearray], T], *, large: bool = False
    ) -> T:
        """A request's body, ``large`` or small; large ones are decoded one after the other, and none
        in the event loop's thread. Raises UserError and BusyError."""
        async with self._bodies.reading(request, large=large) as body:
            limiter = self._short if len(body) <= SMALL else self._decoding
            return await anyio.to_thread.run_sync(decoded, body, limiter=limiter)
