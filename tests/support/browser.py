"""A real Chromium, and Label Studio's pages in it as a person uses them."""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from prelabel.label_studio.demo.local_server import LocalServer
from support.places import require

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Shown = NDArray[np.int_]
Mask = NDArray[np.bool_]

_FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
_REGIONS = "Htx.annotationStore.selected.regions"
_PLACE = """() => {
    const image = document.querySelector('img[alt=image]');
    const whole = image.getBoundingClientRect();
    const view = document.querySelector('.konvajs-content').getBoundingClientRect();
    const submit = document.querySelector('[data-testid=bottombar-submit-button]');
    const bar = submit?.closest('.lsf-bottombar')?.getBoundingClientRect().top ?? innerHeight;
    return [whole.x, whole.y, whole.width / image.naturalWidth,
            image.naturalWidth, image.naturalHeight,
            Math.max(view.left, whole.left), Math.max(view.top, whole.top),
            Math.min(view.right, whole.right), Math.min(view.bottom, whole.bottom, bar)];
}"""
_SHOW = """ids => {
    for (const region of Htx.annotationStore.selected.regions)
        if (region.hidden === ids.includes(region.id.split('#')[0])) region.toggleHidden();
}"""
_TINT = 4
"""Of 255; from here on a colour has changed."""
_BLEED = 0.25
"""Of the change of most pixels: less is the edge of a neighbouring pixel, as the page scales masks."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Playwright's browser; the test is skipped, or fails if it is required, without one."""
    executable = shutil.which("chromium")
    require(
        "chromium", executable is not None, "no chromium on the PATH (Debian: apt install chromium)"
    )
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        require("chromium", False, "playwright is not installed")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=_FLAGS)
        yield started
        started.close()


