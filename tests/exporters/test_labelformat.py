"""YOLO's polygons and boxes through labelformat, read back by labelformat and by OpenCV."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from builders import box, prediction, region
from prelabel.data.dataset import ExportContext
from prelabel.data.masks import Mask
from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel_exporters.labelformat.formats import Boxes, YoloSeg

HEIGHT, WIDTH = PHOTO = (40, 60)
_box = partial(box, photo=PHOTO)


@pytest.fixture
def _labelformat() -> None:
    pytest.importorskip("labelformat", reason="no labelformat: pip install 'prelabel[labelformat]'")


needs_labelformat = pytest.mark.usefixtures("_labelformat")


RING = _box(5, 5, 30, 30) & ~_box(15, 15, 10, 10)
PARTS = _box(40, 5, 10, 10) | _box(40, 20, 15, 15)
DISC = np.hypot(*(np.mgrid[:HEIGHT, :WIDTH] - np.array([20, 30])[:, None, None])) < 15


def _context() -> ExportContext:
    return ExportContext(Path("photos"), ("dog", "cat", "dog"), "m-1")


def _lines(file: Path) -> list[tuple[int, Mask]]:
    """Classes and masks as OpenCV fills the polygons of a label file."""
    found = []
    for line in file.read_text().splitlines():
        category, *numbers = line.split()
        points = np.array(numbers, dtype=np.float64).reshape(-1, 2) * (WIDTH, HEIGHT)
        # Corners are pixels' edges: drawn 16 times as large, the middle of a pixel is clear.
        large = np.zeros((16 * HEIGHT, 16 * WIDTH), dtype=np.uint8)
        cv2.fillPoly(large, [np.round(16 * points).astype(np.int32)], 1)
        found.append((int(category), large[8::16, 8::16].astype(np.bool_)))
    return found


@needs_labelformat
def test_yolo_seg__polygons_classes_and_empty_files(tmp_path: Path) -> None:
    context = _context()
    photos = [
        prediction("a/b c.x.jpg", region(_box(3, 4, 5, 6), 1), region(DISC, 2)),
        prediction("nothing.png", size=PHOTO),
    ]
    file = YoloSeg(tolerance=0, val_share=0).write(photos, tmp_path, context)
    assert file == tmp_path / "data.yaml"
    first = tmp_path / "labels" / "a" / "b c.x.txt"
    (cat, box), (dog, disc) = _lines(first)
    assert (cat, dog) == (1, 0)  # two classes of one name are one
    assert np.array_equal(box, _box(3, 4, 5, 6))
    assert np.array_equal(disc, DISC)
    numbers = [float(n) for n in first.read_text().splitlines()[0].split()[1:]]
    corners = np.reshape(numbers, (-1, 2)) * (WIDTH, HEIGHT)
    assert set(map(tuple, corners.round(6).tolist())) == {(3, 4), (8, 4), (8, 10), (3, 10)}
    assert (tmp_path / "labels" / "nothing.txt").read_text() == ""
    assert "0: dog\n" in file.read_text()
    assert "1: cat\n" in file.read_text()
    assert context.problems.lines() == []
    assert not [f for f in tmp_path.rglob("*") if f.name.startswith(".")]


@needs_labelformat
def test_yolo_seg__labelformat_reads_it(tmp_path: Path) -> None:
    from labelformat.formats import YOLOv8InstanceSegmentationInput
    from labelformat.model.multipolygon import MultiPolygon

    file = YoloSeg(val_share=0).write([prediction("x.jpg", region(DISC, 1))], tmp_path, _context())
    (tmp_path / "images").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / "x.jpg")
    (label,) = YOLOv8InstanceSegmentationInput(file, "train").get_labels()
    assert label.image.filename == "x.jpg"
    (found,) = label.objects
    assert found.category.name == "cat"
    assert isinstance(found.segmentation, MultiPolygon)
    bounds = found.segmentation.bounding_box()
    assert (bounds.xmin, bounds.ymin, bounds.xmax, bounds.ymax) == pytest.approx(
        (16, 6, 45, 35), abs=1
    )


@needs_labelformat
def test_yolo_seg__what_it_cannot_hold_is_counted(tmp_path: Path) -> None:
    context = _context()
    photos = [
        prediction("x.jpg", region(RING), region(PARTS)),
        prediction("y.jpg", region(DISC, crowd=True), region(DISC, -1), region(DISC & False)),
        prediction("x.png", region(DISC)),
    ]
    YoloSeg(val_share=0).write(photos, tmp_path, context)
    (_, ring), (_, parts) = _lines(tmp_path / "labels" / "x.txt")
    assert np.array_equal(ring, _box(5, 5, 30, 30))
    assert np.array_equal(parts, PARTS)
    assert (tmp_path / "labels" / "y.txt").read_text() == ""
    assert context.problems.counts == {
        "holes filled, since polygons have none": 1,
        "regions in several parts, joined by lines without width": 1,
        "crowds left out": 1,
        "regions without a class, left out": 1,
        "regions without a pixel, left out": 1,
        "photos left out, whose label file another photo has": 1,
    }


@needs_labelformat
@pytest.mark.parametrize("name", ["../x.jpg", "/x.jpg", "a/../../x.jpg"])
def test_yolo_seg__a_name_that_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leads out of the folder"):
        YoloSeg().write([prediction(name, size=PHOTO)], tmp_path, _context())
    assert not list(tmp_path.iterdir())


@needs_labelformat
def test_yolo_seg__a_failed_export_changes_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[Prediction]:
        yield prediction("x.jpg", size=PHOTO)
        raise OSError(28, "No space left on device")

    YoloSeg().write([prediction("x.jpg", region(DISC))], tmp_path, _context())
    before = {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}
    with pytest.raises(OSError, match="No space"):
        YoloSeg().write(broken(), tmp_path, _context())
    assert {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()} == before


@needs_labelformat
def test_boxes__by_hand(tmp_path: Path) -> None:
    context = _context()
    photos = [prediction("x.jpg", region(_box(6, 10, 12, 20), 1))]
    Boxes(format="yolo", val_share=0).write(photos, tmp_path, context)
    numbers = [float(n) for n in (tmp_path / "labels" / "x.txt").read_text().split()]
    assert numbers == pytest.approx([1, 12 / 60, 20 / 40, 12 / 60, 20 / 40])
    assert context.problems.counts == {"regions of which only the box is kept": 1}
    Boxes(format="kitti").write(photos, tmp_path, context)
    assert (tmp_path / "x.txt").read_text().startswith("cat -1 -1 -10 6 10 18 30 ")
    Boxes(format="lightly").write(photos, tmp_path, context)
    (found,) = json.loads((tmp_path / "x.json").read_text())["predictions"]
    assert found == {"category_id": 1, "bbox": [6, 10, 12, 20], "score": 0.5}


@pytest.mark.parametrize("kind", [YoloSeg, Boxes])
def test_without_labelformat__says_what_to_install(
    kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "prelabel_exporters.labelformat.labels"
    monkeypatch.delitem(sys.modules, own, raising=False)
    monkeypatch.delattr(own, raising=False)
    for name in [name for name in sys.modules if name.startswith("labelformat.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "labelformat", None)
    with pytest.raises(UserError, match=r"labelformat is missing.*'prelabel\[labelformat\]'"):
        kind()
