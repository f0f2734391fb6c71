"""The report's page in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import skimage.data
from msgspec import structs
from skimage.draw import ellipse

from builders import region
from prelabel.data.colors import class_color
from prelabel.report import Thumbnails, write_report
from support.browser import chromium
from support.page_tab import PageTab
from support.report_data import picture, prediction, run_facts, small_dataset

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    return write_report(folder, small_dataset(folder), run_facts(warnings=["Look at this."]))


@pytest.fixture
def tab(browser: Browser, report: Path) -> Iterator[PageTab]:
    opened = PageTab(browser, report, viewport={"width": 1280, "height": 900})
    yield opened
    opened.close()


def test_browser__sorts(tab: PageTab) -> None:
    # Score of photo i: mean over j < i % 4 of (i + 1) / (12 + 4 j); photos 0, 4, 8 are empty.
    scores = {
        i: np.mean([(i + 1) / (12 + 4 * j) for j in range(i % 4)]) for i in range(12) if i % 4
    }
    rising = [f"photo {i}.jpg" for i in sorted(scores, key=lambda i: scores[i])]
    empty = ["photo 0.jpg", "photo 4.jpg", "photo 8.jpg"]
    assert tab.names() == rising[::-1] + empty
    tab.page.select_option("#sort", "score-up")
    assert tab.names() == rising + empty
    tab.page.select_option("#sort", "name")
    assert tab.names() == [f"photo {i}.jpg" for i in range(12)]
    tab.page.select_option("#sort", "regions-down")
    assert tab.names()[:3] == ["photo 3.jpg", "photo 7.jpg", "photo 11.jpg"]
    tab.page.select_option("#sort", "regions-up")
    assert tab.names()[:3] == empty


def test_browser__filters(tab: PageTab) -> None:
    tab.page.select_option("#sort", "name")
    tab.page.select_option("#show", label="object 3 (3)")
    assert tab.names() == ["photo 3.jpg", "photo 7.jpg", "photo 11.jpg"]
    tab.page.fill("#text", "1.JPG")
    assert tab.names() == ["photo 11.jpg"]
    tab.page.select_option("#show", "empty")
    assert tab.names() == []
    assert tab.page.inner_text("#range") == "No photo fits."
    tab.page.fill("#text", "")
    assert tab.names() == ["photo 0.jpg", "photo 4.jpg", "photo 8.jpg"]
    assert tab.page.inner_text("#range") == "1–3 of 3 photos"


def test_browser__contact_sheet_leads_to_the_photo(tab: PageTab) -> None:
    first = tab.page.locator("#class-1 .cell").first
    # Highest score first; the regions of class 1 score (i + 1) / 16.
    assert first.get_attribute("title") == "0.75, photo 11.jpg"
    tab.page.select_option("#show", "empty")
    first.click()
    card = tab.page.locator("#photo-11")
    assert "target" in (card.get_attribute("class") or "")
    assert card.locator("path.marked").get_attribute("data-region") == "1"
    box = card.bounding_box()
    assert box
    assert 0 <= box["y"] < 900 - box["height"]
    tab.until("document.activeElement.id === 'photo-11'")
    # By keyboard, another one; then back.
    tab.page.locator("#class-0 .cell").nth(8).focus()
    tab.page.keyboard.press("Enter")
    tab.until("document.activeElement.id === 'photo-1'")
    tab.page.go_back()
    tab.until("document.activeElement.id === 'photo-11'")


def test_browser__overlay_shows_the_class_colour(tab: PageTab) -> None:
    card = tab.page.locator("#photo-3")
    card.scroll_into_view_if_needed()
    tab.until("[...document.querySelectorAll('#photo-3 img')].every(i => i.naturalWidth)")
    original, overlay = card.locator(".frame").all()
    plain, drawn_over = tab.shot(original), tab.shot(overlay)
    height, width = drawn_over.shape[:2]
    grey = np.array((120, 120, 103))
    for j in range(3):  # the middle of region j of a 200 × 150 photo
        y, x = round(70 / 150 * height), round((60 * j + 30) / 200 * width)
        np.testing.assert_allclose(plain[y, x], grey, atol=4)
        blend = (grey + np.array(class_color(j))) / 2
        np.testing.assert_allclose(drawn_over[y, x], blend, atol=4)
    np.testing.assert_allclose(drawn_over[round(0.1 * height), width // 2], grey, atol=4)


def test_browser__hover_tells_class_and_score(tab: PageTab) -> None:
    assert tab.page.locator("#tip").is_hidden()
    tab.page.locator("#photo-7 path").nth(2).hover()
    assert tab.page.inner_text("#tip") == "object 3 · 0.40"  # 8 / 20
    assert tab.page.locator("#photo-7 path.marked").count() == 1
    tab.page.mouse.move(1, 1)
    assert tab.page.locator("#tip").is_hidden()
    assert tab.page.locator("path.marked").count() == 0


def test_browser__cut_outs_are_loaded(tab: PageTab) -> None:
    cell = tab.page.locator("#class-2 .cell").first
    cell.scroll_into_view_if_needed()
    tab.until("document.querySelector('#class-2 .cell').style.backgroundImage")
    tab.page.wait_for_load_state("networkidle")
    shown = tab.shot(cell)
    height, width = shown.shape[:2]
    np.testing.assert_allclose(shown[height // 2, width // 2], (120, 120, 111), atol=6)
    np.testing.assert_allclose(shown[3, width // 2], (230, 230, 230), atol=6)


def test_browser__dark_and_narrow(browser: Browser, report: Path) -> None:
    tab = PageTab(browser, report, color_scheme="dark", viewport={"width": 390, "height": 800})
    assert tab.shot()[200, 2].max() < 60
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 390
    tab.close()


def test_browser__single_file_elsewhere(browser: Browser, tmp_path: Path) -> None:
    photos = small_dataset(tmp_path / "made")
    made = write_report(tmp_path / "made", photos, run_facts(), single_file=True)
    moved = made.rename(tmp_path / "alone.html")
    shutil.rmtree(tmp_path / "made")
    tab = PageTab(browser, moved)
    tab.page.locator("#photo-11").scroll_into_view_if_needed()
    tab.until("[...document.querySelectorAll('#photo-11 img')].every(i => i.naturalWidth)")
    tab.close()


def test_browser__a_thousand_photos(browser: Browser, tmp_path: Path) -> None:
    made = small_dataset(tmp_path)
    photos = [structs.replace(made[i % 12], photo=f"{i}.jpg") for i in range(1000)]
    tab = PageTab(
        browser,
        write_report(tmp_path, photos, run_facts()),
        viewport={"width": 1280, "height": 900},
    )
    assert tab.page.inner_text("#range") == "1–60 of 1\u202f000 photos"
    assert tab.n_nodes() < 3000
    tab.save_shot(tmp_path, "report-1000")

    tab.page.select_option("#sort", "name")
    tab.page.get_by_role("button", name="Next").first.click()
    assert tab.names() == [f"{i}.jpg" for i in range(60, 120)]
    tab.page.locator("#class-0 button", has_text="Show all 750").click()
    assert tab.page.locator("#class-0 .cell").count() == 750
    tab.page.locator("#class-0 .cell").last.click()  # photos 1, 13 … score least: the last is 997
    assert tab.page.locator(".card.target h3").inner_text() == "997.jpg"
    assert tab.page.inner_text("#range") == "961–1\u202f000 of 1\u202f000 photos"
    assert tab.n_nodes() < 4000
    tab.close()


def test_browser__real_photos_to_look_at(browser: Browser, tmp_path: Path) -> None:
    """Screenshots of every section, with scikit-image's photos under masks made by hand."""
    thumbnails = Thumbnails(tmp_path / "thumbs")
    found = []
    for name, ellipses in {
        "chelsea": [(150, 240, 140, 190, 0.9, 0)],
        "coffee": [(160, 300, 130, 160, 0.8, 1), (280, 110, 45, 110, 0.4, 1)],
        "astronaut": [(130, 225, 110, 75, 0.7, 2), (400, 250, 110, 200, 0.6, 2)],
        "rocket": [],
    }.items():
        photo = picture(getattr(skimage.data, name)())
        shape = photo.pixels.shape[:2]
        regions = []
        for row, column, height, width, score, cluster in ellipses:
            mask = np.zeros(shape, dtype=np.bool_)
            mask[ellipse(row, column, height, width, shape=shape)] = True
            regions.append(region(mask, score=score, cluster=cluster))
        thumbnails.add(photo, regions)
        found.append(prediction(f"photos/{name}.png", photo, regions))
    facts = run_facts(
        skipped=[("broken.jpg", "cannot be decoded")],
        seconds={"decode": 0.4, "features": 6.2, "clustering": 1.3, "report": 0.1, "total": 8.0},
        weights={"name": "stand-in", "sha256": "90a0b02e" * 8},
        warnings=["Only 4 photos: the dataset's clusters are not steadier than one photo's."],
        config={"backbone": {"name": "timm", "size": 448}, "seed": 0},
    )
    page = write_report(tmp_path, found, facts)
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 390)):
        tab = PageTab(browser, page, color_scheme=scheme, viewport={"width": width, "height": 900})
        for section in ("overview", "classes", "photos", "run"):
            tab.page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
            tab.save_shot(tmp_path, f"report-{scheme}-{width}-{section}")
        loaded = "[...document.querySelectorAll('.card img')].filter(i => i.naturalWidth).length"
        assert tab.page.evaluate(loaded) == 8
        assert tab.page.locator(".cell.missing, .frame.missing").count() == 0
        tab.close()


def test_browser__markup_that_gets_into_the_page_neither_runs_nor_styles(
    browser: Browser, report: Path, tmp_path: Path
) -> None:
    """What the page's policy is for: a name that would not have been escaped."""
    hostile = (
        "<script>window.hit = 1</script><img src=x onerror='window.hit = 2'>"
        "<style>body { display: none }</style><p id=styled style='color: rgb(1, 2, 3)'>x</p>"
    )
    page = tmp_path / "page.html"
    page.write_text(report.read_text("utf-8").replace("</main>", f"{hostile}</main>"), "utf-8")
    tab = PageTab(browser, page)
    tab.page.wait_for_timeout(200)
    assert tab.page.evaluate("window.hit ?? 0") == 0
    assert tab.page.evaluate("getComputedStyle(document.body).display") == "block"
    assert tab.page.evaluate("getComputedStyle(document.getElementById('styled')).color") != (
        "rgb(1, 2, 3)"
    )
    assert len([text for text in tab.errors if "Content Security Policy" in text]) >= 4
    tab.context.close()
