"""Make the pictures of docs/label-studio.md from a fresh `make label-studio` that is running.

    python docs/label_studio_pictures.py http://127.0.0.1:8080 EMAIL PASSWORD docs/images
    python docs/label_studio_pictures.py http://127.0.0.1:8080 EMAIL PASSWORD docs/images \
        --backend http://127.0.0.1:9090 USER PASSWORD

The addresses and logins are what `make label-studio` prints. It names the person of the first
photo, waits until the name has reached another task, and asks for a mask by a click. With --backend, it
takes those of the review page, once somebody has named all classes there, and of what came of it.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
SUGGESTIONS = "() => window.Htx?.annotationStore?.selected?.suggestions.size ?? 0"
REGIONS = "() => window.Htx?.annotationStore?.selected?.regions.length ?? 0"


def main(server: str, email: str, password: str, out: Path) -> None:
    """Log in and walk through."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_context(viewport={"width": 1180, "height": 720}).new_page()
        page.set_default_timeout(120_000)
        page.goto(f"{server}/user/login/")
        page.fill("input[name=email]", email)
        page.fill("input[name=password]", password)
        page.click("button[type=submit]")
        page.wait_for_load_state()
        data = f"{server}/projects/1/data"

        page.goto(data)
        page.wait_for_selector("text=Predictions: 33")
        time.sleep(2)  # thumbnails
        keep(page, out / "label-studio-data.jpg")

        open_task(page, data, 1)
        keep(page, out / "label-studio-unnamed.jpg")
        page.keyboard.press("v")
        page.evaluate(
            "() => { const s = Htx.annotationStore.selected; s.selectArea(s.regions[0]); }"
        )
        page.keyboard.press("2")
        time.sleep(1)
        keep(page, out / "label-studio-named.jpg")
        page.click("button:has-text('Submit')")
        time.sleep(100)  # the name reaches the tasks, and the earlier predictions go
        open_task(page, data, 2)
        keep(page, out / "label-studio-learned.jpg")

        open_task(page, data, 2)
        page.get_by_test_id("bottombar-auto-annotation-toggle").check(force=True)
        time.sleep(3)
        active = page.locator("button.lsf-tool_smart.lsf-tool_active[aria-label=key-point-tool]")
        while not active.count():
            page.locator("button.lsf-tool_smart:visible").first.click()
            time.sleep(1)
        page.locator(".lsf-labels").nth(1).locator(".lsf-label", has_text="person").click()
        time.sleep(1)
        keep(page, out / "label-studio-smart.jpg")
        box = page.locator("img[alt=image]").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        until(lambda: page.evaluate(SUGGESTIONS) > 0)
        time.sleep(2)
        keep(page, out / "label-studio-suggestion.jpg")

        page.goto(f"{server}/projects/1/settings/ml")
        page.wait_for_selector("text=Connected")
        keep(page, out / "label-studio-model.jpg")
        browser.close()


def after_review(server: str, email: str, password: str, out: Path, backend: list[str]) -> None:
    """The review page, the backend's own page, and a task whose masks have names."""
    address, user, secret = backend
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_context(
            viewport={"width": 1180, "height": 720},
            http_credentials={"username": user, "password": secret, "origin": address},
        ).new_page()
        page.set_default_timeout(120_000)
        page.goto(f"{address}/projects/1/review/")
        page.wait_for_selector(".cell img")
        time.sleep(4)  # cut-outs and the map
        keep(page, out / "label-studio-review.jpg")
        page.goto(address)
        page.wait_for_selector("text=classes named")
        keep(page, out / "backend-page.jpg")
        page.goto(f"{server}/user/login/")
        page.fill("input[name=email]", email)
        page.fill("input[name=password]", password)
        page.click("button[type=submit]")
        page.wait_for_load_state()
        open_task(page, f"{server}/projects/1/data", 3)
        keep(page, out / "label-studio-reviewed.jpg")
        browser.close()


def open_task(page: Page, data: str, task: int) -> None:
    """Show a task with its regions."""
    page.goto(f"{data}?task={task}")
    until(lambda: page.evaluate(REGIONS) > 0)
    time.sleep(2)  # masks are drawn


def until(done: Callable[[], bool]) -> None:
    """Wait half a minute at most."""
    for _ in range(120):
        if done():
            return
        time.sleep(0.25)
    raise TimeoutError("the page does not show what it should")


def keep(page: Page, file: Path) -> None:
    """A screenshot as JPEG."""
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(file, quality=82)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("server", "email", "password"):
        parser.add_argument(name)
    parser.add_argument("out", type=Path)
    parser.add_argument("--backend", nargs=3, metavar=("URL", "USER", "PASSWORD"))
    given = parser.parse_args()
    if given.backend:
        after_review(**vars(given))
    else:
        del given.backend
        main(**vars(given))
