"""Review pages of synthetic sources, served on this machine, and opened in a tab of a browser."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import uvicorn
from starlette.routing import Mount, Router

from prelabel.label_studio.demo.local_server import free_port
from prelabel.review.app import create_app
from prelabel.review.review import Review
from prelabel.review.source import Name
from support.page_tab import Tab
from support.review_source import SyntheticSource

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator


_MAP_EDGE = 14
"""CSS pixels around the points of the map."""
_FILLED = """[...document.querySelectorAll('.row')].every(row =>
    row.getBoundingClientRect().top > innerHeight || row.querySelector('.cell'))"""
"""Whether all rows in view show their cut-outs."""


class PushedSource(SyntheticSource):
    """Its predictions lie elsewhere; ``go_on`` lets them be brought up to date."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.go_on = threading.Event()

    def push(self, progress: Callable[[int, int], None]) -> str:
        """Bring three of four up to date, wait, and the last one."""
        progress(3, 4)
        assert self.go_on.wait(20)
        progress(4, 4)
        return "4 predictions are up to date"


class ReviewServer:
    """Serves one review under each path, which tests add; ``down`` makes it answer nobody, ``delay``
    is waited for before each answer, in seconds."""

    def __init__(self) -> None:
        self._router = Router()
        self._reviews: list[Review] = []
        self.down = False
        self.delay = 0.0
        self.port = free_port(0)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Of ASGI."""
        await asyncio.sleep(self.delay)
        if not self.down or scope["type"] != "http":
            await self._router(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def add(self, source: SyntheticSource, folder: Path) -> tuple[str, Review]:
        """The address of a source's review, and that review."""
        review = Review(source, folder)
        review.start()
        self._reviews.append(review)
        path = f"/projects/{len(self._reviews)}/review"
        self._router.routes.append(Mount(path, create_app(lambda: review)))
        return f"http://127.0.0.1:{self.port}{path}/", review

    def renew(self) -> None:
        """Serve the last review as a server does that was started anew: with another token."""
        review = self._reviews[-1]
        path = f"/projects/{len(self._reviews)}/review"
        self._router.routes[-1] = Mount(path, create_app(lambda: review))

    @contextmanager
    def running(self) -> Iterator[ReviewServer]:
        """Until the end of the block."""
        server = uvicorn.Server(uvicorn.Config(self, port=self.port, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.should_exit = True
            thread.join(10)
            for review in self._reviews:
                review.stop()


class ReviewTab(Tab):
    """A review page, once its classes are there."""

    def __init__(self, browser: Browser, url: str, **context: Any) -> None:
        super().__init__(
            browser, url, (url,), **{"viewport": {"width": 1280, "height": 800}} | context
        )
        self.page.locator(".row").first.wait_for()
        self.until(_FILLED)  # each row asks for its own cut-outs, and any may come first

    def press(self, *keys: str) -> None:
        """One after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def say(self, text: str) -> None:
        """Type it and Enter."""
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")

    def classes(self) -> list[str]:
        """The names on the page, in its order."""
        return self.page.locator(".row .name bdi").all_inner_texts()

    def row(self, number: int) -> Locator:
        """A class by its id."""
        return self.page.locator(f".row[data-class='{number}']")

    def cells(self, number: int) -> list[int]:
        """The regions that a class shows."""
        cells = self.row(number).locator(".cell")
        return [int(i) for i in cells.evaluate_all("cells => cells.map(c => c.dataset.region)")]

    def wait_for_map(self) -> None:
        """Until it is drawn."""
        self.until("document.getElementById('map-note').hidden")

    def point(self, review: Review, region: int) -> tuple[float, float]:
        """Where the map has a region, on the page, as long as nobody has zoomed."""
        content = review.map_bytes()
        assert content is not None
        x, y = np.frombuffer(content[4:], [("xy", "<f4", 2), ("more", "u1", 8)])["xy"][region]
        place = self.page.locator("#points").bounding_box()
        assert place is not None
        return (
            place["x"] + _MAP_EDGE + float(x) * (place["width"] - 2 * _MAP_EDGE),
            place["y"] + _MAP_EDGE + float(y) * (place["height"] - 2 * _MAP_EDGE),
        )

    def current(self) -> int:
        """The class that keys act on."""
        return int(self.page.locator(".row.current").get_attribute("data-class") or -1)

    def focused(self) -> str:
        """The accessible name of what has the focus."""
        return str(self.page.evaluate("document.activeElement.ariaLabel"))


Open = Callable[..., tuple[ReviewTab, Review]]


def named(review: Review) -> dict[int, Name]:
    """The names of a review's classes, by id."""
    return dict(review.board.snapshot().names)


def members(review: Review, number: int) -> list[int]:
    """The regions of a class."""
    return [int(i) for i in np.flatnonzero(review.board.snapshot().class_of == number)]


def until(condition: Callable[[], bool], tab: ReviewTab) -> None:
    """Waits for something outside of the page; the browser's events go on meanwhile."""
    for _ in range(800):
        if condition():
            return
        tab.page.wait_for_timeout(25)
    raise AssertionError("never came true")
