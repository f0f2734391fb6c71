"""CVAT's XML for images written and read, with shapes worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from PIL import Image

from builders import HEIGHT, PARTS, RING, WIDTH, box, prediction, region
from prelabel.data.dataset import Dataset, ExportContext
from prelabel.data.masks import Mask
from prelabel.data.polygons import fill_polygons
from prelabel.errors import UserError
from prelabel_exporters.cvat.exporter import Cvat
from prelabel_exporters.cvat.runs import mask_of, runs_of
from support.messages import assert_says


def context() -> ExportContext:
    return ExportContext(Path("photos"), ("dog", "<cat>", "dog"), "m-1")


@given(hnp.arrays(np.bool_, (HEIGHT, WIDTH)))
def test_runs__there_and_back(mask: Mask) -> None:
    runs = runs_of(mask)
    assert np.array_equal(mask_of(runs, HEIGHT, WIDTH), mask)
    assert sum(runs) == mask.size
    assert all(runs[1:])


def test_runs__by_hand() -> None:
    mask = np.array([[0, 1, 1], [1, 0, 0]], dtype=np.bool_)
    assert runs_of(mask) == [1, 3, 2]
    assert runs_of(~mask) == [0, 1, 3, 2]
    assert np.array_equal(mask_of([1, 3], 2, 3), mask)  # the last run left out
    for wrong in ([7], [1, -1, 6]):
        with pytest.raises(ValueError, match="run"):
            mask_of(wrong, 2, 3)


def test_round_trip__masks_boxes_and_names(tmp_path: Path) -> None:
    photos = [
        prediction("a/x & y.jpg", region(RING, 1), region(PARTS, 2), version=""),
        prediction("nothing.png", version=""),
    ]
    own = context()
    file = Cvat().write(photos, tmp_path, own)
    assert own.problems.lines() == []
    for source in (file, tmp_path):
        assert Cvat().recognizes(source)
        found = Cvat().read(source)
        assert found.classes == ("dog", "<cat>")
        labels = list(found.stream())
        assert [p.photo for p in labels] == ["a/x & y.jpg", "nothing.png"]
        assert [(r.cluster, r.rle) for r in labels[0].regions] == [
            (1, region(RING).rle),
            (0, region(PARTS).rle),
        ]
        assert found.problems.lines() == []


def test_write__what_it_cannot_hold_is_counted(tmp_path: Path) -> None:
    own = context()
    regions = [region(RING, -1), region(RING, crowd=True), region(RING, -1, crowd=True)]
    Cvat().write([prediction("x\ud800.jpg", *regions)], tmp_path, own)
    assert own.problems.counts == {
        "regions without a class, left out": 1,
        "crowds left out": 1,
        "void regions, left out": 1,
    }


def read(folder: Path, shapes: str, image: str = 'width="10" height="8"') -> Dataset:
    file = folder / "annotations.xml"
    file.write_text(
        "<annotations><meta><task><labels><label><name>cat</name></label></labels></task></meta>"
        f'<image id="0" name="x.jpg" {image}>{shapes}</image></annotations>'
    )
    return Cvat().read(file)


@pytest.mark.parametrize(
    ("shape", "expected", "is_box"),
    [
        ('<box label="cat" xtl="2.0" ytl="3" xbr="6" ybr="5.2"/>', box(2, 3, 4, 2), True),
        ('<box label="cat" xtl="-2" ytl="-3" xbr="60" ybr="50"/>', box(0, 0, 10, 8), True),
        (
            '<mask label="cat" rle="0, 2, 1, 3" left="4" top="1" width="3" height="2"/>',
            box(4, 1, 3, 2) & ~box(6, 1, 1, 1),
            False,
        ),
        ('<polygon label="cat" points="2,3;6,3;6,5;2,5"/>', box(2, 3, 4, 2), False),
        (
            '<ellipse label="cat" cx="3" cy="4" rx="2" ry="0.7"/>',
            box(2, 3, 2, 2),  # the centres of the pixels beside it are outside
            False,
        ),
    ],
)
def test_read__shapes(shape: str, expected: Mask, is_box: bool, tmp_path: Path) -> None:
    found = read(tmp_path, shape)
    ((own,),) = (labels.regions for labels in found.stream())
    assert np.array_equal(own.mask, expected)
    assert (own.cluster, own.is_box) == (0, is_box)
    assert found.problems.lines() == []


@pytest.mark.parametrize(
    "shape",
    [
        '<box label="cat" xtl="2" ytl="3" xbr="6"/>',
        '<box label="cat" xtl="nan" ytl="3" xbr="6" ybr="5"/>',
        '<box label="cat" xtl="20" ytl="3" xbr="26" ybr="5"/>',
        '<box xtl="2" ytl="3" xbr="6" ybr="5"/>',
        '<box label="cat" xtl="2" ytl="3" xbr="6" ybr="5" rotation="30.5"/>',
        '<polygon label="cat" points="2,3;6,3"/>',
        '<polygon label="cat" points="2,3;6,3;6"/>',
        '<polygon label="cat" points="2,3;6,3;1e300,5"/>',
        '<mask label="cat" rle="0, 7" left="4" top="1" width="3" height="2"/>',
        '<mask label="cat" rle="0, a" left="4" top="1" width="3" height="2"/>',
        '<mask label="cat" rle="0, 6" left="9" top="1" width="3" height="2"/>',
        '<mask label="cat" rle="6" left="4" top="1" width="3" height="2"/>',
        '<mask label="cat" rle="0, 6" left="-1" top="1" width="3" height="2"/>',
        '<mask label="cat" left="4" top="1" width="3" height="2"/>',
        '<ellipse label="cat" cx="3" cy="4" rx="0" ry="1.1"/>',
        '<points label="cat" points="2,3"/>',
        '<hexagon label="cat"/>',
    ],
)
def test_read__a_shape_that_is_wrong_costs_itself(shape: str, tmp_path: Path) -> None:
    good = '<box label="cat" xtl="2" ytl="3" xbr="6" ybr="5"/>'
    found = read(tmp_path, shape + good)
    for _ in range(2):
        assert [len(labels.regions) for labels in found.stream()] == [1]
        (line,) = found.problems.lines()
        assert line.startswith("1 shapes that ")
        assert "left out" in line


@pytest.mark.parametrize("image", ["", 'width="0" height="8"', 'width="1000000" height="1000000"'])
def test_read__images_without_a_size(image: str, tmp_path: Path) -> None:
    found = read(tmp_path, "", image)
    assert list(found.stream()) == []
    assert "without a usable width and height" in found.problems.lines()[0]


def test_read__photos_that_do_not_fit(tmp_path: Path) -> None:
    read(tmp_path, "")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (5, 5)).save(tmp_path / "photos/x.jpg")
    found = Cvat(photos=str(tmp_path / "photos")).read(tmp_path)
    assert list(found.stream()) == []
    assert "labels of another size than their photo" in found.problems.lines()[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<annotations><meta>", "is not XML that can be read"),
        ("<annotations><meta></meta></annotations>", "names no label"),
        ('<annotations><track id="0"></track></annotations>', "XML for videos"),
        ('<?xml version="1.0" encoding="klingon"?><annotations/>', "is not XML that can be read"),
    ],
)
def test_read__a_file_that_is_wrong(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "annotations.xml").write_text(text)
    with pytest.raises(UserError) as error:
        Cvat().read(tmp_path)
    assert_says(error.value, "annotations.xml", says)


def test_recognizes__cvat_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "label_config.xml").write_text("<View></View>")
    assert not Cvat().recognizes(tmp_path)
    assert not Cvat().recognizes(tmp_path / "label_config.xml")
    assert not Cvat().recognizes(tmp_path / "gone.xml")


def test_polygon__is_filled_as_elsewhere(tmp_path: Path) -> None:
    corners = [[1.5, 1.0], [8.25, 2.0], [4.0, 7.5]]
    points = ";".join(f"{x},{y}" for x, y in corners)
    ((own,),) = (
        p.regions for p in read(tmp_path, f'<polygon label="cat" points="{points}"/>').stream()
    )
    expected = fill_polygons([np.array(corners)], height=HEIGHT, width=WIDTH)
    assert np.array_equal(own.mask, expected)
