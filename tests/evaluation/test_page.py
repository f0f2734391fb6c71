"""The evaluation's page: what it shows, awkward names, and the page in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from builders import box, prediction, region
from prelabel.data.masks import Mask
from prelabel.evaluation import Evaluation, evaluate
from prelabel.evaluation.page import write_page
from prelabel.evaluation.page_photos import BEST, WORST, chosen, class_ious
from support.browser import chromium
from support.evaluation_data import dataset
from support.page_tab import PageTab

AWKWARD = 'a "weird" <b>name</b>\n</script><script>alert(1)</script> {{style}} 😀 \udcff.png'
SIZE = (120, 90)
NAMES = {"predictions": "out", "ground_truth": "truth.json"}


def _box(left: int, right: int) -> Mask:
    return box(left, 30, right - left, 30, photo=(SIZE[1], SIZE[0]))


def _evaluation(folder: Path | None = None, *, names: tuple[str, ...] = ()) -> Evaluation:
    """Photos with a cat at 0–100 of which the i-th finds 10 (i + 1) columns; the last has a dog
    that is taken for a cat, and there is a void and a false region in the first."""
    names = names or tuple(f"photo {i}.png" for i in range(5))
    true, found = [], []
    for i, name in enumerate(names):
        last = i == len(names) - 1
        objects = [region(_box(0, 100), int(last))]
        if i == 0:
            objects.append(region(_box(110, 120), -1, crowd=True))
        true.append(prediction(name, *objects, size=(SIZE[1], SIZE[0])))
        regions = [region(_box(0, 10 * (i + 1)), 0, score=0.8)]
        if i == 0:
            regions.append(region(_box(102, 108), 0, score=0.3))
        found.append(prediction(name, *regions, size=(SIZE[1], SIZE[0])))
        if folder is not None and not name.startswith(("a", ".")):
            folder.mkdir(exist_ok=True)
            Image.new("RGB", SIZE, (120, 120, 100 + i)).save(folder / name)
    return evaluate(
        dataset(*found, classes=["cat"], folder=folder), dataset(*true), classes="by-name"
    )


def _data(page: Path) -> Any:
    html = page.read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json" id="data">(.*)</script>', html)
    return json.loads(found)


def test_page__data_of_a_photo(tmp_path: Path) -> None:
    page = write_page(tmp_path / "out", _evaluation(tmp_path / "photos"), **NAMES)
    data = _data(page)
    assert [one["name"] for one in data["photos"]] == [f"photo {i}.png" for i in range(5)]
    first = data["photos"][0]
    assert first["quality"] == pytest.approx(300 / 3180, abs=1e-6)  # 10 of 100, and 6 wrong
    assert (first["steps"], first["false"]) == ([0], 2)
    assert first["saved"] == -9  # drawn all the same, two deleted, looked at: 79.2 - 88.2
    # 120 pixels are 720 units: x 0…10 becomes 0…60, y 30…60 becomes 180…360.
    assert first["found"][-1] == ["cat", 0, 0.8, "M0 180l0 180 60 0 0-180z"]
    assert first["truth"] == [[0, "M0 180l0 180 600 0 0-180z"]]
    assert first["difference"] == {
        "right": "M0 180l0 180 60 0 0-180z",
        "other": "",
        "missed": "M60 180l0 180 540 0 0-180z",
        "extra": "M612 180l0 180 36 0 0-180z",
        "void": "M660 180l0 180 60 0 0-180z",
    }
    last = data["photos"][4]
    assert last["difference"]["right"] == ""
    assert last["difference"]["other"] == "M0 180l0 180 300 0 0-180z"
    assert last["ious"] == {"0": 0.0, "1": 0.0}
    assert (tmp_path / "out" / first["thumb"]).is_file()
    assert len(list((tmp_path / "out" / "thumbs").iterdir())) == 5


def test_page__without_photos_says_so(tmp_path: Path) -> None:
    html = write_page(tmp_path, _evaluation(), **NAMES).read_text()
    assert "The photos could not be shown" in html
    assert all(one["thumb"] == "" for one in _data(tmp_path / "index.html")["photos"])
    shown = write_page(tmp_path / "a", _evaluation(tmp_path / "photos"), **NAMES).read_text()
    assert "could not be shown" not in shown
    (tmp_path / "photos" / "photo 1.png").write_bytes(b"broken")
    Image.new("RGB", (50, 50)).save(tmp_path / "photos" / "photo 2.png")  # another size
    html = write_page(tmp_path / "b", _evaluation_of(tmp_path / "photos"), **NAMES).read_text()
    assert "2 of the 5 photos could not be shown" in html


def _evaluation_of(folder: Path) -> Evaluation:
    """The same, of photos that are there already."""
    kept = {file: file.read_bytes() for file in folder.iterdir()}
    made = _evaluation(folder)
    for file, data in kept.items():
        file.write_bytes(data)
    return made


def test_page__reads_nothing_outside_the_folder(tmp_path: Path) -> None:
    Image.new("RGB", SIZE).save(tmp_path / "secret.png")
    made = _evaluation(tmp_path / "photos", names=("../secret.png", "photo 1.png"))
    data = _data(write_page(tmp_path / "out", made, **NAMES))
    assert {one["name"]: bool(one["thumb"]) for one in data["photos"]} == {
        "../secret.png": False,
        "photo 1.png": True,
    }


def test_page__awkward_names_stay_text(tmp_path: Path) -> None:
    made = _evaluation(names=(AWKWARD, "photo 1.png"))
    made.figures.sources.problems.append(AWKWARD)
    page = write_page(tmp_path, made, predictions=AWKWARD, ground_truth=AWKWARD)
    html = page.read_text(encoding="utf-8")
    assert html.count("<script") == 2
    assert "<b>name" not in html
    assert AWKWARD in [one["name"] for one in _data(page)["photos"]]


def test_page__every_figure_has_its_protocol(tmp_path: Path) -> None:
    made = _evaluation()
    html = write_page(tmp_path, made, **NAMES).read_text()
    row = re.search(r'<tr id="figure-mean_iou">.*?</tr>', html)
    assert row
    assert f"{made.figures.values()['mean_iou']:.3f}" in row[0]
    assert "classes matched by name" in row[0]
    assert "Lin et al. 2014" in html
    assert "{{" not in html
    assert set(re.findall(r"https?://[^\"'\s]+", html)) == {"http://www.w3.org/2000/svg"}


def test_chosen__worst_and_best_and_those_of_each_class() -> None:
    n = 200
    true, found = [], []
    for i in range(n):  # IoU rises with i; class 1 is in the middle photos only
        true.append(prediction(f"{i:03}", region(_box(0, 100), int(i in (100, 101)))))
        found.append(prediction(f"{i:03}", region(_box(0, 1 + i // 2), 0)))
    sides = [
        dataset(*(prediction(p.photo, *p.regions, size=(90, 120)) for p in side))
        for side in (found, true)
    ]
    made = evaluate(*sides, classes="by-name")
    places = chosen(made.measured)
    assert places[:WORST] == list(range(WORST))
    assert places[-BEST:] == list(range(n - BEST, n))
    assert {100, 101} <= set(places)
    assert len(places) < WORST + BEST + 10
    assert class_ious(made.measured, 100) == {0: 0.0, 1: 0.0}


# In a browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    made = _evaluation(folder / "photos")
    written = write_page(folder / "out", made, **NAMES)
    shutil.rmtree(folder / "photos")
    return written


@pytest.fixture
def tab(page: Path) -> Iterator[PageTab]:
    with chromium() as browser:
        opened = PageTab(browser, page)
        yield opened
        opened.close()


@pytest.mark.slow
def test_browser__sorts_and_filters(tab: PageTab) -> None:
    rising = [f"photo {i}.png" for i in range(5)]
    assert tab.names() == rising
    tab.page.select_option("#sort", "best")
    assert tab.names() == rising[::-1]
    tab.page.select_option("#class", label="dog")
    assert tab.names() == ["photo 4.png"]
    assert "IoU 0.000 of dog" in tab.page.locator(".card p").inner_text()
    tab.page.select_option("#class", label="cat")
    assert tab.names() == [*rising[3::-1], "photo 4.png"]  # there a cat is found that is none
    tab.page.fill("#text", "O 1.P")
    assert tab.names() == ["photo 1.png"]
    tab.page.fill("#text", "nothing")
    assert tab.page.inner_text("#range") == "No photo fits."


@pytest.mark.slow
def test_browser__three_pictures_side_by_side(tab: PageTab) -> None:
    card = tab.page.locator(".card").first
    card.scroll_into_view_if_needed()
    captions = card.locator("figcaption").all_inner_texts()
    assert captions == ["ground truth", "prediction", "difference"]
    places = [frame.bounding_box() for frame in card.locator(".frame").all()]
    boxes = [place for place in places if place]
    assert len({round(place["y"]) for place in boxes}) == 1
    assert boxes[0]["x"] < boxes[1]["x"] < boxes[2]["x"]
    loaded = "[...document.querySelectorAll('.card img')].filter(i => i.naturalWidth).length"
    tab.until(f"{loaded} >= 3")
    kinds = (
        card.locator(".frame")
        .nth(2)
        .locator("path")
        .evaluate_all("p => p.map(e => e.className.baseVal)")
    )
    assert kinds == ["right", "missed", "extra", "void"]
    colour = "getComputedStyle(document.querySelector('path.missed')).fill"
    assert tab.page.evaluate(colour) == "rgb(47, 120, 208)"
