"""Cut-outs, the map and photos of the review page, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from prelabel.review.review import Review
from support.review_page import Open, ReviewServer, ReviewTab, members, named, until
from support.review_source import SyntheticSource

if TYPE_CHECKING:
    from playwright.sync_api import FloatRect

pytestmark = pytest.mark.slow
HOSTILE = "<img src=x onerror=alert(1)>"


def test_cut_outs__closest_first_and_outliers_last(open_review: Open) -> None:
    tab, review = open_review()
    order = [r.id for r in review.class_regions(0, offset=0, limit=40).regions]
    shown = tab.cells(0)
    n_last = tab.row(0).locator(".outlier").count()
    assert n_last > 0
    assert shown == order[: len(shown) - n_last] + order[-n_last:]
    tab.press("Shift+A")
    tab.until("document.querySelectorAll('.expanded .cell').length === 14")
    assert tab.cells(0) == order
    tab.press("Shift+A")
    tab.until("!document.querySelector('.expanded')")


def test_move__by_key_to_a_class_and_to_a_new_name(open_review: Open) -> None:
    tab, review = open_review()
    first, second = tab.cells(0)[:2]
    tab.press("ArrowRight")
    assert tab.focused().startswith("Cut-out 1 of 14: photo ")
    tab.press("Shift+T")
    tab.say("class 2")
    until(lambda: first in members(review, 1), tab)
    tab.page.get_by_text("1 cut-out sent to “class 2”.").wait_for()
    until(lambda: tab.cells(0)[0] == second, tab)  # the row is drawn again
    tab.press("Space", "ArrowRight", "Space", "x")
    assert tab.page.inner_text("#box-title") == "Send 2 cut-outs to"
    tab.say("enon")
    until(lambda: named(review).get(3) == "xenon", tab)
    assert len(members(review, 3)) == 2
    assert second in members(review, 3)


def test_move__several_by_shift_click_and_drag(open_review: Open) -> None:
    tab, review = open_review()
    cells = tab.row(0).locator(".cell")
    chosen = tab.cells(0)[1:4]
    cells.nth(1).click(modifiers=["Control"])
    cells.nth(3).click(modifiers=["Shift"])
    assert tab.page.inner_text("#tray strong") == "3 cut-outs"
    cells.nth(2).drag_to(tab.row(2))
    until(lambda: set(chosen) <= set(members(review, 2)), tab)
    tab.page.locator("#tray").wait_for(state="hidden")
    assert len(members(review, 0)) == 11


def test_names_above_the_list__are_for_the_selected_cut_outs(open_review: Open) -> None:
    tab, review = open_review(SyntheticSource(n_photos=10, expected={"cat": "", "dog": ""}))
    first, second, third = tab.cells(0)[:3]
    tab.press("ArrowRight", "Space")
    tab.page.locator(".label", has_text="dog").click()
    until(lambda: named(review).get(3) == "dog", tab)
    assert members(review, 3) == [first]
    tab.page.locator("#tray").wait_for(state="hidden")
    until(lambda: tab.cells(0)[:2] == [second, third], tab)
    tab.row(0).locator(".cell").first.click(modifiers=["Control"])
    tab.press("2")
    until(lambda: sorted([first, second]) == members(review, 3), tab)
    assert named(review)[0] == ""


def test_nothing__takes_the_selected_cut_outs(open_review: Open) -> None:
    tab, review = open_review()
    chosen = tab.cells(0)[0]
    tab.press("ArrowRight", "Space", "Delete")
    until(lambda: named(review).get(3, "") is None, tab)
    assert members(review, 3) == [chosen]
    tab.page.locator(".row.background").wait_for()
    tab.press("ArrowRight", "Space", "Delete")
    until(lambda: len(members(review, 3)) == 2, tab)
    assert named(review) == {0: "", 1: "", 2: "", 3: None}


def test_slow_connection__the_next_cut_out_joins_the_class_that_the_last_one_made(
    open_review: Open, server: ReviewServer
) -> None:
    tab, review = open_review(SyntheticSource(n_photos=10, expected={"cat": "", "dog": ""}))
    first, second, third, fourth = tab.cells(0)[:4]
    server.delay = 0.3
    for region, key in ((first, "2"), (second, "2"), (third, "Delete"), (fourth, "Delete")):
        tab.page.locator(f".cell[data-region='{region}']").click(modifiers=["Control"])
        tab.press(key, "Escape")
    until(lambda: named(review) == {0: "", 1: "", 2: "", 3: "dog", 4: None}, tab)
    until(lambda: len(members(review, 4)) == 2, tab)
    assert members(review, 3) == sorted([first, second])
    assert members(review, 4) == sorted([third, fourth])


def test_touch__long_press_selects_and_tap_opens(open_review: Open) -> None:
    tab, review = open_review(has_touch=True, viewport={"width": 768, "height": 1024})
    cells = tab.row(0).locator(".cell")
    cells.nth(1).dispatch_event("pointerdown", {"pointerType": "touch", "bubbles": True})
    tab.page.locator(".cell[aria-pressed=true]").wait_for()
    tab.page.get_by_role("button", name="New class").click()
    until(lambda: len(members(review, 0)) == 13, tab)
    tab.page.locator("#tray").wait_for(state="hidden")  # until then, a tap selects
    cells.nth(0).tap()
    tab.page.locator("#photo[open]").wait_for()
    tab.page.get_by_role("button", name="Close").click()


def test_photo__has_all_its_regions(open_review: Open) -> None:
    tab, review = open_review()
    region = tab.cells(0)[0]
    tab.row(0).locator(".cell").first.click()
    dialog = tab.page.locator("#photo")
    dialog.locator("svg").wait_for()
    photo = review.photo(region)
    assert tab.page.inner_text("#photo-name") == photo.name
    assert dialog.locator("path").count() == len(photo.regions) == 4
    fills = dialog.locator("path").evaluate_all("all => all.map(p => p.getAttribute('fill'))")
    assert fills == [r.color for r in photo.regions]
    # Each outline lies where its mask is: boxes 8 pixels wide, 10 apart, on a photo 40 wide.
    svg, path = dialog.locator("svg image").bounding_box(), dialog.locator("path").nth(2)
    assert svg is not None
    assert _share(path.bounding_box(), svg) == pytest.approx((20 / 40, 28 / 40), abs=0.02)
    tab.press("Shift+T")
    tab.say("class 3")
    until(lambda: region in members(review, 2), tab)
    order = [r.id for r in review.class_regions(0, offset=0, limit=40).regions]
    chosen = "document.querySelector('#photo path.chosen').dataset.region"
    tab.page.locator("#photo-regions bdi", has_text="class 3").first.wait_for()
    for place in range(3):  # the one after it has taken its place
        tab.press("ArrowRight")
        tab.until(f"{chosen} === '{order[place]}'")
    tab.press("ArrowLeft")
    tab.until(f"{chosen} === '{order[1]}'")
    tab.press("Escape")
    assert dialog.is_hidden()


def _share(inner: FloatRect | None, outer: FloatRect) -> tuple[float, float]:
    """The left and right side of a place in another one, which is from 0 to 1."""
    assert inner is not None
    left = (inner["x"] - outer["x"]) / outer["width"]
    return left, left + inner["width"] / outer["width"]


def test_map__lasso_splits_a_class(open_review: Open) -> None:
    tab, review = open_review()
    tab.wait_for_map()
    tab.press("Shift+L")
    own = members(review, 0)
    places = np.array([tab.point(review, i) for i in own])
    others = [i for i in range(40) if i not in own]
    assert not _inside(tab, review, others, places)  # PCA keeps the classes apart
    _draw_around(tab, places)
    tab.page.get_by_text("14 cut-outs of 1 class selected.").wait_for()
    tab.press("Escape", "Shift+L")
    left = places[:, 0] <= np.median(places[:, 0]) + 3
    _draw_around(tab, places[places[:, 0] <= np.median(places[:, 0])])
    tab.page.locator("#tray:not([hidden])").wait_for()
    tab.press("Shift+S")
    until(
        lambda: members(review, 3) == [i for i, inside in zip(own, left, strict=True) if inside],
        tab,
    )


def _inside(tab: ReviewTab, review: Review, ids: list[int], places: NDArray[np.float64]) -> bool:
    low, high = places.min(axis=0), places.max(axis=0)
    points = np.array([tab.point(review, i) for i in ids])
    return bool(((points >= low - 3) & (points <= high + 3)).all(axis=1).any())


def _draw_around(tab: ReviewTab, places: NDArray[np.float64]) -> None:
    (left, top), (right, bottom) = places.min(axis=0) - 3, places.max(axis=0) + 3
    tab.page.mouse.move(left, top)
    tab.page.mouse.down()
    for x, y in [(right, top), (right, bottom), (left, bottom), (left, top)]:
        tab.page.mouse.move(x, y, steps=3)
    tab.page.mouse.up()


def test_map_and_list__show_each_other(open_review: Open) -> None:
    tab, review = open_review()
    tab.wait_for_map()
    region = members(review, 2)[5]
    x, y = tab.point(review, region)
    tab.page.mouse.move(x, y)
    tab.page.locator("#tip:not([hidden]) img").wait_for()
    assert tab.page.inner_text("#tip p") == "class 3"
    assert tab.page.locator(".row.hinted").get_attribute("data-class") == "2"
    tab.page.mouse.click(x, y)
    assert tab.current() == 2
    assert tab.page.inner_text("#tray strong") == "1 cut-out"
    tab.press("Escape")
    tab.page.mouse.move(5, 5)
    before = tab.shot(tab.page.locator("#marks"))
    tab.row(2).locator(".cell").first.hover()
    # A ring is drawn around its point.
    until(lambda: bool((tab.shot(tab.page.locator("#marks")) != before).any()), tab)


def test_map__zooms_by_wheel_and_keys(open_review: Open) -> None:
    tab, _ = open_review()
    tab.wait_for_map()
    tab.page.locator("#points").hover()
    zoom = "document.getElementById('points').__zoom.k"
    tab.page.mouse.wheel(0, -300)
    tab.until(f"{zoom} > 1.2")
    tab.page.get_by_role("button", name="All", exact=True).click()
    assert tab.page.evaluate(zoom) == 1
    tab.page.locator("#points").focus()
    tab.press("+", "+")
    assert tab.page.evaluate(zoom) == pytest.approx(2.25)
    assert tab.current() == 0
    tab.press("0")
    assert tab.page.evaluate(zoom) == 1


def test_hostile_names__are_text(open_review: Open) -> None:
    source = SyntheticSource(
        n_photos=10, title=HOSTILE, expected={HOSTILE: ""}, photo_name=lambda i: f"{HOSTILE}{i}"
    )
    tab, review = open_review(source)
    tab.page.on("dialog", lambda dialog: tab.errors.append(dialog.message))
    tab.say(HOSTILE.removeprefix("<"))  # a name begins with a letter
    until(lambda: named(review)[0] == HOSTILE.removeprefix("<"), tab)
    tab.press("1")
    until(lambda: named(review)[1] == HOSTILE, tab)
    tab.page.locator(".name bdi", has_text=HOSTILE).wait_for()
    tab.press("Shift+T", "Escape", "?", "Escape")
    tab.page.get_by_role("button", name="Figures").click()
    tab.page.locator("#figures bdi", has_text=HOSTILE).first.wait_for()
    tab.press("Escape")
    tab.row(0).locator(".cell").first.click()
    tab.page.locator("#photo-name", has_text=HOSTILE).wait_for()
    tab.press("Escape")
    assert tab.page.inner_text("#title") == HOSTILE
    assert tab.page.locator("img[src=x]").count() == 0
    tab.press("Shift+U")
    until(lambda: named(review)[1] == "", tab)


def test_figures__have_a_histogram_of_each_class(open_review: Open) -> None:
    tab, _ = open_review()
    tab.page.get_by_role("button", name="Figures").click()
    tab.page.locator("#figures tbody tr").first.wait_for()
    assert tab.page.locator("#figures tbody tr").count() == 3
    titles = tab.page.locator("#figures tbody tr").first.locator("title").all_text_contents()
    # Scores of class 1: 0.25 + 0.5 n / 40 for n = 0, 3 … 39: 4 of them below 0.4.
    low = [t for t in titles[:20] if float(t.split()[0]) < 0.395]
    assert sum(int(t.rsplit(": ")[1]) for t in low) == 4