class LabelStudioTab:
    """Label Studio in one tab, logged in. Photos' places are in pixels of the upright photo, x
    first. Screenshots go to $PRELABEL_ARTIFACTS or ``folder``."""

    def __init__(self, browser: Browser, server: LocalServer, folder: Path) -> None:
        self.server = server
        self.folder = Path(os.environ.get("PRELABEL_ARTIFACTS", folder))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.page = browser.new_page(viewport={"width": 1400, "height": 1150})
        self.page.set_default_timeout(30_000)
        self.page.goto(f"{server.url}/user/login/")
        self.page.fill("input[name=email]", server.login.email)
        self.page.fill("input[name=password]", server.login.password)
        self.page.click("button[type=submit]")
        self.page.wait_for_url(lambda url: "/login" not in url)

    def save(self, name: str) -> None:
        """A screenshot to look at."""
        self._still()
        self.page.screenshot(path=self.folder / f"label-studio-{name}.png")

    def connect(self, project: int, url: str, user: str, password: str) -> tuple[int, str]:
        """Fill in the form in Settings, Model; the answer's status and what the page says then."""
        self.page.goto(f"{self.server.url}/projects/{project}/settings/ml")
        self.page.get_by_role("button", name="Add machine learning model").click()
        self.page.fill("input[name=title]", "prelabel")
        self.page.fill("input[name=url]", url)
        self.page.get_by_test_id("select-trigger-auth_method-NONE").click()
        self.page.get_by_text("Basic Authentication").last.click()
        self.page.fill("input[name=basic_auth_user]", user)
        self.page.fill("input[name=basic_auth_pass]", password)
        self.page.locator("input[name=is_interactive]").check(force=True)
        with self._answer("/api/ml") as answer:
            self.page.get_by_text("Validate and Save").click()
        status = int(answer.value.status)
        if status < 400:
            self.page.get_by_text("Connected").first.wait_for()
        else:
            self.page.locator(".lsf-error-message__message").first.wait_for()
        return status, str(self.page.inner_text("body"))

    def retrieve(self, project: int) -> str:
        """Select all tasks and have their predictions retrieved; what the server answers."""
        self.page.goto(f"{self.server.url}/projects/{project}/data")
        self.page.locator("input[type=checkbox]").first.click()
        self.page.get_by_role("button", name="Tasks").first.click()
        self.page.get_by_text("Retrieve Predictions").first.click()
        with self._answer("/api/dm/actions", seconds=120) as answer:
            self.page.get_by_test_id("dialog-ok-button").click()
        assert answer.value.ok, answer.value.text()
        return str(answer.value.json()["detail"])

    def open(self, project: int, task: int) -> list[dict[str, Any]]:
        """Open a task and wait for its regions: the ``id``, ``labels`` and ``type`` of each."""
        self.page.goto(f"{self.server.url}/projects/{project}/data?task={task}")
        self.page.wait_for_function(
            "window.Htx?.annotationStore?.selected?.regions?.length > 0"
            " && document.querySelector('img[alt=image]')?.naturalWidth > 0"
        )
        self.page.locator(".lsf-outliner-item").first.wait_for()
        # The brush's slider hides some of the photo; the page may take the brush up late.
        brush = self.page.locator("button.lsf-tool_active[aria-label=brush-tool]")
        self.page.click("button[aria-label=move-tool]")
        self._still()
        if brush.count():
            self.page.click("button[aria-label=move-tool]")
        self.page.mouse.move(700, 5)  # no tool tip
        return self.regions()

    def regions(self) -> list[dict[str, Any]]:
        """Those of the annotation that is open."""
        fields = "({id: r.id.split('#')[0], labels: [...r.labels], type: r.type})"
        found: list[dict[str, Any]] = self.page.evaluate(f"{_REGIONS}.map(r => {fields})")
        return found

    def drawn(self, ids: Collection[str]) -> tuple[Mask, Mask, Shown]:
        """Where drawing these regions changes the photo's colours, bool (height, width); which
        pixels are in view; and the colours (height, width, 3) with no region drawn."""
        until = time.monotonic() + 20
        while True:
            plain, seen = self._colours([])
            shown, _ = self._colours(ids)
            change = np.abs(shown - plain).max(axis=2) * seen
            tinted = change >= _TINT
            if tinted.any():
                tinted = change >= max(_TINT, _BLEED * np.median(change[tinted]))
            if tinted.any() or time.monotonic() > until:
                return tinted, seen, plain

    def colours(self, ids: Collection[str]) -> Shown:
        """The photo's colours (height, width, 3) with only these regions drawn."""
        self._colours(ids)
        self.page.wait_for_timeout(500)  # masks are drawn a moment later
        return self._colours(ids)[0]

    def label(self, control: int, name: str) -> None:
        """Choose a label of the config's ``control``-th tag."""
        labels = self.page.locator(".lsf-labels").nth(control)
        labels.locator(".lsf-label", has_text=name).click()

    def select_region(self) -> None:
        """The first in the list."""
        self.page.locator(".lsf-outliner-item").first.click()

    def delete_region(self) -> None:
        """The first in the list."""
        self.select_region()
        self.page.click("button[aria-label='Delete selected region']")

    def drag(self, tool: str, start: tuple[int, int], end: tuple[int, int]) -> None:
        """A stroke with a tool of the tool bar."""
        self.page.click(f"button[aria-label={tool}]")
        self.stroke(start, end)

    def stroke(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """With the tool at hand; a click if it ends where it starts."""
        self._still()
        self.page.mouse.move(*self._at(start))
        self.page.mouse.down()
        if end != start:
            self.page.mouse.move(*self._at(end), steps=8)
        self.page.mouse.up()

    def smart(self, tool: str) -> None:
        """Auto-annotation on, suggestions accepted, and this one of the smart tools at hand."""
        self.page.get_by_test_id("bottombar-auto-annotation-toggle").check(force=True)
        self.page.get_by_test_id("bottombar-auto-accept-toggle").check(force=True)
        active = self.page.locator(f"button.lsf-tool_smart.lsf-tool_active[aria-label={tool}]")
        for _ in range(5):  # each click takes the next
            self.page.locator("button.lsf-tool_smart:visible").first.click()
            if active.count():
                return
        raise AssertionError(f"there is no smart {tool}")

    def answered(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Point at something with a smart tool and wait until what is there has been drawn."""
        with self._answer("/interactive-annotating"):
            self.stroke(start, end)
        self.page.wait_for_function(f"{_REGIONS}.some(r => r.type === 'brushregion')")

    def submit(self) -> None:
        """Hand in the annotation."""
        with self._answer("/annotations") as answer:
            self.page.get_by_test_id("bottombar-submit-button").click()
        assert answer.value.ok, answer.value.text()

    def _answer(self, path: str, *, seconds: float = 60) -> AbstractContextManager[Any]:
        return self.page.expect_response(
            lambda r: path in r.url and r.request.method == "POST", timeout=1000 * seconds
        )

    def _colours(self, ids: Collection[str]) -> tuple[Shown, Mask]:
        """The colours at the middle of each of the photo's pixels with only these regions drawn,
        and which of them are in view."""
        self.page.evaluate(_SHOW, list(ids))
        shot = self._still()
        x0, y0, scale, width, height, *view = self.page.evaluate(_PLACE)
        x = x0 + (np.arange(width) + 0.5) * scale
        y = y0 + (np.arange(height) + 0.5) * scale
        left, top, right, bottom = view
        in_x = (x > left) & (x < min(right, shot.shape[1]))
        in_y = (y > top) & (y < min(bottom, shot.shape[0]))
        rows = y.astype(int).clip(0, shot.shape[0] - 1)
        columns = x.astype(int).clip(0, shot.shape[1] - 1)
        return shot[np.ix_(rows, columns)], in_y[:, None] & in_x

    def _still(self) -> Shown:
        """A screenshot, int (height, width, 3), once two in a row are the same."""
        earlier = None
        for _ in range(50):
            shot = np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB"), int)
            if earlier is not None and np.array_equal(shot, earlier):
                return shot
            earlier = shot
            self.page.wait_for_timeout(100)
        raise AssertionError("the page does not come to rest")

    def _at(self, point: tuple[int, int]) -> tuple[float, float]:
        """A pixel's middle on the page."""
        x0, y0, scale, *_ = self.page.evaluate(_PLACE)
        return x0 + (point[0] + 0.5) * scale, y0 + (point[1] + 0.5) * scale
