"""VOC's annotations of boxes without masks, and those of labelImg."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from builders import HEIGHT, WIDTH, box
from prelabel.data.masks import encode_rle
from prelabel.errors import UserError
from prelabel.runs.datasets import open_dataset


def annotate(file: Path, *objects: tuple[str, str], size: str = "") -> None:
    """One object for each name and its corners."""
    sides = size or f"<width>{WIDTH}</width><height>{HEIGHT}</height>"
    parts = [f"<annotation><filename>{file.stem}.png</filename><size>{sides}</size>"]
    for name, corners in objects:
        numbers = dict(zip(("xmin", "ymin", "xmax", "ymax"), corners.split(), strict=False))
        drawn = "".join(f"<{key}>{n}</{key}>" for key, n in numbers.items())
        parts.append(f"<object><name>{name}</name><bndbox>{drawn}</bndbox></object>")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join([*parts, "</annotation>"]))


@pytest.mark.parametrize("place", ["Annotations", "VOCdevkit/VOC2012/Annotations", "."])
def test_read__boxes_are_boxes(place: str, tmp_path: Path) -> None:
    # 1-based, and the last pixel is inside.
    annotate(tmp_path / place / "x.xml", ("dog", "3 4 6 5"), ("cat", "1 1 10 8"))
    annotate(tmp_path / place / "y.xml")
    found = open_dataset(tmp_path)
    assert (len(found.classes), found.classes[7], found.classes[11]) == (20, "cat", "dog")
    first, second = found.stream()
    assert (first.photo, second.photo, second.regions) == ("x.png", "y.png", ())
    assert [(r.box, r.cluster, r.is_box) for r in first.regions] == [
        ((2, 3, 4, 2), 11, True),
        ((0, 0, 10, 8), 7, True),
    ]
    assert first.regions[0].rle == encode_rle(box(2, 3, 4, 2))
    assert found.problems.lines() == []


def test_read__other_names(tmp_path: Path) -> None:
    annotate(tmp_path / "Annotations/x.xml", ("zebra", "3 4 6 5"), ("ape", "1 1 10 8"))
    assert open_dataset(tmp_path).classes == ("ape", "zebra")
    (tmp_path / "labels.txt").write_text("1\tlion\n2\tzebra\n")
    found = open_dataset(tmp_path)
    assert found.classes == ("lion", "zebra", "ape")
    assert [[r.cluster for r in p.regions] for p in found.stream()] == [[1, 2]]


@pytest.mark.parametrize(
    ("name", "corners"),
    [
        *(("dog", "3 4 6"), ("dog", "a b c d"), ("dog", "30 4 60 5"), ("", "1 1 2 2")),
        *(("dog", "NaN 4 6 5"), ("dog", "3 nan 6 5"), ("dog", "3 4 inf 5"), ("dog", "1 1 4 NaN")),
    ],
)
def test_read__an_object_that_is_wrong_costs_itself(
    name: str, corners: str, tmp_path: Path
) -> None:
    annotate(tmp_path / "Annotations/x.xml", (name, corners), ("cat", "1 1 10 8"))
    found = open_dataset(tmp_path)
    for _ in range(2):
        assert [len(p.regions) for p in found.stream()] == [1]
        (line,) = found.problems.lines()
        assert "objects without a name or a box inside their photo, left out" in line


def test_read__sizes_from_the_photos(tmp_path: Path) -> None:
    for name in ("x", "y"):
        annotate(tmp_path / f"Annotations/{name}.xml", ("cat", "1 1 4 4"), size="<width>0</width>")
    found = open_dataset(tmp_path)
    assert list(found.stream()) == []
    (tmp_path / "JPEGImages").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "JPEGImages/x.png")
    found = open_dataset(tmp_path)
    assert [(p.photo, p.width, p.height) for p in found.stream()] == [("x.png", WIDTH, HEIGHT)]
    assert any("without a usable size" in line for line in found.problems.lines())


def test_read__no_object_anywhere(tmp_path: Path) -> None:
    annotate(tmp_path / "Annotations/x.xml")
    with pytest.raises(UserError, match="none with an object"):
        open_dataset(tmp_path)


def test_read__broken_files_cost_themselves(tmp_path: Path) -> None:
    annotate(tmp_path / "Annotations/a.xml", ("cat", "1 1 4 4"))
    (tmp_path / "Annotations/b.xml").write_text("<annotation>")
    found = open_dataset(tmp_path)
    assert len(list(found.stream())) == 1
    assert "annotations that cannot be read, left out" in found.problems.lines()[0]
