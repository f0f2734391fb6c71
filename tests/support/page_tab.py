"""Pages of prelabel in a tab of a real browser: those that it wrote, and those that it serves."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Request


class Tab:
    """A page at an address; ``close`` fails if it reported any error, a request of it failed, or it
    asked for anything at other addresses than ``allowed``."""

    def __init__(
        self, browser: Browser, url: str, allowed: tuple[str, ...], **context: Any
    ) -> None:
        self.errors: list[str] = []
        self._allowed = (*allowed, "data:")
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("requestfailed", lambda request: self.errors.append(request.url))
        self.page.on("request", self._check)
        self.page.goto(url)

    def _check(self, request: Request) -> None:
        if not request.url.startswith(self._allowed):
            self.errors.append(f"request to {request.url}")

    def close(self) -> None:
        """Ends the tab."""
        self.context.close()
        assert self.errors == []

    def until(self, expression: str) -> None:
        """Waits for it to become true. Not wait_for_function: it polls with eval, which the page's
        own security policy forbids, so that it fails just when there is something to wait for."""
        for _ in range(200):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never came true: {expression}")

    def shot(self, locator: Locator | None = None) -> NDArray[np.uint8]:
        """A screenshot (height, width, 3) of an element or of what is in view."""
        data = (locator or self.page).screenshot()
        return np.asarray(Image.open(BytesIO(data)).convert("RGB"))

    def save_shot(self, folder: Path, name: str) -> None:
        """A screenshot of what is in view, to look at, in $PRELABEL_ARTIFACTS or ``folder``."""
        folder = Path(os.environ.get("PRELABEL_ARTIFACTS", folder))
        folder.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=folder / f"{name}.png")


class PageTab(Tab):
    """A page that prelabel wrote (the report, the evaluation), opened from its file, offline."""

    def __init__(self, browser: Browser, file: Path, **context: Any) -> None:
        super().__init__(browser, file.as_uri(), ("file:",), offline=True, **context)

    def names(self) -> list[str]:
        """Of the photos on the page."""
        return self.page.locator(".card h3").all_inner_texts()

    def n_nodes(self) -> int:
        """Elements of the page."""
        return int(self.page.evaluate("document.querySelectorAll('*').length"))

    def save_shot(self, folder: Path, name: str) -> None:
        """A screenshot once all of the page's pictures are loaded."""
        self.page.wait_for_load_state("networkidle")
        super().save_shot(folder, name)
