"""Lists, annotations and files of VOC as other tools write them."""

from __future__ import annotations

import codecs
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builders import box, prediction, region
from prelabel.data.dataset import ExportContext
from prelabel.errors import UserError
from prelabel_exporters.common import read_text, whole_number
from prelabel_exporters.voc.reader import read_voc
from prelabel_exporters.voc.writer import Voc


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photos = [
        prediction("x.jpg", region(box(0, 0, 3, 3))),
        prediction("a b/y.jpg", region(box(4, 4, 3, 3), cluster=1)),
    ]
    Voc().write(photos, tmp_path, ExportContext(tmp_path, ("dog", "cat"), "m-1"))
    return tmp_path


def names(folder: Path) -> list[str]:
    return [p.photo for p in read_voc(folder).stream()]


@pytest.mark.parametrize(
    "lines",
    [
        "x\na b/y\n",
        "x.jpg\r\na b/y.png",
        "x  1\na b/y  -1\n",
        "/JPEGImages/x.jpg /SegmentationClass/x.png\nJPEGImages/a b/y.jpg\n",
        "VOC2012\\JPEGImages\\x.jpg\nSegmentationClass/a b/y.png\n",
    ],
)
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE])
def test_list__columns_endings_and_pairs(lines: str, mark: bytes, folder: Path) -> None:
    encoding = "utf-16-le" if mark == codecs.BOM_UTF16_LE else "utf-8"
    file = folder / "ImageSets/Segmentation/trainval.txt"
    file.write_bytes(mark + lines.encode(encoding))
    dataset = read_voc(folder)
    found = [p.photo for p in dataset.stream()]
    assert found == ["x.jpg", "a b/y.jpg"]
    notes = dataset.problems.lines()
    assert (notes == []) == (lines == "x\na b/y\n")
    assert all("line 1" in note for note in notes)


def test_list__pairs_of_a_photo_and_a_mask_of_another_name(folder: Path) -> None:
    masks = folder / "SegmentationClass"
    (masks / "x.png").rename(masks / "x_mask.png")
    file = folder / "ImageSets/Segmentation/trainval.txt"
    file.write_text("JPEGImages/x.jpg SegmentationClass/x_mask.png\n")
    assert names(folder) == ["x.jpg"]


def test_list__what_is_not_there_is_named_as_it_stands(folder: Path) -> None:
    (folder / "ImageSets/Segmentation/trainval.txt").write_text("gone 1\nx\n")
    dataset = read_voc(folder)
    assert [p.photo for p in dataset.stream()] == ["x.jpg"]
    assert "gone 1.png: is not there" in dataset.problems.lines()[0]


@pytest.mark.parametrize("ending", [".PNG", ".tif", ".TIFF", ".bmp", ".gif"])
def test_masks__with_other_endings(ending: str, folder: Path) -> None:
    expected = [p.regions for p in read_voc(folder).stream()]
    for kind in ("SegmentationClass", "SegmentationObject"):
        file = folder / kind / "x.png"
        with Image.open(file) as image:
            kept = image.copy()
        file.unlink()
        kept.save(file.with_suffix(ending))
    assert [p.regions for p in read_voc(folder).stream()] == expected
    for file in (folder / "ImageSets/Segmentation").iterdir():
        file.unlink()
    assert sorted(names(folder)) == ["a b/y.jpg", "x.jpg"]


@pytest.mark.parametrize("ending", [".JPG", ".webp", ".TIF"])
def test_photos__with_other_endings(ending: str, folder: Path) -> None:
    (folder / "JPEGImages").mkdir()
    Image.new("RGB", (10, 8)).save(folder / f"JPEGImages/x{ending}")
    assert names(folder)[0] == f"x{ending}"


def test_masks__in_jpeg_are_refused(folder: Path) -> None:
    Image.fromarray(np.zeros((8, 10), dtype=np.uint8)).save(
        folder / "SegmentationClass/x.png", format="JPEG"
    )
    dataset = read_voc(folder)
    assert [p.photo for p in dataset.stream()] == ["a b/y.jpg"]
    assert "masks that cannot be read, left out" in dataset.problems.lines()[0]


