"""PASCAL VOC written and read: round trips, photos, readers of others, and folders that are wrong."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from builders import HEIGHT, WIDTH, box, prediction, region
from prelabel.data.dataset import ExportContext
from prelabel.data.images import read_image
from prelabel.data.masks import Mask, decode_rle
from prelabel.errors import UserError
from prelabel_exporters.coco.writer import Coco
from prelabel_exporters.voc.reader import read_voc
from prelabel_exporters.voc.writer import Voc
from support.places import require

READERS = Path(os.environ.get("VOC_READERS", ".venv-voc-readers/bin/python"))
CLASSES = ("dog", "cat", "tree")


def context(photos: Path = Path("/photos")) -> ExportContext:
    return ExportContext(photos, CLASSES, "m-1")


def files(folder: Path) -> dict[str, bytes]:
    """Everything but the photos, PNGs as pixels."""
    found = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            name = file.relative_to(folder).as_posix()
            pixels = file.suffix == ".png"
            found[name] = np.asarray(Image.open(file)).tobytes() if pixels else file.read_bytes()
    return found


@pytest.mark.slow
@settings(max_examples=30)
@given(
    masks=st.lists(
        st.tuples(
            hnp.arrays(np.bool_, (HEIGHT, WIDTH)).filter(lambda m: bool(m.any())),
            st.integers(0, 2),
            st.booleans(),
        ),
        max_size=4,
    )
)
def test_round_trip__written_read_and_written_again_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, masks: list[tuple[Mask, int, bool]]
) -> None:
    photos = [
        prediction("a/x.png", *(region(m, cluster=c, crowd=crowd) for m, c, crowd in masks)),
        prediction("empty.jpg"),
    ]
    first, second = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    Voc().write(photos, first, context())
    found = Voc().read(first)
    assert [p.photo for p in found.stream()] == ["a/x.png", "empty.jpg"]
    assert found.classes == CLASSES
    Voc().write(found.stream(), second, context())
    assert files(second) == files(first)


def test_write__objects_boxes_and_classes(tmp_path: Path) -> None:
    low, high = box(0, 0, 6, 6), box(3, 3, 5, 4)
    crowd = box(9, 0, 1, 8)
    Voc().write(
        [
            prediction(
                "a/x.jpg",
                region(high, cluster=1, score=0.9),
                region(low, score=0.4),
                region(crowd, cluster=-1, crowd=True),
            )
        ],
        tmp_path,
        context(),
    )
    classes = np.asarray(Image.open(tmp_path / "SegmentationClass/a/x.png"))
    objects = np.asarray(Image.open(tmp_path / "SegmentationObject/a/x.png"))
    assert np.array_equal(classes == 2, high)
    assert np.array_equal(classes == 1, low & ~high)
    assert np.array_equal(classes == 255, crowd)
    assert np.array_equal(objects == 1, high)
    assert np.array_equal(objects == 2, low & ~high)
    assert np.array_equal(objects == 255, crowd)
    root = ElementTree.parse(tmp_path / "Annotations/a/x.xml").getroot()
    assert (root.findtext("filename"), root.findtext("segmented")) == ("a/x.jpg", "1")
    assert [root.findtext(f"size/{n}") for n in ("width", "height", "depth")] == ["10", "8", "3"]
    boxes = [
        [item.findtext("name"), *(int(e.text or "") for e in item.find("bndbox") or ())]
        for item in root.iter("object")
    ]
    # 1-based, and the last pixel is inside: x 3 to 7 is 4 to 8.
    assert boxes == [["cat", 4, 4, 8, 7], ["dog", 1, 1, 6, 6]]
    assert (tmp_path / "labelmap.txt").read_text().splitlines() == [
        "# label:color_rgb:parts:actions",
        "background:0,0,0::",
        "dog:128,0,0::",
        "cat:0,128,0::",
        "tree:128,128,0::",
        "ignored:224,224,192::",
    ]


def test_write__a_void_border_comes_back_as_void(tmp_path: Path) -> None:
    Voc(void_border=3).write([prediction("x.jpg", region(box(0, 0, 5, 8)))], tmp_path, context())
    # The object's box goes on under the border: x 0 to 4 is 1 to 5.
    root = ElementTree.parse(tmp_path / "Annotations/x.xml").getroot()
    assert [int(e.text or "") for e in root.find("object/bndbox") or ()] == [1, 1, 5, 8]
    (labels,) = Voc().read(tmp_path).stream()
    assert [(r.cluster, r.crowd, r.area) for r in labels.regions] == [
        (0, False, 32),
        (-1, True, 24),
    ]


@pytest.mark.parametrize(
    ("width", "first", "last"), [(1, 5, 5), (2, 4, 5), (3, 4, 6), (4, 3, 6), (5, 3, 7)]
)
def test_write__a_void_border_has_the_width_of_its_setting(
    width: int, first: int, last: int, tmp_path: Path
) -> None:
    # The border is between 4 and 5, once as columns and once as rows.
    upright = prediction("x.jpg", region(box(0, 0, 5, 8)))
    lying = prediction("y.jpg", region(box(0, 0, 10, 5)))
    Voc(void_border=width).write([upright, lying], tmp_path, context())
    folder = tmp_path / "SegmentationClass"
    columns = np.asarray(Image.open(folder / "x.png")) == 255
    rows = np.asarray(Image.open(folder / "y.png")) == 255
    assert np.array_equal(columns, box(first, 0, last - first + 1, 8))
    assert np.array_equal(rows, box(0, first, 10, last - first + 1))


def test_write__regions_without_a_visible_pixel_are_counted(tmp_path: Path) -> None:
    high, behind = region(box(0, 0, 5, 5), score=0.9), region(box(1, 1, 2, 2), score=0.1)
    point, empty = region(box(8, 6, 1, 1), cluster=1), region(box(0, 0, 0, 0))
    exported = context()
    Voc().write([prediction("x.jpg", behind, high, point, empty)], tmp_path, exported)
    assert exported.problems.lines() == [
        "2 regions without a visible pixel, left out (x.jpg; x.jpg)"
    ]
    objects = np.asarray(Image.open(tmp_path / "SegmentationObject/x.png"))
    assert np.array_equal(objects == 1, box(0, 0, 5, 5))
    assert np.array_equal(objects == 2, box(8, 6, 1, 1))
    exported = context()
    exporter = Voc(void_border=3)  # the single pixel is all border
    exporter.write([prediction("x.jpg", point, high)], tmp_path, exported)
    assert exported.problems.lines() == ["1 regions without a visible pixel, left out (x.jpg)"]
    objects = np.asarray(Image.open(tmp_path / "SegmentationObject/x.png"))
    assert np.array_equal(objects == 1, box(0, 0, 4, 4))
    root = ElementTree.parse(tmp_path / "Annotations/x.xml").getroot()
    assert [item.findtext("name") for item in root.iter("object")] == ["dog"]


def test_write__the_xml_is_indented_as_elementtree_does_it(tmp_path: Path) -> None:
    Voc().write([prediction("x.jpg", region(box(0, 0, 5, 8)))], tmp_path, context())
    written = (tmp_path / "Annotations/x.xml").read_text()
    root = ElementTree.fromstring(written)
    ElementTree.indent(root)
    assert written == ElementTree.tostring(root, encoding="unicode") + "\n"


def test_write__lists_do_not_move_photos_when_others_come(tmp_path: Path) -> None:
    def lists(n: int) -> dict[str, list[str]]:
        folder = tmp_path / str(n)
        folder.mkdir()
        Voc(val_share=0.3).write([prediction(f"{i}.jpg") for i in range(n)], folder, context())
        place = folder / "ImageSets" / "Segmentation"
        return {file.stem: file.read_text().split() for file in place.glob("*.txt")}

    few, many = lists(100), lists(300)
    assert sorted(many["train"] + many["val"], key=int) == many["trainval"]
    assert many["trainval"] == [str(i) for i in range(300)]
    assert set(few["val"]) == {name for name in many["val"] if int(name) < 100}
    assert 0.2 < len(many["val"]) / 300 < 0.4


def test_write__of_equal_scores_the_smaller_is_in_front(tmp_path: Path) -> None:
    small, large = region(box(2, 2, 2, 2), cluster=1), region(box(0, 0, 8, 8), cluster=0)
    crowd = region(box(0, 0, 10, 8), cluster=2, score=1.0, crowd=True)
    for regions in ((small, large, crowd), (crowd, large, small)):
        Voc().write([prediction("x.jpg", *regions)], tmp_path, context())
        pixels = np.asarray(Image.open(tmp_path / "SegmentationClass" / "x.png"))
        assert (pixels[3, 3], pixels[0, 0], pixels[0, 9]) == (2, 1, 255)


def test_write__no_name_comes_twice_in_the_labelmap(tmp_path: Path) -> None:
    names = ("background", "#tag", "a:b", "a b", "ignored")
    exported = ExportContext(Path("/photos"), names, "m-1")
    Voc().write([prediction("x.jpg", region(box(0, 0, 2, 2)))], tmp_path, exported)
    lines = (tmp_path / "labelmap.txt").read_text().splitlines()[1:]
    found = [line.split(":")[0] for line in lines]
    assert found == ["background", "background_", "tag", "a b", "a b_", "ignored_", "ignored"]
    (note,) = exported.problems.lines()
    assert note.startswith("5 classes with another name in labelmap.txt")
    assert read_voc(tmp_path).classes == names  # labels.txt has them as they are


def test_write__photos_of_any_depth_are_as_images_reads_them(tmp_path: Path) -> None:
    grey = np.tile(np.linspace(1000, 3000, WIDTH), (HEIGHT, 1)).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("RGB", (WIDTH + 1, HEIGHT)).save(tmp_path / "other.png")
    (tmp_path / "post.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    exported = context(tmp_path)
    photos = [prediction(name) for name in ("deep.png", "clear.png", "other.png", "post.jpg")]
    Voc(images="copy").write(photos, tmp_path / "out", exported)
    put = tmp_path / "out" / "JPEGImages"
    assert sorted(file.name for file in put.iterdir()) == ["clear.jpg", "deep.jpg"]
    shown = read_image(tmp_path / "deep.png").pixels
    assert np.abs(np.asarray(Image.open(put / "deep.jpg")).astype(int) - shown).max() < 12
    assert np.asarray(Image.open(put / "clear.jpg")).min() > 250  # on white
    notes = "\n".join(exported.problems.lines())
    assert "2 photos converted to upright JPEGs" in notes
    assert "2 photos that are missing beside their labels" in notes
    assert f"11 × {HEIGHT} pixels, its labels {WIDTH} × {HEIGHT}" in notes


def test_write__a_folder_onto_itself_keeps_its_photos(tmp_path: Path) -> None:
    Image.new("RGB", (WIDTH, HEIGHT), (9, 99, 9)).save(tmp_path / "x.jpg")
    Voc(images="copy").write([prediction("x.jpg")], tmp_path / "v", context(tmp_path))
    before = (tmp_path / "v" / "JPEGImages" / "x.jpg").read_bytes()
    again = read_voc(tmp_path / "v")
    assert isinstance(again.photos, Path)
    Voc(images="link").write(list(again.stream()), tmp_path / "v", context(again.photos))
    file = tmp_path / "v" / "JPEGImages" / "x.jpg"
    assert not file.is_symlink()
    assert file.read_bytes() == before


def _photos(folder: Path) -> None:
    folder.mkdir()
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:4] = 250
    Image.fromarray(pixels).save(folder / "plain.jpg", quality=95)
    Image.fromarray(pixels).save(folder / "drawn.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying; upright, its left is the stored bottom
    lying = np.rot90(pixels)
    Image.fromarray(lying).save(folder / "turned.jpg", exif=exif, quality=95)


@pytest.mark.parametrize("images", ["link", "copy"])
def test_write__photos_are_upright_jpegs(images: Any, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    _photos(photos)
    out.mkdir()
    names = ["plain.jpg", "drawn.png", "turned.jpg", "gone.jpg"]
    exported = context(photos)
    Voc(images=images).write([prediction(name) for name in names], out, exported)
    assert {f.name for f in (out / "JPEGImages").iterdir()} == {
        "plain.jpg",
        "drawn.jpg",
        "turned.jpg",
    }
    plain = out / "JPEGImages" / "plain.jpg"
    assert plain.read_bytes() == (photos / "plain.jpg").read_bytes()
    assert plain.is_symlink() == (images == "link")
    for name in ("drawn.jpg", "turned.jpg"):
        with Image.open(out / "JPEGImages" / name) as image:
            assert (image.format, image.size) == ("JPEG", (WIDTH, HEIGHT))
            assert image.getexif().get(0x0112, 1) == 1
    assert exported.problems.counts == {
        "photos converted to upright JPEGs": 2,
        "photos that are missing beside their labels": 1,
    }


def _read_by(reader: str, folder: Path) -> Any:
    """What another project's reader finds, in an environment of its own."""
    require("voc-readers", READERS.exists(), f"no {READERS}: make voc-readers")
    command = [str(READERS), str(Path(__file__).with_name("voc_readers.py")), reader, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    """Two photos with objects, a crowd and a void border, one of them in a folder; one empty."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    _photos(photos)
    _photos(photos / "a")
    out.mkdir()
    crowd = region(box(9, 0, 1, 8), cluster=-1, crowd=True)
    labels = [
        prediction("plain.jpg", region(box(0, 0, 5, 5), cluster=1), region(box(5, 2, 4, 5))),
        prediction("a/turned.jpg", region(box(2, 2, 5, 5), cluster=2), crowd),
        prediction("drawn.png"),
    ]
    Voc(images="copy", devkit=True, void_border=1).write(labels, out, context(photos))
    return out


@pytest.mark.slow
def test_write__is_read_by_torchvision(devkit: Path) -> None:
    found = _read_by("torchvision", devkit)
    folder = devkit / "VOCdevkit/VOC2012/SegmentationClass"
    for name, item in zip(("plain", "a/turned", "drawn"), found, strict=True):
        assert (item["mode"], item["size"]) == ("RGB", [WIDTH, HEIGHT])
        assert item["classes"] == np.asarray(Image.open(folder / f"{name}.png")).tolist()
    classes = np.asarray(found[0]["classes"])
    assert np.array_equal(classes == 2, box(0, 0, 5, 5) & ~box(5, 0, 1, 8))
    assert np.array_equal(np.unique(classes), [0, 1, 2, 255])


@pytest.mark.slow
def test_write__is_read_by_datumaro(devkit: Path) -> None:
    found = _read_by("datumaro", devkit)
    assert found.keys() == {"plain", "a/turned", "drawn"}
    root = devkit / "VOCdevkit/VOC2012"
    names = {"dog": 1, "cat": 2, "tree": 3, "ignored": 255}
    for name, masks in found.items():
        classes, objects = (
            np.asarray(Image.open(root / f"Segmentation{kind}" / f"{name}.png"))
            for kind in ("Class", "Object")
        )
        # One for each pair of a class and an object.
        pairs = {(c, o) for c, o in zip(classes.flat, objects.flat, strict=True) if c}
        assert {(names[item["class"]], item["object"]) for item in masks} == pairs
        for item in masks:
            expected = (classes == names[item["class"]]) & (objects == item["object"])
            assert np.array_equal(np.asarray(item["mask"]), expected)


@pytest.mark.slow
def test_read__what_datumaro_writes(devkit: Path) -> None:
    found = Voc().read(Path(_read_by("datumaro-writes", devkit)))
    labels, expected = (
        {p.photo: sorted(p.regions, key=lambda r: r.box) for p in dataset.stream()}
        for dataset in (found, Voc().read(devkit))
    )  # it numbers objects anew
    # It lists a photo without objects but writes no masks for it.
    assert expected.pop("drawn.jpg") == []
    (line,) = found.problems.lines()
    assert "drawn.png: is not there" in line
    assert found.classes == CLASSES
    assert labels == expected


def _folder(tmp_path: Path) -> Path:
    ring = box(0, 0, 5, 5) & ~box(2, 2, 1, 1)
    photos = [
        prediction("x.jpg", region(ring), region(box(6, 0, 3, 3), cluster=1)),
        prediction("y.jpg", region(box(0, 0, 2, 2), cluster=2)),
    ]
    Voc().write(photos, tmp_path, context())
    return tmp_path


def _save(file: Path, values: Any, mode: str = "P") -> None:
    Image.fromarray(np.asarray(values, dtype=np.uint8), mode=None).convert(mode).save(file)


def test_read__without_object_masks_connected_parts_are_objects(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    two = box(0, 0, 2, 2) | box(5, 5, 2, 2)
    Voc().write([prediction("x.jpg", region(two))], folder, context())
    (folder / "SegmentationObject" / "x.png").unlink()
    found = Voc().read(folder)
    (labels,) = found.stream()
    assert sorted(r.box for r in labels.regions) == [(0, 0, 2, 2), (5, 5, 2, 2)]
    assert {r.cluster for r in labels.regions} == {0}
    assert "connected parts" in found.problems.lines()[0]


@pytest.mark.parametrize(
    ("wrong", "photos", "message"),
    [
        ("cut off", 1, "masks that cannot be read, left out"),
        ("missing", 1, "is not there"),
        ("deep", 1, "expected a palette, grey or RGB, got mode LA"),
        ("photo of another size", 1, "labels of another size than their photo, left out"),
        ("photo not there", 2, "photos that cannot be read"),
        ("bad photo", 2, "photos that cannot be read"),
        ("two sizes", 1, "masks of objects and classes differ in size"),
        ("another size", 1, "masks of another size than their photo"),
        ("beyond", 2, "masks with values that are not classes"),
        ("bad xml", 2, "annotations that cannot be read, left out"),
        ("no size", 2, "annotations that do not state the photo's size"),
        ("bad objects", 2, "masks that cannot be read, left out"),
        ("no object", 2, "masks with pixels of a class but no object"),
        ("leads out", 2, "names in lists that lead out of the folder, left out"),
        ("not there", 2, "is not there"),
    ],
)
def test_read__one_bad_photo_costs_that_one(
    wrong: str, photos: int, message: str, tmp_path: Path
) -> None:
    folder = _folder(tmp_path)
    classes, objects = (folder / f"Segmentation{kind}" / "x.png" for kind in ("Class", "Object"))
    match wrong:
        case "cut off":
            classes.write_bytes(classes.read_bytes()[:60])
        case "missing":
            classes.unlink()
        case "deep":
            Image.new("LA", (WIDTH, HEIGHT)).save(classes)
        case "photo of another size" | "photo not there" | "bad photo":
            jpegs = folder / "JPEGImages"
            jpegs.mkdir()
            Image.new("RGB", (WIDTH, HEIGHT)).save(jpegs / "y.jpg")
            if wrong == "photo of another size":
                Image.new("RGB", (HEIGHT, WIDTH)).save(jpegs / "x.jpg")
            elif wrong == "bad photo":
                (jpegs / "x.jpg").write_bytes(b"none")
        case "two sizes":
            Image.new("P", (4, 4)).save(objects)
        case "another size":
            for file in (classes, objects):
                Image.new("P", (4, 4)).save(file)
        case "beyond":
            values = np.asarray(Image.open(classes)).copy()
            values[7, 9] = 77
            image = Image.fromarray(values)
            image.putpalette([0] * 768)
            image.save(classes)
        case "no size":
            (folder / "Annotations" / "x.xml").write_text("<annotation/>")
        case "bad objects":
            objects.write_bytes(b"")
        case "no object":
            Image.fromarray(np.asarray(Image.open(objects)) * box(0, 0, 5, 5)).save(objects)
        case "leads out" | "not there":
            name = "../SegmentationClass/x.y" if wrong == "leads out" else "x.y"
            lists = folder / "ImageSets" / "Segmentation" / "trainval.txt"
            lists.write_text(f"{name}\n{lists.read_text()}")
        case "bad xml":
            (folder / "Annotations" / "x.xml").write_text("<annotation>")
    found = Voc().read(folder)
    labels = list(found.stream())
    assert len(labels) == photos
    assert labels[-1].photo == "y.jpg"
    (line,) = found.problems.lines()
    assert message in line
    assert "x." in line
    list(found.stream())
    assert found.problems.lines() == [line]


def test_read__what_has_an_object_but_no_class_is_background(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    file = folder / "SegmentationObject" / "y.png"
    objects = np.asarray(Image.open(file)) | box(0, 0, 4, 2)  # y.jpg's object is 2 × 2
    objects[7, 8] = 3
    Image.fromarray(objects).save(file)
    labels = list(Voc().read(folder).stream())[1]
    assert [(r.box, r.area, r.cluster) for r in labels.regions] == [((0, 0, 2, 2), 4, 2)]


def test_read__holes_and_void_are_kept(tmp_path: Path) -> None:
    labels = {p.photo: p for p in Voc().read(_folder(tmp_path)).stream()}
    ring = decode_rle(labels["x.jpg"].regions[0].rle)
    assert not ring[2, 2]
    assert ring.sum() == 24


def test_read__damaged_lists_of_labels(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    for wrong in (b"dog\ncat\n", b"1 dog\n", b"one\tdog\n", b"1\t\xff\n"):
        (folder / "labels.txt").write_bytes(wrong)
        with pytest.raises(UserError, match=r"labels\.txt is not a list of labels"):
            Voc().read(folder)
    (folder / "labels.txt").write_text("0\tbackground\n255\tvoid\n")
    with pytest.raises(UserError, match="names no class"):
        Voc().read(folder)
    (folder / "labels.txt").unlink()
    assert Voc().read(folder).classes == CLASSES  # labelmap.txt says the same
    (folder / "labelmap.txt").write_text("dog\n")
    with pytest.raises(UserError, match=r"labelmap\.txt is not a list of labels"):
        Voc().read(folder)
    (folder / "labelmap.txt").unlink()
    assert Voc().read(folder).classes[:3] == ("aeroplane", "bicycle", "bird")
    with pytest.raises(UserError, match="has no SegmentationClass/"):
        Voc().read(tmp_path / "SegmentationClass")


def test_read__a_labelmap_by_color_or_else_by_place(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (folder / "labels.txt").unlink()
    # VOC's colors of the values 3, 1 and 0, in another order.
    (folder / "labelmap.txt").write_text("tree:128,128,0::\ndog:128,0,0::\nbackground:0,0,0::\n")
    assert Voc().read(folder).classes == ("dog", "object 2", "tree")
    # A color that is none of them, or one twice: no line is lost.
    for odd in ("1,2,3", "128,0,0"):
        (folder / "labelmap.txt").write_text(f"background:0,0,0::\ndog:128,0,0::\ncat:{odd}::\n")
        assert Voc().read(folder).classes == ("dog", "cat")


def test_read__background_anywhere_in_the_labelmap(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    for kind in ("SegmentationClass", "SegmentationObject"):
        for file in (folder / kind).glob("*.png"):
            file.unlink()
    for file in (folder / "ImageSets").rglob("*.txt"):
        file.unlink()
    (folder / "labels.txt").unlink(missing_ok=True)
    (folder / "labelmap.txt").write_text(
        "apple:250,50,83::\nbackground:0,0,0::\ncat:50,183,250::\n"
    )
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[:2, :2] = (250, 50, 83)
    pixels[5:, 5:] = (50, 183, 250)
    Image.fromarray(pixels).save(folder / "SegmentationClass" / "z.png")
    found = read_voc(folder)
    assert found.classes == ("apple", "cat")
    (labels,) = found.stream()
    assert {(r.cluster, r.area) for r in labels.regions} == {(0, 4), (1, 15)}


def test_read__labelmes_list_of_names(tmp_path: Path) -> None:
    folder = tmp_path / "SegmentationClass"
    folder.mkdir()
    _save(folder / "x.png", np.eye(HEIGHT, WIDTH, dtype=np.uint8) * 2)
    plain = read_voc(tmp_path)
    assert plain.classes[:2] == ("aeroplane", "bicycle")
    assert "VOC's own 20 names" in plain.problems.lines()[0]
    (tmp_path / "class_names.txt").write_text("_background_\ncat\ndog\n")
    found = read_voc(tmp_path)
    assert found.classes == ("cat", "dog")
    assert [r.cluster for labels in found.stream() for r in labels.regions] == [1]


def test_read__masks_of_more_than_8_bits(tmp_path: Path) -> None:
    folder = tmp_path / "SegmentationClass"
    folder.mkdir()
    (tmp_path / "labels.txt").write_text("1\tcat\n2\tdog\n")
    values = np.zeros((HEIGHT, WIDTH), dtype=np.uint16)
    values[1:3, 1:4] = 2
    Image.fromarray(values).save(folder / "x.png")
    assert [(r.cluster, r.area) for p in read_voc(tmp_path).stream() for r in p.regions] == [(1, 6)]


def _in_colors(file: Path, colors: dict[int, tuple[int, int, int]]) -> None:
    values = np.asarray(Image.open(file))
    pixels = np.zeros((*values.shape, 3), dtype=np.uint8)
    for value, color in colors.items():
        pixels[values == value] = color
    Image.fromarray(pixels).save(file)


def test_read__masks_in_colors_are_those_of_the_palette(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    crowd = region(box(0, 7, 10, 1), cluster=-1, crowd=True)
    objects = [region(box(0, 0, 5, 5)), region(box(6, 0, 3, 3), cluster=1)]
    Voc().write([prediction("x.jpg", *objects, crowd)], folder, context())
    (expected,) = Voc().read(folder).stream()
    # As datumaro writes them: RGB, and a map that leaves out the palette's own colors.
    (folder / "labels.txt").unlink()
    (folder / "labelmap.txt").write_text("background:::\ndog:::\ncat:::\ntree:::\n")
    palette = {1: (128, 0, 0), 2: (0, 128, 0), 255: (224, 224, 192)}
    for kind in ("Class", "Object"):
        _in_colors(folder / f"Segmentation{kind}" / "x.png", palette)
    found = Voc().read(folder)
    assert list(found.stream()) == [expected]
    assert found.classes == CLASSES
    assert found.problems.lines() == []


def test_read__masks_in_the_labelmaps_own_colors(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (expected, _) = Voc().read(folder).stream()
    (folder / "labels.txt").unlink()
    # As CVAT writes them.
    (folder / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ndog:250,50,83::\ncat:51,221,255::\n"
    )
    _in_colors(folder / "SegmentationClass/x.png", {1: (250, 50, 83), 2: (51, 221, 255)})
    _in_colors(folder / "SegmentationObject/x.png", {1: (9, 9, 9), 2: (7, 8, 9)})
    found = Voc().read(folder)
    labels = next(iter(found.stream()))
    assert found.classes == ("dog", "cat")
    assert {(r.cluster, r.area) for r in labels.regions} == {
        (r.cluster, r.area) for r in expected.regions
    }
    # VOC's red is not the colour of a class in this map.
    _in_colors(folder / "SegmentationClass/y.png", {3: (128, 0, 0)})
    *_, labels = found.stream()
    assert labels.regions == ()
    found = Voc().read(folder)
    list(found.stream())
    assert found.problems.lines() == [
        "1 masks with values that are not classes, read as background "
        f"({folder / 'SegmentationClass/y.png'})"
    ]


def test_read__photos_have_the_names_of_their_files(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    _photos(photos)
    out.mkdir()
    names = ["plain.jpg", "drawn.png", "gone.png"]
    Voc(images="copy").write([prediction(name) for name in names], out, context(photos))
    found = Voc().read(out)
    assert found.photos == out / "JPEGImages"
    assert [p.photo for p in found.stream()] == ["plain.jpg", "drawn.jpg", "gone.png"]
    assert found.problems.counts == {"photos that cannot be read, their labels kept": 1}
    # Another tool's folder, whose XML says nothing.
    (out / "Annotations" / "drawn.xml").unlink()
    (out / "JPEGImages" / "drawn.jpg").rename(out / "JPEGImages" / "drawn.jpeg")
    assert [p.photo for p in Voc().read(out).stream()][1] == "drawn.jpeg"


def test_recognizes__voc_and_nothing_else(tmp_path: Path) -> None:
    assert Voc().recognizes(_folder(tmp_path))
    assert not Coco().recognizes(tmp_path)
    empty = tmp_path / "photos"
    empty.mkdir()
    assert not Voc().recognizes(empty)
    Image.new("RGB", (4, 4)).save(empty / "x.jpg")
    assert not Voc().recognizes(empty)
    assert not Voc().recognizes(tmp_path / "gone")
    coco = tmp_path / "coco"
    coco.mkdir()
    assert not Voc().recognizes(Coco().write([], coco, context()))
    assert not Voc().recognizes(coco)
    (coco / "predictions.jsonl").write_text('{"photo": "x.jpg"}\n')
    assert not Voc().recognizes(coco / "predictions.jsonl")
    assert not Voc().recognizes(tmp_path / "labels.txt")
    assert not Voc().recognizes(Path(os.devnull))
