"""One server and one browser for the tests of each file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from prelabel.review.review import Review
from support.browser import chromium
from support.review_page import Open, ReviewServer, ReviewTab
from support.review_source import SyntheticSource

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def server() -> Iterator[ReviewServer]:
    with ReviewServer().running() as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def open_review(browser: Browser, server: ReviewServer, tmp_path: Path) -> Iterator[Open]:
    """Opens the page of a source; without one, of 40 regions of 3 classes, 14, 13 and 13. Further
    arguments are the browser context's."""
    tabs: list[ReviewTab] = []

    def open_it(source: SyntheticSource | None = None, **context: Any) -> tuple[ReviewTab, Review]:
        url, review = server.add(source or SyntheticSource(n_photos=10), tmp_path / str(len(tabs)))
        tabs.append(ReviewTab(browser, url, **context))
        return tabs[-1], review

    yield open_it
    server.down, server.delay = False, 0.0
    for tab in tabs:
        tab.close()