@pytest.mark.parametrize(
    ("width", "height", "note"),
    [
        ("0", "0", "do not state the photo's size"),
        ("", "", "do not state the photo's size"),
        ("10.0", " 8 ", ""),
        ("10.5", "8", "annotations whose size cannot be read"),
        ("-10", "8", "annotations whose size cannot be read"),
        ("9", "8", "masks of another size than their photo, left out"),
    ],
)
def test_annotation__sizes(width: str, height: str, note: str, folder: Path) -> None:
    (folder / "Annotations/x.xml").write_text(
        f"<annotation><size><width>{width}</width><height>{height}</height></size></annotation>"
    )
    dataset = read_voc(folder)
    assert [p.photo for p in dataset.stream()] == ["x.jpg", "a b/y.jpg"]["left out" in note :]
    lines = dataset.problems.lines()
    assert len(lines) == (note != "")
    assert note in "".join(lines)


@pytest.mark.parametrize("filename", ["y.png", "/home/u/y.png", "C:\\d\\y.png", "a b/y.png"])
def test_annotation__names_of_files(filename: str, folder: Path) -> None:
    text = f"<annotation><filename>{filename}</filename></annotation>"
    (folder / "Annotations/a b/y.xml").write_text(text)
    assert names(folder) == ["x.jpg", "a b/y.png"]
    text = "<annotation><filename>other.png</filename></annotation>"
    (folder / "Annotations/a b/y.xml").write_text(text)
    assert names(folder) == ["x.jpg", "a b/y.jpg"]


@pytest.mark.parametrize(
    "text",
    [
        b'<?xml version="1.0" encoding="klingon"?><annotation/>',
        b'<?xml version="1.0" encoding="utf-7"?><annotation/>',
        b'<?xml version="1.0" encoding="idna"?><annotation/>',
        b"\xff\xfe<",
        b"<annotation>\xff</annotation>",
    ],
)
def test_annotation__that_is_no_xml_costs_itself(text: bytes, folder: Path) -> None:
    (folder / "Annotations/x.xml").write_bytes(text)
    dataset = read_voc(folder)
    assert [p.photo for p in dataset.stream()] == ["x.jpg", "a b/y.jpg"]
    (line,) = dataset.problems.lines()
    assert "annotations that" in line


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8, codecs.BOM_UTF16_BE])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "0\tbackground\n1\tdog\n2\tcät\n"),
        ("labels.txt", "__ignore__\n_background_\ndog\ncät\n"),
        ("class_names.txt", "_background_\r\ndog\r\ncät\r\n"),
        ("labelmap.txt", "# a\nbackground:0,0,0::\n dog : 128, 0, 0::\ncät:0,128,000:a,b:\n"),
    ],
)
def test_labels__in_any_unicode(mark: bytes, name: str, text: str, folder: Path) -> None:
    for own in ("labels.txt", "labelmap.txt"):
        (folder / own).unlink()
    encoding = "utf-16-be" if mark == codecs.BOM_UTF16_BE else "utf-8"
    (folder / name).write_bytes(mark + text.encode(encoding))
    assert read_voc(folder).classes == ("dog", "cät")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "0\tbackground\nx\tdog\n"),
        ("labels.txt", "0\tbackground\n1.5\tdog\n"),
        ("labels.txt", "0\tbackground\n1\t\n"),
        ("labelmap.txt", "background:0,0,0::\ndog\n"),
        ("labelmap.txt", "background:0,0,0::\ndog:1,2::\n"),
    ],
)
def test_labels__what_is_not_certain_is_refused_with_its_line(
    name: str, text: str, folder: Path
) -> None:
    (folder / "labels.txt").unlink()
    (folder / name).write_text(text)
    with pytest.raises(UserError, match=rf"{name} is not a list of labels \(line 2 is"):
        read_voc(folder)


def test_read_text__a_file_in_an_encoding_that_it_is_not_in(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(codecs.BOM_UTF16_LE + b"a")
    with pytest.raises(UserError, match=r"x\.txt cannot be read"):
        read_text(tmp_path / "x.txt")
    with pytest.raises(UserError, match="No such file"):
        read_text(tmp_path / "gone.txt")


def test_whole_number__what_is_certain_and_what_is_not() -> None:
    assert [whole_number(v) for v in (0, "0", " 640 ", 640.0, "640.0", "-3")] == [
        *(0, 0, 640, 640, 640, -3)
    ]
    wrong = (True, None, "", "x", 1.5, "1.5", "1e3", float("nan"), float("inf"), [1], "٣")
    assert [whole_number(v) for v in wrong] == [None] * len(wrong)


@pytest.mark.parametrize("name", ["y" * 300, "y" * 5000, f"{'y' * 200}/{'y' * 3000}"])
def test_read__a_name_that_no_file_can_have(folder: Path, name: str) -> None:
    lists = folder / "ImageSets" / "Segmentation"
    for file in lists.glob("*.txt"):
        file.write_text(f"x\n{name}\n")
    assert names(folder) == ["x.jpg"]
