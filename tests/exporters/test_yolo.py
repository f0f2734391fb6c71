"""YOLO written for Ultralytics and read in the layouts of other tools."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from builders import HEIGHT, RING, WIDTH, box, prediction, region
from prelabel.data.dataset import Dataset, ExportContext
from prelabel.data.masks import Mask
from prelabel.data.polygons import outlines
from prelabel.errors import UserError
from prelabel.runs.datasets import open_dataset
from support.messages import assert_says
from support.places import require

pytest.importorskip("labelformat", reason="no labelformat: pip install 'prelabel[labelformat]'")

from prelabel_exporters.labelformat.cutting import cut_holes
from prelabel_exporters.labelformat.formats import Boxes, YoloSeg
from prelabel_exporters.labelformat.source import label_file

READERS = Path(os.environ.get("VOC_READERS", ".venv-voc-readers/bin/python"))
NAMES = [f"{place}{i}.jpg" for i in range(6) for place in ("", "a/")]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve photos of 40 × 32 pixels, half of them in a folder."""
    folder = tmp_path / "photos"
    (folder / "a").mkdir(parents=True)
    for name in NAMES:
        Image.new("RGB", (4 * WIDTH, 4 * HEIGHT)).save(folder / name)
    return folder


def large(mask: Mask) -> Mask:
    """A mask of such a photo, each pixel four times as large: Ultralytics reads no smaller photos."""
    return np.kron(mask, np.ones((4, 4), dtype=np.bool_))


def context(photos: Path) -> ExportContext:
    return ExportContext(photos, ("dog", "no", "dog"), "m-1")


def written(folder: Path, photos: Path, **settings: Any) -> tuple[Path, ExportContext]:
    folder.mkdir()
    own = context(photos)
    labels = [
        prediction(name, region(large(box(i % 5, 1, 4, 3)), i % 2))
        for i, name in enumerate(NAMES[:-1])
    ]
    return YoloSeg(**settings).write(
        [*labels, prediction(NAMES[-1], size=(32, 40))], folder, own
    ), own


def ultralytics(file: Path, task: str, folder: Path) -> dict[str, Any]:
    """What Ultralytics reads, started in another folder than the labels'."""
    script = Path(__file__).with_name("ultralytics_reader.py").absolute()
    folder.mkdir()
    env = {**os.environ, "YOLO_CONFIG_DIR": str(folder), "YOLO_OFFLINE": "true"}
    out = folder / "found.json"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(READERS.absolute()), *arguments]
        return subprocess.run(
            command, env=env, cwd=folder, capture_output=True, text=True, check=False
        )

    is_there = READERS.exists() and not run("-c", "import ultralytics").returncode
    require("voc-readers", is_there, f"no Ultralytics in {READERS}: make voc-readers")
    done = run(str(script), str(file.absolute()), task, str(out))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("images", ["link", "copy", "none"])
def test_write__ultralytics_finds_splits_photos_and_labels(
    images: str, photos: Path, tmp_path: Path
) -> None:
    file, _ = written(tmp_path / "out", photos, images=images, tolerance=0)
    if images == "none":
        (tmp_path / "out/images").symlink_to(photos)
    found = ultralytics(file, "segment", tmp_path / "yolo")
    assert found["train"] == str(tmp_path / "out/train.txt")
    assert found["val"] == str(tmp_path / "out/val.txt")
    assert found["names"] == {"0": "dog", "1": "no"}
    # Photos in two folders have one name each.
    assert set(found["labels"]) == {Path(name).name for name in NAMES}
    assert sum(not label["classes"] for label in found["labels"].values()) <= 1
    label = found["labels"]["0.jpg"]  # that of a/, index 1, comes last
    assert label["classes"] in ([0.0], [1.0])
    (segment,) = label["segments"]
    corners = np.array(segment) * (WIDTH, HEIGHT)
    assert corners.max(axis=0) - corners.min(axis=0) == pytest.approx([4, 3], abs=0.2)


