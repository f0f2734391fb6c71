"""Names by keyboard on the review page, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from prelabel.errors import UserError
from support.review_page import (
    Open,
    PushedSource,
    ReviewServer,
    ReviewTab,
    members,
    named,
    until,
)
from support.review_source import SyntheticSource

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow
LABELS = {"cat": "#112233", "cattle": "", "sea gull": ""}


def test_keyboard_alone__names_all_classes(open_review: Open) -> None:
    tab, review = open_review(SyntheticSource(n_photos=10, expected=LABELS))
    assert tab.classes() == ["class 1", "class 2", "class 3"]  # 14, 13, 13 regions
    assert tab.page.inner_text("#progress-text").startswith("0 % of 40 regions named · 3 of 3")
    tab.say("cat")  # what is written, though a longer name begins so
    until(lambda: named(review)[0] == "cat", tab)
    assert tab.current() == 1  # the next one without a name
    tab.press("g", "Tab", "Enter")
    until(lambda: named(review)[1] == "sea gull", tab)
    tab.press("2")  # the second name of the list
    until(lambda: named(review)[2] == "cattle", tab)
    tab.page.get_by_text("100 % of 40 regions named · no class left").wait_for()
    assert tab.classes() == ["cat", "sea gull", "cattle"]
    color = "getComputedStyle(document.querySelector('.row .swatch')).backgroundColor"
    assert tab.page.evaluate(color) == "rgb(17, 34, 51)"
    tab.press("Shift+U")
    until(lambda: named(review)[2] == "", tab)
    tab.page.locator(".row.unnamed").wait_for()


def test_completion__arrows_choose(open_review: Open) -> None:
    tab, review = open_review(SyntheticSource(n_photos=10, expected=LABELS))
    tab.press("c")
    assert tab.page.locator("#box-options bdi").all_inner_texts() == ["cat", "cattle"]
    tab.press("ArrowDown", "ArrowDown")
    chosen = tab.page.get_attribute("#box-text", "aria-activedescendant")
    assert tab.page.inner_text(f"#{chosen} bdi") == "cattle"
    tab.press("Enter")
    until(lambda: named(review)[0] == "cattle", tab)
    tab.press("c", "Escape")  # changed their mind
    assert tab.page.locator("#box").is_hidden()
    assert tab.focused().startswith("class 2, 13 regions, mean score 0.49")
    assert named(review)[1] == ""


def test_delete__is_background(open_review: Open) -> None:
    tab, review = open_review()
    tab.press("ArrowDown", "Delete")
    until(lambda: named(review) == {0: "", 1: None, 2: ""}, tab)
    tab.page.locator(".row.background").wait_for()
    assert tab.classes() == ["class 1", "class 3", "background"]  # at the end
    assert tab.current() == 2
    tab.press("End", "s")  # names may begin with the letter of a command
    tab.say("ea")
    until(lambda: named(review)[1] == "sea", tab)


def test_merge__takes_the_selected_classes(open_review: Open) -> None:
    tab, review = open_review()
    tab.press("ArrowDown", "ArrowDown")
    tab.say("dog")
    until(lambda: named(review)[2] == "dog", tab)
    tab.press("Home", "Space", "ArrowDown", "Space")
    assert tab.page.inner_text("#tray strong") == "2 classes"
    tab.press("Shift+M")
    tab.page.get_by_text("2 classes merged.").wait_for()
    assert len(members(review, 0)) == 27
    tab.until("document.querySelectorAll('.row').length === 2")
    assert tab.current() in (0, 2)
    tab.press("Control+z")
    tab.until("document.querySelectorAll('.row').length === 3")
    assert len(members(review, 0)) == 14


def test_names_of_several_classes_at_once(open_review: Open) -> None:
    tab, review = open_review()
    tab.press("ArrowDown", "Shift+ArrowDown")
    tab.say("bird")
    until(lambda: named(review) == {0: "", 1: "bird", 2: "bird"}, tab)


def test_split__by_k_means(open_review: Open) -> None:
    tab, review = open_review()
    tab.press("Shift+S")
    tab.until("document.querySelectorAll('.row').length === 4")
    assert sorted(members(review, 0) + members(review, 3)) == [*range(0, 40, 3)]
    until(lambda: bool(tab.cells(3)), tab)
    tab.press("Shift+U")
    tab.until("document.querySelectorAll('.row').length === 3")


def test_two_people__see_each_other(
    browser: Browser, open_review: Open, server: ReviewServer
) -> None:
    tab, review = open_review()
    other = ReviewTab(browser, tab.page.url)
    tab.say("cat")
    other.page.locator(".name bdi", has_text="cat").wait_for()
    other.say("dog")  # the last one counts
    tab.page.locator(".name bdi", has_text="dog").wait_for()
    assert named(review)[0] == "dog"
    other.press("Home", "Space", "ArrowDown", "Space", "Shift+M")
    tab.page.locator(".row[data-class='1']").wait_for(state="detached")
    tab.until("document.querySelector('.row .facts b').textContent === '27'")
    other.close()


def test_predictions_are_brought_up_to_date(open_review: Open) -> None:
    source = PushedSource(n_photos=10)
    tab, _ = open_review(source)
    tab.page.get_by_role("button", name="Update predictions").click()
    tab.page.get_by_role("button", name="Updating predictions: 3 of 4").wait_for()
    source.go_on.set()
    tab.page.get_by_role("button", name="Predictions updated").wait_for()


def test_names_that_cannot_count__are_said_to(open_review: Open) -> None:
    source = SyntheticSource(n_photos=10, failing=UserError("no label is called cat"))
    tab, review = open_review(source)
    tab.say("cat")
    tab.page.get_by_text("Not all names count yet: no label is called cat").wait_for()
    assert named(review)[0] == "cat"


def test_lost_connection__is_shown_and_mended(open_review: Open) -> None:
    tab, review = open_review()
    tab.context.set_offline(True)
    tab.page.get_by_text("The connection to prelabel is lost.").wait_for()
    tab.say("cat")
    tab.page.get_by_text("Not saved: no connection to prelabel.").wait_for()
    assert named(review)[0] == ""
    tab.context.set_offline(False)
    tab.page.locator("#alert[hidden]").wait_for(state="attached")
    tab.say("dog")  # of the next class
    until(lambda: named(review)[1] == "dog", tab)
    tab.errors.clear()  # those of the requests that failed


def test_what_was_not_saved__is_tried_again(open_review: Open, server: ReviewServer) -> None:
    tab, review = open_review()
    tab.context.set_offline(True)
    tab.say("cat")
    again = tab.page.get_by_role("button", name="Try again")
    again.wait_for()
    tab.context.set_offline(False)
    again.click()
    until(lambda: named(review)[0] == "cat", tab)
    server.down = True
    tab.page.get_by_text("The server answered 503.").wait_for()
    server.down = False
    tab.page.locator("#alert[hidden]").wait_for(state="attached")
    tab.errors.clear()


def test_a_server_that_was_started_anew__still_takes_names(
    open_review: Open, server: ReviewServer
) -> None:
    tab, review = open_review()
    server.renew()
    tab.say("cat")
    until(lambda: named(review)[0] == "cat", tab)
    until(lambda: any("403" in error for error in tab.errors), tab)  # the old token's
    tab.errors.clear()


def test_caps_lock__makes_no_command_of_a_letter(open_review: Open) -> None:
    tab, review = open_review()
    press = """([key, shiftKey]) => document.body.dispatchEvent(new KeyboardEvent(
        "keydown", {key, shiftKey, modifierCapsLock: true, bubbles: true}))"""
    tab.page.evaluate(press, ["S", False])
    assert tab.page.input_value("#box-text") == "S"
    tab.press("Escape")
    tab.page.evaluate(press, ["s", True])
    until(lambda: len(named(review)) == 4, tab)
