"""The review page with 50 000 regions, in a real browser."""

from __future__ import annotations

import numpy as np
import pytest

from prelabel.review.review import Review
from support.review_page import Open, ReviewTab, members, until
from support.review_source import SyntheticSource

pytestmark = pytest.mark.slow
N_REGIONS = 50_000
N_CLASSES = 40


def test_many_regions__only_what_is_in_view_is_loaded(open_review: Open) -> None:
    source = SyntheticSource(n_photos=N_REGIONS // 40, per_photo=40, n_clusters=N_CLASSES)
    tab, review = open_review(source)
    first = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    assert tab.page.evaluate(first) < 3000  # 0.3 s where the machine has nothing else to do
    assert len(tab.classes()) == N_CLASSES
    assert tab.page.locator(".cell").count() < 20 * 10
    assert not tab.cells(N_CLASSES - 1)
    tab.press("End")
    until(lambda: bool(tab.cells(N_CLASSES - 1)), tab)
    tab.press("Home")
    _all_of_a_class(tab, review)
    _map(tab, review)


def _all_of_a_class(tab: ReviewTab, review: Review) -> None:
    """All cut-outs of a class can be scrolled through, and those in view are loaded."""
    n = len(members(review, 0))
    assert n == N_REGIONS // N_CLASSES
    tab.press("Shift+A")
    tab.page.locator(".expanded .cell").first.wait_for()
    assert len(tab.cells(0)) < n
    tab.page.evaluate("document.querySelector('.chunk:last-child').scrollIntoView(false)")
    last = review.class_regions(0, offset=n - 1, limit=1).regions[0].id
    tab.page.locator(f".cell[data-region='{last}']").wait_for()
    tab.press("Shift+A")
    tab.until("!document.querySelector('.chunk')")


def _map(tab: ReviewTab, review: Review) -> None:
    """It stays fluid while it is zoomed and dragged."""
    tab.wait_for_map()
    place = tab.page.locator("#points").bounding_box()
    assert place is not None
    tab.page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    for step in [-60] * 10 + [60] * 10:
        tab.page.mouse.wheel(0, step)
        tab.page.wait_for_timeout(16)
    times = tab.page.evaluate("document.getElementById('points').frameTimes")
    assert len(times) > 10
    assert np.median(times) < 50  # 5 ms where the machine has nothing else to do