@pytest.mark.slow
def test_boxes__are_those_that_ultralytics_reads(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    labels = [prediction(f"{i}.jpg", region(large(box(2, 1, 4, 6)), 1)) for i in range(6)]
    Boxes(images="copy").write(labels, out, context(photos))
    found = ultralytics(out / "data.yaml", "detect", tmp_path / "yolo")
    assert len(found["labels"]) == 6
    for label in found["labels"].values():
        assert label["classes"] == [1.0]
        assert label["boxes"][0] == pytest.approx([0.4, 0.5, 0.4, 0.75])


def test_write__data_yaml_by_hand(photos: Path, tmp_path: Path) -> None:
    file, own = written(tmp_path / "out", photos)
    data = yaml.safe_load(file.read_text())
    expected = {"train": "train.txt", "val": "val.txt", "nc": 2, "names": {0: "dog", 1: "no"}}
    assert data == expected  # a "path" would be relative to where a training is started
    lists = {name: (tmp_path / f"out/{name}.txt").read_text().split() for name in ("train", "val")}
    assert sorted(lists["train"] + lists["val"]) == sorted(f"./images/{name}" for name in NAMES)
    assert own.problems.lines() == []
    # One more photo moves none of the others.
    more = [*(prediction(name) for name in NAMES), prediction("new.jpg")]
    YoloSeg().write(more, tmp_path / "out", context(photos))
    for name, earlier in lists.items():
        now = (tmp_path / f"out/{name}.txt").read_text().split()
        assert [line for line in now if "new" not in line] == earlier


def test_write__no_list_is_empty(photos: Path, tmp_path: Path) -> None:
    for share, split in ((0.001, "train"), (1.0, "val")):
        file, own = written(tmp_path / split, photos, val_share=share)
        data = yaml.safe_load(file.read_text())
        assert (data["train"], data["val"]) == (f"{split}.txt", f"{split}.txt")
        assert "lists of photos without one" in own.problems.lines()[0]
    file, own = written(tmp_path / "none", photos, val_share=0)
    data = yaml.safe_load(file.read_text())
    assert (data["train"], data["val"]) == ("images", "images")
    assert own.problems.lines() == []


def test_write__photos_of_all_kinds(tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    (folder / "images").mkdir(parents=True)
    out.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned: stored as 8 × 10
    Image.new("RGB", (HEIGHT, WIDTH)).save(folder / "turned.jpg", exif=exif)
    Image.new("P", (WIDTH, HEIGHT)).save(folder / "moving.gif")
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images/x.png")
    own = context(folder)
    names = ["turned.jpg", "moving.gif", "images/x.png", "gone.jpg"]
    YoloSeg(images="copy").write([prediction(name) for name in names], out, own)
    assert sorted(f.name for f in (out / "images").rglob("*.*")) == [
        *("moving.jpg", "turned.jpg", "x.png")
    ]
    assert (out / "images/turned.jpg").read_bytes() == (folder / "turned.jpg").read_bytes()
    assert list(own.problems.counts) == [
        "photos converted to upright JPEGs",
        "photos below a folder named images, whose labels Ultralytics does not find",
        "photos that are missing beside their labels",
    ]


@settings(max_examples=60)
@given(hnp.arrays(np.bool_, (HEIGHT, WIDTH), elements=st.sampled_from([True, True, True, False])))
def test_cut__every_hole_is_open_and_no_pixel_is_lost(mask: Mask) -> None:
    strips = cut_holes(mask)
    together = np.zeros_like(mask)
    for strip in strips:
        assert not (together & strip).any()
        together |= strip
        assert len(outlines(strip, holes=True)) == len(outlines(strip))
    assert np.array_equal(together, mask)


def test_cut__a_mask_without_holes_is_whole() -> None:
    assert len(cut_holes(box(1, 1, 4, 4))) == 1
    assert len(cut_holes(RING)) == 2
    assert cut_holes(box(0, 0, 0, 0)) == []


def test_holes__are_kept_when_they_are_cut(photos: Path, tmp_path: Path) -> None:
    for holes, kept in (("fill", large(box(2, 1, 5, 5))), ("cut", large(RING))):
        out, own = tmp_path / holes, context(photos)
        out.mkdir()
        settings: dict[str, Any] = {"holes": holes, "tolerance": 0, "images": "copy"}
        YoloSeg(**settings).write([prediction("0.jpg", region(large(RING)))], out, own)
        (labels,) = open_dataset(out).stream()
        assert np.array_equal(labels.regions[0].mask, kept)
        assert any("cut into parts" in line for line in own.problems.lines()) == (holes == "cut")


def test_round_trip__masks_classes_and_names(photos: Path, tmp_path: Path) -> None:
    file, _ = written(tmp_path / "out", photos, images="link", tolerance=0)
    for source in (file, file.parent):
        found = open_dataset(source)
        assert found.classes == ("dog", "no")
        assert found.photos == tmp_path / "out/images"
        labels = {p.photo: p for p in found.stream()}
        assert set(labels) == set(NAMES)
        for i, name in enumerate(NAMES[:-1]):
            (own,) = labels[name].regions
            assert (own.cluster, own.is_box) == (i % 2, False)
            assert np.array_equal(own.mask, large(box(i % 5, 1, 4, 3)))
        assert labels[NAMES[-1]].regions == ()
        assert found.problems.lines() == []


LINE = "1 0.5 0.5 0.4 0.5\n"
"""x 3 to 7, y 2 to 6."""


def layout(root: Path, files: dict[str, str], photos: list[str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name in photos:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / name)
    return root


YAML = "names: [dog, cat]\n"
LAYOUTS: dict[str, tuple[dict[str, str], list[str], list[str]]] = {
    "one folder": (
        {"data.yaml": YAML + "train: images\nval: images\n", "labels/x.txt": LINE},
        ["images/x.jpg"],
        ["x.jpg"],
    ),
    "path and splits": (
        {
            "data.yaml": "path: set\ntrain: images/train\nval: images/val\nnames:\n  1: cat\n  0: dog\n",
            "set/labels/train/x.txt": LINE,
            "set/labels/val/y.txt": LINE,
        },
        ["set/images/train/x.jpg", "set/images/val/y.png"],
        ["train/x.jpg", "val/y.png"],
    ),
    "roboflow": (
        {
            "data.yaml": YAML + "train: ../train/images\nval: ../valid/images\n",
            "train/labels/x.txt": LINE,
            "valid/labels/y.txt": LINE,
        },
        ["train/images/x.jpg", "valid/images/y.jpg"],
        ["train/images/x.jpg", "valid/images/y.jpg"],
    ),
    "lists": (
        {
            "data.yaml": YAML + "train: train.txt\nval: [val.txt]\n",
            "train.txt": "./images/x.jpg\n",
            "val.txt": "/content/set/images/y.jpg\r\n",
            "labels/x.txt": LINE,
            "labels/y.txt": LINE,
        },
        ["images/x.jpg", "images/y.jpg"],
        ["x.jpg", "y.jpg"],
    ),
    "another machine": (
        {"my.yml": YAML + "path: /content/set\ntrain: /content/set/images\n", "labels/x.txt": LINE},
        ["images/x.jpg"],
        ["x.jpg"],
    ),
    "label studio": (
        {"classes.txt": "dog\ncat\n", "notes.json": "{}", "labels/x.txt": LINE},
        ["images/x.jpg"],
        ["x.jpg"],
    ),
    "darknet": (
        {
            "obj.names": "dog\ncat\n",
            "obj.data": "classes = 2\ntrain = data/train.txt\n",
            "train.txt": "data/obj_train_data/x.jpg\n",
            "obj_train_data/x.txt": LINE,
        },
        ["obj_train_data/x.jpg"],
        ["obj_train_data/x.jpg"],
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_read__layouts_of_others(name: str, tmp_path: Path) -> None:
    files, photos, expected = LAYOUTS[name]
    found = open_dataset(layout(tmp_path / "set", files, photos))
    assert found.classes == ("dog", "cat")
    labels = list(found.stream())
    assert [p.photo for p in labels] == expected
    for own in labels:
        assert [(r.box, r.cluster, r.is_box) for r in own.regions] == [((3, 2, 4, 4), 1, True)]
    assert found.problems.lines() == []
    assert [p.photo for p in found.stream()] == expected
    assert found.problems.lines() == []


def one(tmp_path: Path, line: str, names: str = "[dog, cat]") -> Dataset:
    files = {"data.yaml": f"names: {names}\ntrain: images\n", "labels/x.txt": line}
    return open_dataset(layout(tmp_path / "set", files, ["images/x.jpg"]))


@pytest.mark.parametrize(
    ("line", "area", "score"),
    [
        ("1 0.5 0.5 0.4 0.5", 16, 1.0),
        ("1.0 0.5 0.5 0.4 0.5 0.25", 16, 0.25),
        ("1 0.1 0.25 0.5 0.25 0.5 0.75 0.1 0.75", 16, 1.0),
        ("1 0.1 0.25 0.5 0.25 0.5 0.75 0.1 0.75 0.5", 16, 0.5),
        ("1 0 0 1.001 0 1.001 1 0 1", 80, 1.0),
        ("1 0.5 0.5 1 1", 80, 1.0),
        ("1 0.51 0.51 0.01 0.01", 1, 1.0),
    ],
)
def test_read__lines(line: str, area: int, score: float, tmp_path: Path) -> None:
    found = one(tmp_path, f"\n{line}\n")
    ((own,),) = (p.regions for p in found.stream())
    assert (own.area, own.score, own.cluster) == (area, score, 1)
    assert found.problems.lines() == []


@pytest.mark.parametrize(
    "line",
    [
        *("dog 0.5 0.5 0.4 0.5", "2 0.5 0.5 0.4 0.5", "-1 0.5 0.5 0.4 0.5", "1 0.5 0.5 0.4"),
        *("1 50 40 20 30", "1 nan 0.5 0.4 0.5", "1 0.5 0.5 inf 0.5", "1", "1 a b c d", "\x00"),
        *("1 0.5 0.5 0 0.5", "1 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 nan"),
    ],
)
def test_read__a_line_that_is_wrong_costs_that_line(line: str, tmp_path: Path) -> None:
    found = one(tmp_path, f"{LINE}{line}\n")
    assert [len(p.regions) for p in found.stream()] == [1]
    (note,) = found.problems.lines()
    assert "neither a box nor a polygon, left out" in note
    assert "x.txt, line 2" in note


def test_read__names_that_yaml_takes_for_flags(tmp_path: Path) -> None:
    assert one(tmp_path, LINE, "{0: no, 1: 7, 3: on}").classes == ("no", "7", "object 3", "on")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("names: [a]\ntrain: images\nkpt_shape: [17, 3]\n", "key points"),
        ("names: {a: b}\ntrain: images\n", "does not name a class"),
        ("names: [[a]]\ntrain: images\n", "does not name a class"),
        ("names: []\ntrain: images\n", "names no classes"),
        ("names: {99999999: a}\ntrain: images\n", "names no classes"),
    ],
)
def test_read__a_data_yaml_that_is_wrong(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        open_dataset(tmp_path)
    assert_says(error.value, "data.yaml", says)


@pytest.mark.parametrize("text", ["names: [a\n", "- a\n", "&a [*a]\n", "[" * 1000, "a: 1\n", ""])
def test_recognizes__yaml_of_another_kind(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    assert not YoloSeg().recognizes(tmp_path)
    assert not YoloSeg().recognizes(tmp_path / "x.yaml")


def test_read__photos_that_are_not_there(tmp_path: Path) -> None:
    files = {"data.yaml": YAML + "train: images\n", "labels/x.txt": LINE, "labels/y.txt": LINE}
    root = layout(tmp_path / "set", files, [])
    found = open_dataset(root)
    assert list(found.stream()) == []
    assert "so that their size is not known, left out" in found.problems.lines()[0]
    photos = layout(tmp_path / "photos", {}, ["x.jpg"])
    found = open_dataset(root, photos=photos)
    assert [(p.photo, len(p.regions)) for p in found.stream()] == [("x.jpg", 1)]


def test_read__from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "data.yaml": YAML + "train: train.txt\n",
        "train.txt": "./images/a/x.jpg\n./images/b/x.jpg\n",
    }
    files |= {"labels/a/x.txt": LINE, "labels/b/x.txt": LINE * 2}
    layout(tmp_path / "set", files, ["images/a/x.jpg"])
    monkeypatch.chdir(tmp_path)
    found = open_dataset("set")
    assert [(p.photo, len(p.regions)) for p in found.stream()] == [("a/x.jpg", 1)]
    [problem] = found.problems.lines()
    assert "(set/images/b/x.jpg cannot be read" in problem


def test_label_file__as_ultralytics_looks_for_it() -> None:
    for photo, expected in (
        ("/set/images/a/x.jpg", "/set/labels/a/x.txt"),
        ("/images/images/x.y.png", "/images/labels/x.y.txt"),
        ("/set/photos/x.jpg", "/set/photos/x.txt"),
        ("/set/images", "/set/images.txt"),
    ):
        assert label_file(Path(photo)) == Path(expected)


@pytest.mark.parametrize("name", ["y" * 300, "y" * 5000, f"{'y' * 200}/{'y' * 3000}"])
def test_read__names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "x.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "images").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / "x.jpg")
    (tmp_path / "train.txt").write_text(f"images/x.jpg\nimages/{name}.jpg\n")
    for path in ("", f"path: {name}\n"):
        text = f"{path}train: train.txt\nval: {name}\nnames: [dog]\n"
        (tmp_path / "data.yaml").write_text(text)
        found = open_dataset(tmp_path, format="yolo-seg")
        assert [labels.photo for labels in found.stream()] == ["images/x.jpg"]
