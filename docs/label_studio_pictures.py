"""Make the pictures of docs/label-studio.md from a fresh `make label-studio` that is running.

    python docs/label_studio_pictures.py http://127.0.0.1:8080 EMAIL PASSWORD docs/images

The address and the login are what `make label-studio` prints. It names the person of the first
photo and the cat of another, waits until the backend has gathered the names, and retrieves again.
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
REGIONS = "() => window.Htx?.annotationStore?.selected?.regions.length ?? 0"


def main(server: str, email: str, password: str, out: Path) -> None:
    """Log in and walk through."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_context(viewport={"width": 1180, "height": 720}).new_page()
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
        page.evaluate(
            "() => { const s = Htx.annotationStore.selected; s.selectArea(s.regions[0]); }"
        )
        page.keyboard.press("2")
        time.sleep(1)
        keep(page, out / "label-studio-named.jpg")
        page.click("button:has-text('Submit')")
        time.sleep(40)  # names are gathered for half a minute

        page.goto(data)
        page.wait_for_selector("text=Predictions: 33")
        page.locator("input[type=checkbox]").first.click(force=True)
        page.click("button:has-text('Tasks')")
        page.click("text=Retrieve Predictions")
        page.click("[data-testid=dialog-ok-button]")
        time.sleep(25)  # the earlier predictions make way a moment later
        open_task(page, data, 3)
        keep(page, out / "label-studio-learned.jpg")

        page.goto(f"{server}/projects/1/settings/ml")
        page.wait_for_selector("text=Connected")
        keep(page, out / "label-studio-model.jpg")
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
    main(**vars(parser.parse_args()))
