"""The review pages of the projects, below /projects/N/review/."""

from __future__ import annotations

import anyio
import anyio.to_thread
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from prelabel.label_studio.server.pages import HEADERS
from prelabel.label_studio.server.reviews import Reviews
from prelabel.storage.pages import template


class ReviewPages:
    """Mounted where ``name`` is in the address; a page that is not open yet says what it waits for."""

    def __init__(self, reviews: Reviews) -> None:
        self._reviews = reviews
        self._limiter = anyio.CapacityLimiter(8)
        self._waiting = template("label_studio/server/waiting.html.j2")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        name = str(scope["path_params"]["name"])

        def find() -> tuple[ASGIApp | None, str]:
            return self._reviews.open(self._reviews.find(name))

        app, text = await anyio.to_thread.run_sync(find, limiter=self._limiter)
        if app is None:
            app = self._wait(scope, name, text)
        await app(scope, receive, send)

    def _wait(self, scope: Scope, name: str, text: str) -> Response:
        if not str(scope["path"]).endswith("/review/"):
            return JSONResponse({"error": text}, status_code=503)
        page = self._waiting.render(project=name, text=text)
        return Response(page, media_type="text/html; charset=utf-8", headers=HEADERS)
