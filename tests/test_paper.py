"""The paper's protocol on folders in the official layouts."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from prelabel.data.colors import voc_color
from support.places import ROOT

CAT, DOG = 8, 12
"""Of VOC's 20 classes."""


@pytest.fixture(scope="module")
def paper() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")  # as when it is run
        return importlib.import_module("paper")


def _photo(number: int) -> tuple[Image.Image, NDArray[np.uint8]]:
    """A red square (a cat) or a blue one (a dog) on grey noise, and its mask."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(100, 140, (96, 128, 3), dtype=np.uint8)
    mask = np.zeros((96, 128), dtype=np.uint8)
    pixels[24:72, 40:88] = (220, 20, 20) if number % 2 else (20, 20, 220)
    mask[24:72, 40:88] = CAT if number % 2 else DOG
    return Image.fromarray(pixels), mask


def _voc(folder: Path) -> Path:
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / part).mkdir(parents=True)
    for number in range(7):
        photo, mask = _photo(number)
        photo.save(folder / "JPEGImages" / f"2007_{number}.jpg")
        labels = Image.fromarray(mask)
        labels.putpalette([n for i in range(256) for n in voc_color(i)])
        labels.save(folder / "SegmentationClass" / f"2007_{number}.png")
    lists = folder / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("2007_6\n")
    (lists / "val.txt").write_text("".join(f"2007_{number}\n" for number in range(6)))
    return folder


def _coco(folder: Path) -> Path:
    (folder / "val2017").mkdir(parents=True)
    (folder / "annotations").mkdir()
    images, annotations = [], []
    for number in range(6):
        photo, mask = _photo(number)
        photo.save(folder / "val2017" / f"{number:012}.jpg")
        images.append({"id": number, "file_name": f"{number:012}.jpg", "width": 128, "height": 96})
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": int(mask.max()),
                "segmentation": [[40, 24, 88, 24, 88, 72, 40, 72]],
                "bbox": [40, 24, 48, 48],
                "area": 2304,
                "iscrowd": 0,
            }
        )
    categories = [{"id": CAT, "name": "cat"}, {"id": DOG, "name": "dog"}]
    (folder / "annotations" / "instances_val2017.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return folder


def _run(paper: ModuleType, patch: pytest.MonkeyPatch, *arguments: object) -> int:
    options = ["--backbone", "color-texture", "--recipe", "fast", *map(str, arguments)]
    patch.setattr(sys, "argv", ["paper.py", *options])
    code: int = paper.main()
    return code


def test_paper__both_sets_beside_the_literature(
    paper: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "paper.csv"
    places = "--voc", _voc(tmp_path / "VOC2012"), "--coco", _coco(tmp_path / "coco")
    assert _run(paper, monkeypatch, *places, "--out", out) == 0
    with out.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["set"], row["photos"]) for row in rows] == [
        ("VOC 2012 val", "6"),  # without that of train.txt
        ("COCO val2017", "6"),
    ]
    assert [row["marked"] for row in rows] == [
        "not DINO: no result of the paper; not the 1449 photos of the set",
        "not DINO: no result of the paper; not the 5000 photos of the set",
    ]
    assert all(80 < float(row["miou"]) <= 100 for row in rows)  # red is not blue
    printed = capsys.readouterr().out
    assert " 45.8  MaskDistill (2022)" in printed
    assert " 21.2  CAUSE-TR (2023)" in printed
    assert printed.count("color-texture") == 2


def test_paper__folders_that_are_not_there(
    paper: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _run(paper, monkeypatch, "--voc", tmp_path, "--out", tmp_path / "paper.csv") == 2
    assert "expected the official folder VOC2012" in capsys.readouterr().err
    assert _run(paper, monkeypatch, "--coco", tmp_path, "--out", tmp_path / "paper.csv") == 2
    assert "no such file" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        _run(paper, monkeypatch)
    assert "expected --voc FOLDER, --coco FOLDER or both" in capsys.readouterr().err
