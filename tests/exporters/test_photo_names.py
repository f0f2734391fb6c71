"""Names of photos from the paths and addresses that other tools write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from prelabel.data.dataset import Dataset
from prelabel.evaluation import evaluate
from prelabel.runs.datasets import open_dataset
from prelabel.runs.export import convert
from prelabel.steps.photos import find_photos
from prelabel_exporters.photo_names import PhotoName, PhotoNames


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in ("images/a.jpg", "top.jpg", "b/1.jpg", "c/1.jpg", "with space.jpg", "odd\\one.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (10, 8)).save(folder / name)
    return folder


@pytest.mark.parametrize(
    ("text", "there", "alone"),
    [
        ("images/a.jpg", "images/a.jpg", "images/a.jpg"),
        ("./images//a.jpg", "images/a.jpg", "images/a.jpg"),
        ("../../label-studio/media/upload/4/a.jpg", "images/a.jpg", "a.jpg"),
        ("../../label-studio/media/upload/4/0a1b2c3d-a.jpg", "images/a.jpg", "a.jpg"),
        ("/data/upload/4/0a1b2c3d-a.jpg", "images/a.jpg", "a.jpg"),
        ("/home/u/data/images/a.jpg", "images/a.jpg", "a.jpg"),
        ("file:///home/u/data/images/a.jpg", "images/a.jpg", "a.jpg"),
        ("C:\\data\\images\\a.jpg", "images/a.jpg", "a.jpg"),
        ("images\\a.jpg", "images/a.jpg", "images/a.jpg"),
        ("odd\\one.jpg", "odd\\one.jpg", "odd/one.jpg"),
        ("with%20space.jpg", "with space.jpg", "with%20space.jpg"),
        ("https://photos.example.com/images/a.jpg?v=2#x", "images/a.jpg", "a.jpg"),
        ("s3://bucket/x/top.jpg", "top.jpg", "top.jpg"),
        ("/data/local-files/?d=photos/images/a.jpg", "images/a.jpg", "a.jpg"),
        ("../photos/top.jpg", "top.jpg", "top.jpg"),
        (
            "/elsewhere/c/1.jpg",
            "c/1.jpg",
            "1.jpg",
        ),  # two files have the last part: its folder tells
        ("/elsewhere/1.jpg", "1.jpg", "1.jpg"),  # nothing tells
        ("/elsewhere/gone.jpg", "gone.jpg", "gone.jpg"),
        ("gone/x.jpg", "gone/x.jpg", "gone/x.jpg"),
    ],
)
def test_name__with_and_without_the_folder(
    text: str, there: str, alone: str, photos: Path, tmp_path: Path
) -> None:
    def name(folder: Path | None) -> str:
        found = PhotoNames([text], folder, tmp_path).of(text)
        assert found is not None
        return found.name

    assert name(photos) == there
    assert name(None) == alone


@pytest.mark.parametrize("text", ["", " ", ".", "/", "..", "a/..", "x\0.jpg", 7, None, ["a.jpg"]])
def test_name__what_is_none(text: object, photos: Path) -> None:
    for folder in (photos, None):
        assert PhotoNames([text], folder, photos).of(text) is None


def test_name__an_absolute_path_below_the_folder(photos: Path) -> None:
    link = photos.parent / "link"
    link.symlink_to(photos)
    for text in (str(photos / "new/x.jpg"), "../photos/new/x.jpg"):
        for folder in (photos, link):
            found = PhotoNames([text], folder, photos.parent / "annotations").of(text)
            assert found == PhotoName("new/x.jpg")


def names(texts: Sequence[str], photos: Path | None = None) -> list[str]:
    known = PhotoNames(texts, photos, Path())
    return [found.name for text in texts if (found := known.of(text))]


def test_names__last_parts_that_come_twice_keep_their_folders(photos: Path) -> None:
    assert names(["/d/x/1.jpg", "/d/y/1.jpg", "/d/y/2.jpg"]) == ["x/1.jpg", "y/1.jpg", "2.jpg"]
    # Of two photos of one name, the one whose folder is not there is not taken for the other.
    assert names(["/d/x/1.jpg", "/d/c/1.jpg"], photos) == ["x/1.jpg", "c/1.jpg"]


def test_address__stays_that_of_a_url(photos: Path) -> None:
    for text in ("https://e.com/a.jpg", "s3://b/a.jpg", "/data/local-files/?d=x/a.jpg"):
        found = PhotoNames([text], photos, photos).of(text)
        assert found == PhotoName("images/a.jpg", text)
    for text in ("/home/u/a.jpg", "file:///home/u/a.jpg", "..\\a.jpg"):
        found = PhotoNames([text], photos, photos).of(text)
        assert found == PhotoName("images/a.jpg")


def coco(folder: Path, file_name: str) -> Path:
    file = folder / f"{len(list(folder.iterdir()))}.json"
    square = [[1, 1, 5, 1, 5, 5, 1, 5]]
    data = {
        "images": [{"id": 1, "file_name": file_name, "width": 10, "height": 8}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": square}],
    }
    file.write_text(json.dumps(data))
    return file


@pytest.mark.parametrize(
    "file_name",
    [
        "../../label-studio/media/upload/4/a.jpg",
        "/home/u/data/images/a.jpg",
        "images\\a.jpg",
        "https://photos.example.com/images/a.jpg",
        "s3://bucket/images/a.jpg",
        "/data/local-files/?d=photos/images/a.jpg",
    ],
)
def test_coco__run_convert_and_evaluate_agree(file_name: str, photos: Path, tmp_path: Path) -> None:
    source, plain = coco(tmp_path, file_name), coco(tmp_path, "images/a.jpg")

    def opened(file: Path) -> Dataset:
        return open_dataset(file, photos=photos)

    found = opened(source)
    (labels,) = found.stream()
    assert labels.photo == "images/a.jpg"
    assert labels.photo in {photo.name for photo in find_photos(photos).photos}
    assert any("named by its end" in line for line in found.problems.lines())
    figures = evaluate(opened(source), opened(plain), only=["coco"]).figures
    assert (figures.photos, figures.sources.photos_matched_by) == (1, "the whole name")
    convert(opened(source), tmp_path / "out", "label-studio")
    (task,) = json.loads((tmp_path / "out/tasks.json").read_text())
    is_address = "://" in file_name or file_name.startswith("/data/local-files")
    expected = file_name if is_address else "/data/local-files/?d=photos/images/a.jpg"
    assert task["data"]["image"] == expected
