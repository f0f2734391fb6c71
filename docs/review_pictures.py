"""Make the pictures of docs/review.md from a review that is running.

    prelabel samples samples/
    prelabel run samples/photos --out result/ --backbone stand-in --set classes.count=9
    prelabel review result/
    python docs/review_pictures.py http://127.0.0.1:8075 docs/images \\
        -- - motorcycle cup flower person cat motorcycle person -

It gives the names to the classes in their order ("-": nothing), and opens a photo.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = "--headless=new --no-sandbox --disable-gpu"


def main(server: str, out: Path, names: list[str]) -> None:
    """Walk through."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(server)
        page.wait_for_selector(".cell img")
        for name in names:
            page.wait_for_timeout(300)
            page.keyboard.press("Delete") if name == "-" else page.keyboard.type(f"{name}\n")
        page.keyboard.press("Home")
        page.wait_for_timeout(8000)  # names count, the message is gone
        keep(page, out / "review.jpg")
        page.locator(".cell").first.click()
        page.wait_for_timeout(1500)
        keep(page, out / "review-photo.jpg")
        browser.close()


def keep(page: Page, file: Path) -> None:
    """A picture of what is in view."""
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(file, quality=85)
    print(file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server")
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="+")
    options = parser.parse_args()
    main(options.server, options.out, options.names)
