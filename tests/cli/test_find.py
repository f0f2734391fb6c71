"""The command find: the like of drawn objects in other photos."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prelabel.data.masks import rle_area
from prelabel.runs.predictions import read_predictions
from support.command_line import LIGHT, cli, disc_labels, refused, write_discs, write_labels
from support.messages import assert_says


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six photos, a disc on each, red and blue in turn."""
    folder = tmp_path_factory.mktemp("find")
    photos = write_discs(folder / "photos", 6)
    assert cli("run", photos, "--out", folder / "run", *LIGHT).exit_code == 0
    write_labels(photos, folder / "labels", 2)
    return folder


def _labels(run: Path) -> Path:
    return run / "labels" / "coco" / "instances.json"


def test_find__one_red_disc_finds_the_others(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    example = ("--like", _labels(run), "--photo", "photo 0.png")
    result = cli("find", run / "run", *example, "--out", out)
    assert result.exit_code == 0, result.output
    found = {p.photo: p for p in read_predictions(out / "predictions.jsonl")}
    assert sorted(found) == [f"photo {i}.png" for i in range(1, 6)]
    truth = {p.photo: p for p in disc_labels(run / "photos", found).stream()}
    best = {name: p.regions[0].score if p.regions else 0.0 for name, p in found.items()}
    red, blue = ("photo 2.png", "photo 4.png"), ("photo 1.png", "photo 3.png", "photo 5.png")
    assert min(best[name] for name in red) > max(best[name] for name in blue)
    for name in red:
        both = found[name].regions[0].mask & truth[name].regions[0].mask
        either = found[name].regions[0].mask | truth[name].regions[0].mask
        assert both.sum() > 0.5 * either.sum()
    facts = json.loads((out / "run.json").read_text())
    assert (facts["command"], facts["class_names"]) == ("find", ["red"])
    assert (out / "report" / "index.html").is_file()
    with (out / "found.csv").open() as file:
        rows = list(csv.DictReader(file))
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert {rows[0]["photo"], rows[1]["photo"]} == set(red)
    assert f"{len(rows)} objects" in result.stdout
    again = cli("find", run / "run", *example, "--out", tmp_path / "again")
    assert again.exit_code == 0
    assert (tmp_path / "again" / "found.csv").read_bytes() == (out / "found.csv").read_bytes()
    exported = cli("export", out, "--format", "voc", "--out", tmp_path / "voc")
    assert exported.exit_code == 0, exported.output


@pytest.mark.slow
def test_find__photos_without_a_run_and_one_class(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    like = ("--like", _labels(run), "--class", "blue")
    result = cli("find", run / "photos", *like, "--out", out, *LIGHT)
    assert result.exit_code == 0, result.output
    found = list(read_predictions(out / "predictions.jsonl"))
    assert [p.photo for p in found] == [f"photo {i}.png" for i in range(2, 6)]
    with (out / "found.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["class"] for row in rows} == {"blue"}
    assert {row["photo"] for row in rows[:2]} == {"photo 3.png", "photo 5.png"}


def test_find__refuses_what_gives_no_example(run: Path, tmp_path: Path) -> None:
    def find(*more: object, photos: Path = run / "run") -> str:
        return refused("find", photos, *more, "--out", tmp_path / "out")

    labels = _labels(run)
    assert_says(find("--like", tmp_path / "none.json"), "--like", "none.json", "no such")
    assert_says(find("--like", "cat,dog"), "--like", "cat,dog", "no such")
    assert_says(find("--like", labels, "--photo", "photo 3.png"), "photo 3.png", "no labels")
    assert_says(find("--like", labels, "--photo", "gone.png"), "gone.png", "not among")
    assert_says(find("--like", labels, "--class", "green"), "green", "'blue', 'red'")
    assert_says(find("--like", run / "run"), "--like", "predictions")
    assert_says(find("--like", labels, "--recipe", "fast"), "run", "--recipe")
    assert_says(find("--like", labels, photos=run / "labels"), "prelabel export")
    assert_says(refused("find", run / "run", "--like", labels, "--out", run / "run"), "--out")
    assert not (tmp_path / "out").exists()


def test_find__the_only_photo_is_the_example(run: Path, tmp_path: Path) -> None:
    line = refused(
        *("find", run / "photos" / "photo 0.png", "--like", _labels(run)),
        *("--out", tmp_path / "out", *LIGHT),
    )
    assert_says(line, "no other photo")


def test_find__labels_of_photos_that_are_missing(run: Path, tmp_path: Path) -> None:
    other = write_discs(tmp_path / "photos", 1)
    (other / "photo 0.png").rename(other / "elsewhere.png")
    words = ("find", other, "--like", _labels(run), "--out", tmp_path / "out", *LIGHT)
    assert_says(refused(*words), "none of the photos", "photo 0.png", "elsewhere.png")


def test_find__a_mask_of_one_pixel(run: Path, tmp_path: Path) -> None:
    masks = tmp_path / "labels"
    masks.mkdir()
    facts = json.loads(_labels(run).read_text())
    del facts["annotations"][1:]
    facts["annotations"][0] |= {
        "segmentation": {"size": [64, 96], "counts": [30, 1, 64 * 96 - 31]},
        "bbox": [0, 30, 1, 1],
        "area": 1,
    }
    (masks / "instances.json").write_text(json.dumps(facts))
    example = ("--like", masks / "instances.json", "--photo", "photo 0.png")
    line = refused("find", run / "run", *example, "--out", tmp_path / "out")
    assert_says(line, "teach nothing", "half a patch")


def test_find__a_broken_photo_costs_one_photo(run: Path, tmp_path: Path) -> None:
    photos = write_discs(tmp_path / "photos", 4)
    assert cli("run", photos, "--out", tmp_path / "run", *LIGHT).exit_code == 0
    (photos / "photo 2.png").write_bytes(b"broken")
    (photos / "photo 3.png").unlink()
    out = tmp_path / "out"
    example = ("--like", _labels(run), "--photo", "photo 0.png")
    result = cli("find", tmp_path / "run", *example, "--out", out, "--strict")
    assert result.exit_code == 1
    skipped = {s["photo"] for s in json.loads((out / "run.json").read_text())["photos"]["skipped"]}
    assert skipped == {"photo 2.png", "photo 3.png"}
    assert [p.photo for p in read_predictions(out / "predictions.jsonl")] == ["photo 1.png"]


def test_find__small_examples_find_small_things(run: Path, tmp_path: Path) -> None:
    """Parts may be smaller than regions.min_area where the example is."""
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        pixels = rng.integers(30, 60, (160, 160, 3)).astype(np.uint8)
        pixels[40:72, 20 + 40 * i : 52 + 40 * i] = (230, 60, 40)
        Image.fromarray(pixels).save(photos / f"photo {i}.png")
    labels = write_labels(photos, tmp_path / "labels", 1)
    out = tmp_path / "out"
    more = ("--set", "regions.min_area=0.2")
    result = cli("find", photos, "--like", labels, "--out", out, *LIGHT, *more)
    assert result.exit_code == 0, result.output
    for found in read_predictions(out / "predictions.jsonl"):
        assert found.regions
        assert rle_area(found.regions[0].rle) < 0.1 * 160 * 160
