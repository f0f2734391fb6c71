"""COCO written and read: round trips, other tools, and files that are wrong."""

from __future__ import annotations

import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pycocotools.coco import COCO

from builders import HEIGHT, WIDTH, box, prediction, region
from prelabel.data.dataset import Dataset, ExportContext
from prelabel.data.masks import Mask, decode_rle, encode_rle, rle_area, rle_box
from prelabel.data.records import AttributeValue, Prediction, Region
from prelabel.errors import UserError
from prelabel.runs.datasets import open_dataset
from prelabel_exporters.coco.writer import Coco
from support.places import DATA, require


def context(version: str = "m-1") -> ExportContext:
    return ExportContext(Path("/photos"), ("dog", "cat", "tree"), version)


def masks_of(dataset: Dataset) -> dict[str, list[tuple[Any, int, float, bool]]]:
    return {
        p.photo: [(r.rle, r.cluster, r.score, r.crowd) for r in p.regions] for p in dataset.stream()
    }


def coco_file(folder: Path, **changes: Any) -> Path:
    """One image of 10 × 8 with one 2 × 2 polygon of a cat."""
    data = {
        "images": [{"id": 1, "file_name": "a/x.jpg", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [_annotation(1)],
        **changes,
    }
    file = folder / "instances.json"
    file.write_text(json.dumps(data))
    return file


def _annotation(number: int, **changes: Any) -> dict[str, Any]:
    square = [2, 3, 4, 3, 4, 5, 2, 5]
    return {"id": number, "image_id": 1, "category_id": 7, "segmentation": [square]} | changes


ANY_MASK = st.one_of(
    hnp.arrays(np.bool_, (HEIGHT, WIDTH)),
    st.sampled_from(
        [
            box(0, 0, WIDTH, HEIGHT),  # full
            box(9, 7, 1, 1),  # one pixel, at the edge
            np.indices((HEIGHT, WIDTH)).sum(axis=0) % 2 == 0,  # checkerboard
            box(0, 0, 9, 8) & ~box(1, 1, 7, 6) | box(3, 3, 3, 2) & ~box(4, 3, 1, 1),  # in holes
        ]
    ),
).filter(lambda mask: bool(mask.any()))


@pytest.mark.slow
@settings(max_examples=60)
@given(
    masks=st.lists(st.tuples(ANY_MASK, st.integers(0, 2), st.booleans()), max_size=4),
    polygons=st.booleans(),
    version=st.sampled_from(["m-1", ""]),
)
def test_round_trip__written_read_and_written_again_is_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    masks: list[tuple[Mask, int, bool]],
    polygons: bool,
    version: str,
) -> None:
    score = 0.25 if version else 1.0
    photos = [
        prediction(
            "a/x.jpg",
            *(region(m, cluster=c, score=score, crowd=crowd) for m, c, crowd in masks),
            version=version,
        ),
        prediction("empty.png", version=version),
    ]
    first, second = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    exporter = Coco(polygons=polygons)
    written = exporter.write(photos, first, context(version))
    found = exporter.read(first)
    assert masks_of(found) == {
        p.photo: [(r.rle, r.cluster, r.score, r.crowd) for r in p.regions] for p in photos
    }
    if version and masks:
        assert found.classes[: 1 + max(c for _, c, _ in masks)]
    again = exporter.write(
        found.stream(), second, ExportContext(Path("/photos"), context().classes, version)
    )
    assert again.read_bytes() == written.read_bytes()


def test_write__pycocotools_sees_the_same_masks_areas_and_boxes(tmp_path: Path) -> None:
    ring = box(2, 1, 5, 5) & ~box(3, 3, 3, 1)
    parts = box(0, 0, 2, 2) | box(5, 5, 3, 2)
    exported = context()
    photos = [prediction("x.jpg", region(ring), region(parts, cluster=1), region(box(4, 4, 3, 3)))]
    file = Coco(polygons=True).write(photos, tmp_path, exported)
    coco = COCO(str(file))
    for annotation, mask in zip(
        coco.loadAnns(coco.getAnnIds()), (ring, parts, box(4, 4, 3, 3)), strict=True
    ):
        assert np.array_equal(coco.annToMask(annotation), mask)
        assert annotation["area"] == mask.sum()
    kinds = [type(a["segmentation"]).__name__ for a in coco.loadAnns(coco.getAnnIds())]
    assert kinds == ["dict", "list", "list"]  # only the ring has a hole
    assert exported.problems.lines() == ["1 regions that no polygons can hold, kept as RLE"]
    results = coco.loadRes(str(tmp_path / "results.json"))
    assert [a["score"] for a in results.loadAnns(results.getAnnIds())] == [0.5, 0.5, 0.5]


def test_write__panoptic_is_read_by_its_formula(tmp_path: Path) -> None:
    low, high = box(0, 0, 6, 6), box(3, 3, 5, 4)
    photos = [prediction("a/x.jpg", region(high, score=0.9, cluster=1), region(low, score=0.4))]
    Coco(panoptic=True).write(photos, tmp_path, context())
    data = json.loads((tmp_path / "panoptic.json").read_text())
    (entry,) = data["annotations"]
    pixels = np.asarray(Image.open(tmp_path / "panoptic" / entry["file_name"])).astype(int)
    ids = pixels[..., 0] + 256 * pixels[..., 1] + 256**2 * pixels[..., 2]
    segments = {s["category_id"]: s for s in entry["segments_info"]}
    assert np.array_equal(ids == segments[2]["id"], high)
    assert np.array_equal(ids == segments[1]["id"], low & ~high)
    assert segments[1]["area"] == (low & ~high).sum()
    assert segments[2]["bbox"] == [3, 3, 5, 4]
    assert {c["name"]: c["isthing"] for c in data["categories"]} == {"dog": 1, "cat": 1, "tree": 1}
    assert entry["image_id"] == data["images"][0]["id"]


def test_write__panoptic_ids_beyond_one_channel(tmp_path: Path) -> None:
    spots = [box(i % 20, i // 20, 1, 1, photo=(20, 20)) for i in range(300)]
    photos = [prediction("x.jpg", *map(region, spots))]
    Coco(panoptic=True).write(photos, tmp_path, context())
    pixels = np.asarray(Image.open(tmp_path / "panoptic" / "x.png"))
    # Segment 300 is 44 + 256 × 1; it is the pixel at x 19, y 14.
    assert pixels[14, 19].tolist() == [44, 1, 0]
    assert pixels[12, 14].tolist() == [255, 0, 0]


def test_read__the_data_set_of_others_as_pycocotools_does() -> None:
    file = DATA / "coco" / "instances.json"
    require("data", file.exists(), f"no {file}")
    coco = COCO(str(file))
    found = {p.photo: p for p in Coco().read(file).stream()}
    assert len(found) == len(coco.imgs)
    for image in coco.imgs.values():
        own = coco.imgToAnns[image["id"]]
        regions = found[image["file_name"]].regions
        assert len(regions) == len(own)
        for read, annotation in zip(regions, own, strict=True):
            assert np.array_equal(decode_rle(read.rle), coco.annToMask(annotation) > 0)
            assert read.crowd == bool(annotation["iscrowd"])


def test_read__polygons_and_both_kinds_of_rle(tmp_path: Path) -> None:
    square = box(2, 3, 2, 2)
    runs = np.diff(np.flatnonzero(np.diff(square.ravel(order="F"), prepend=0, append=0)))
    start = int(np.flatnonzero(square.ravel(order="F"))[0])
    counts = [start, *runs.tolist(), HEIGHT * WIDTH - start - int(runs.sum())]
    size = [HEIGHT, WIDTH]
    annotations = [
        _annotation(1),
        _annotation(2, segmentation=encode_rle(square)),
        _annotation(3, segmentation={"size": size, "counts": counts}, iscrowd=1),
        # Empty runs, at which pycocotools' iou ends.
        _annotation(4, segmentation={"size": size, "counts": [1, 0, start - 1, *counts[1:], 0]}),
    ]
    (labels,) = Coco().read(coco_file(tmp_path, annotations=annotations)).stream()
    assert [r.rle for r in labels.regions] == [encode_rle(square)] * 4
    assert [r.crowd for r in labels.regions] == [False, False, True, False]
    assert [(r.box, r.area, r.score) for r in labels.regions] == [((2, 3, 2, 2), 4, 1.0)] * 4
    assert labels.model_version == ""


WRITTEN_OTHERWISE = "numbers and flags written as others do, read as what they mean"


@pytest.mark.parametrize(
    ("changes", "crowd"),
    [
        *(({"iscrowd": no}, False) for no in ("0", "false", "False", 0.0, "0.0", "no")),
        *(({"iscrowd": yes}, True) for yes in ("1", "true", 1.0, " 1 ")),
        ({"id": "1"}, False),
        ({"image_id": "1"}, False),
        ({"image_id": 1.0}, False),
        ({"category_id": "7"}, False),
        ({"score": "0.25"}, False),
    ],
)
def test_read__numbers_and_flags_as_others_write_them(
    changes: dict[str, Any], crowd: bool, tmp_path: Path
) -> None:
    found = Coco().read(coco_file(tmp_path, annotations=[_annotation(1, **changes)]))
    ((region,),) = (labels.regions for labels in found.stream())
    assert (region.box, region.cluster, region.crowd) == ((2, 3, 2, 2), 0, crowd)
    assert region.score == (0.25 if "score" in changes else 1.0)
    (line,) = found.problems.lines()
    assert WRITTEN_OTHERWISE in line


@pytest.mark.parametrize("flag", [False, True, None])
def test_read__flags_that_json_has(flag: bool | None, tmp_path: Path) -> None:
    found = Coco().read(coco_file(tmp_path, annotations=[_annotation(1, iscrowd=flag)]))
    ((region,),) = (labels.regions for labels in found.stream())
    assert region.crowd == bool(flag)
    assert found.problems.lines() == []


def test_read__sizes_names_and_ids_as_others_write_them(tmp_path: Path) -> None:
    images = [{"id": "1", "file_name": "a/x.jpg", "width": "10", "height": 8.0}]
    categories = [{"id": "7", "name": 7}, {"id": "007", "name": "bond"}]
    size = {"size": ["8", 10.0], "counts": [0.0, "4", 76.0]}
    annotations = [
        _annotation(1, segmentation=size),
        _annotation(2, segmentation=["2", 3, 4, 3, 4, 5, 2, 5]),
        _annotation(3, category_id="007"),  # not how 7 is written: an id of its own
    ]
    file = coco_file(tmp_path, images=images, categories=categories, annotations=annotations)
    found = Coco().read(file)
    (labels,) = found.stream()
    assert (labels.width, labels.height) == (10, 8)
    assert found.classes == ("7", "bond")
    assert [(r.box, r.area, r.cluster) for r in labels.regions] == [
        ((0, 0, 1, 4), 4, 0),
        ((2, 3, 2, 2), 4, 0),
        ((2, 3, 2, 2), 4, 1),
    ]
    assert set(found.problems.counts) == {WRITTEN_OTHERWISE}


@pytest.mark.parametrize("flag", ["maybe", 2, -1, 0.5, [0], {}])
def test_read__a_flag_that_is_neither_costs_its_annotation(flag: object, tmp_path: Path) -> None:
    annotations = [_annotation(1, iscrowd=flag), _annotation(2)]
    found = Coco().read(coco_file(tmp_path, annotations=annotations))
    assert [len(labels.regions) for labels in found.stream()] == [1]
    (line,) = found.problems.lines()
    assert "iscrowd is neither 0 nor 1, left out" in line
    assert "annotation 1" in line


@pytest.mark.parametrize("score", [-1e308, math.nan, math.inf, "high", [1], True, "nan", 10**400])
def test_read__a_score_that_is_none_costs_its_annotation(score: object, tmp_path: Path) -> None:
    annotations = [_annotation(1, score=score), _annotation(2, score=0.25)]
    found = Coco().read(coco_file(tmp_path, annotations=annotations))
    assert [r.score for labels in found.stream() for r in labels.regions] == [0.25]
    told = "1 annotations whose score is not a number up to 10⁹, left out"
    assert any(told in line and "annotation 1" in line for line in found.problems.lines())


RING = {"size": [HEIGHT, WIDTH], "counts": [80]}


@pytest.mark.parametrize(
    ("changes", "kept", "note"),
    [
        ({"image_id": 9}, 0, "1 annotations of images that are not there, left out"),
        ({"category_id": 9}, 0, "1 annotations of categories that are not there, left out"),
        (
            {"segmentation": [[1, 1, 5, 5]]},
            0,
            "1 polygons with fewer than three points or half a point, left out",
        ),
        ({"segmentation": [[1, 1, 5, 5, 3, 3, 9]]}, 0, "1 polygons with fewer than three points"),
        (
            {"segmentation": [[1, 1, 5, math.nan, 3, 3]]},
            0,
            "1 polygons with a corner that is not two finite numbers",
        ),
        (
            {"segmentation": [[1, 1, 10**400, 5, 3, 3]]},
            0,
            "1 polygons with a corner that is not two finite numbers",
        ),
        (
            {"segmentation": [[1, 1, 5, math.inf, 3, 3]]},
            0,
            "1 polygons with a corner that is not two finite numbers",
        ),
        # These crash pycocotools itself.
        (
            {"segmentation": [[1e308, 0, -1e308, 0, 1e308, 1e308]]},
            0,
            "1 polygons far outside their image",
        ),
        ({"segmentation": [[0, 0, 1e9, 0, 1e9, 1e9]]}, 0, "1 polygons far outside their image"),
        ({"segmentation": [[0, 0, 20, 20] * 300_000]}, 0, "1 polygons far outside their image"),
        ({"segmentation": []}, 0, "1 annotations without a segmentation, left out"),
        ({"segmentation": {}}, 0, "1 RLEs of another size than their image, left out"),
        ({"segmentation": {**RING, "size": 80}}, 0, "1 RLEs of another size than their image"),
        ({"segmentation": {**RING, "counts": None}}, 0, "1 RLEs whose counts cannot be read"),
        ({"segmentation": {**RING, "counts": [80.5]}}, 0, "1 RLEs whose counts cannot be read"),
        ({"segmentation": {**RING, "counts": ""}}, 0, "1 RLEs whose counts cannot be read"),
        ({"image_id": [1]}, 0, "1 annotations of images that are not there, left out"),
        ({"image_id": None}, 0, "1 annotations of images that are not there, left out"),
        ({"category_id": {}}, 0, "1 annotations of categories that are not there, left out"),
        (
            {"segmentation": [[1, 1, 5, "a", 3, 3]]},
            0,
            "1 polygons with a corner that is not two finite numbers",
        ),
        ({"segmentation": None}, 0, "1 annotations without a segmentation, left out"),
        ({"segmentation": {**RING, "size": [4, 4]}}, 0, "1 RLEs of another size than their image"),
        (
            {"segmentation": {**RING, "counts": [79]}},
            0,
            "1 RLEs that hold another number of pixels",
        ),
        (
            {"segmentation": {**RING, "counts": [81]}},
            0,
            "1 RLEs that hold another number of pixels",
        ),
        ({"segmentation": {**RING, "counts": [-1, 81]}}, 0, "1 RLEs whose counts cannot be read"),
        (
            {"segmentation": {**RING, "counts": "T3"}},
            0,
            "1 RLEs that hold another number of pixels",
        ),
        ({"segmentation": {**RING, "counts": "\n~"}}, 0, "1 RLEs whose counts cannot be read"),
    ],
)
def test_read__one_bad_annotation_costs_that_one(
    changes: dict[str, Any], kept: int, note: str, tmp_path: Path
) -> None:
    file = coco_file(tmp_path, annotations=[_annotation(1), _annotation(2, **changes)])
    found = Coco().read(file)
    (labels,) = found.stream()
    assert len(labels.regions) == 1 + kept
    (line,) = found.problems.lines()
    assert line.startswith(note)
    assert f"{file}, annotation 2" in line
    list(found.stream())  # once more: it is not counted twice
    assert found.problems.lines() == [line]


def test_read__a_polygon_that_crosses_itself_is_drawn_and_counted(tmp_path: Path) -> None:
    bow_tie = [0, 0, 100, 100, 100, 0, 0, 100]
    images = [{"id": 1, "file_name": "x.jpg", "width": 120, "height": 110}]
    file = coco_file(tmp_path, images=images, annotations=[_annotation(4, segmentation=[bow_tie])])
    found = Coco().read(file)
    (labels,) = found.stream()
    coco = COCO(str(file))
    assert np.array_equal(decode_rle(labels.regions[0].rle), coco.annToMask(coco.anns[4]) > 0)
    assert found.problems.lines()[0].startswith("1 polygons that cross themselves")


@pytest.mark.parametrize(
    ("polygon", "crosses"),
    [
        ([0, 0, 9, 7, 9, 0, 0, 7], True),  # a small bow tie, whose pixels are many for its area
        ([5, 0, 8, 7, 1, 2, 9, 2, 2, 7], True),  # a pentagram
        ([0, 0, 9, 0, 9, 7, 5, 3, 0, 7], False),  # a notch
        ([0, 0, 5, 0, 5, 5, 5, 0, 9, 7, 0, 7], False),  # there and back along one line
    ],
)
def test_read__polygons_that_cross_themselves_of_any_size(
    polygon: list[int], crosses: bool, tmp_path: Path
) -> None:
    found = Coco().read(coco_file(tmp_path, annotations=[_annotation(1, segmentation=[polygon])]))
    (labels,) = found.stream()
    assert len(labels.regions) == 1
    assert bool(found.problems.lines()) == crosses


def test_read__one_polygon_without_a_list_of_its_own(tmp_path: Path) -> None:
    square = [2, 3, 4, 3, 4, 5, 2, 5]
    found = Coco().read(coco_file(tmp_path, annotations=[_annotation(1, segmentation=square)]))
    (labels,) = found.stream()
    assert [r.area for r in labels.regions] == [4]
    assert found.problems.lines() == []


def test_read__a_corrected_category_wins_over_the_cluster(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "object 1"}, {"id": 2, "name": "dog"}]
    own = [_annotation(i, category_id=i, cluster=0) for i in (1, 2)]
    file = coco_file(
        tmp_path, categories=categories, annotations=own, info={"model_version": "m-1"}
    )
    (labels,) = Coco().read(file).stream()
    assert [r.cluster for r in labels.regions] == [0, 1]


def test_read__clusters_of_other_tools_are_ignored(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    own = [_annotation(1, category_id=1, cluster=5), _annotation(2, category_id=2, cluster=0)]
    found = Coco().read(coco_file(tmp_path, categories=categories, annotations=own))
    assert found.classes == ("cat", "dog")
    (labels,) = found.stream()
    assert [r.cluster for r in labels.regions] == [0, 1]


def test_read__names_that_not_all_formats_can_hold(tmp_path: Path) -> None:
    names = ["a\x01b", "\ud800", " cat "]
    categories = [{"id": 7 + i, "name": name} for i, name in enumerate(names)]
    found = Coco().read(coco_file(tmp_path, categories=categories))
    assert found.classes == ("a\N{REPLACEMENT CHARACTER}b", "\N{REPLACEMENT CHARACTER}", "cat")
    assert found.problems.lines()[0].startswith("3 names of categories that not all formats")


def test_read__ids_that_come_twice(tmp_path: Path) -> None:
    images = [
        {"id": 1, "file_name": "x.jpg", "width": WIDTH, "height": HEIGHT},
        {"id": 1, "file_name": "y.jpg", "width": WIDTH, "height": HEIGHT},
        {"id": 2, "file_name": "x.jpg", "width": WIDTH, "height": HEIGHT},
    ]
    categories = [{"id": 7, "name": "cat"}, {"id": 7, "name": "dog"}]
    both = [_annotation(3), _annotation(3)]
    found = Coco().read(coco_file(tmp_path, images=images, categories=categories, annotations=both))
    labels = list(found.stream())
    assert [(p.photo, len(p.regions)) for p in labels] == [("x.jpg", 2)]
    assert found.classes == ("cat",)
    counts = found.problems.counts
    assert counts == {
        "categories whose id comes twice, the first one taken": 1,
        "annotations whose id comes twice, both kept": 1,
        "images whose id or file_name comes twice, the first one taken": 2,
    }


def test_read__sizes_that_the_file_does_not_say(tmp_path: Path) -> None:
    file = coco_file(tmp_path, images=[{"id": 1, "file_name": "x.png"}])
    found = Coco().read(file)
    assert list(found.stream()) == []
    (line,) = found.problems.lines()
    assert "image 1: None × None, and the photo is not at hand: name its folder with" in line
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "x.png")
    (labels,) = open_dataset(file, photos=tmp_path).stream()
    assert (labels.width, labels.height, len(labels.regions)) == (WIDTH, HEIGHT, 1)


def test_read__labels_of_another_size_than_the_photo(tmp_path: Path) -> None:
    images = [
        {"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT}
        for i, name in enumerate(("x.png", "turned.jpg", "gone.jpg"), start=1)
    ]
    file = coco_file(tmp_path, images=images)
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "x.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "turned.jpg", exif=exif)
    found = open_dataset(file, photos=tmp_path)
    assert [labels.photo for labels in found.stream()] == ["x.png", "gone.jpg"]
    assert found.problems.lines() == [
        f"1 labels of another size than their photo, left out ({tmp_path / 'turned.jpg'}: "
        f"{HEIGHT} × {WIDTH} upright, its labels {WIDTH} × {HEIGHT})",
        f"1 photos that cannot be read, their labels kept ({tmp_path / 'gone.jpg'} is not there)",
    ]


@pytest.mark.parametrize("size", [(0, 8), (10, -8), ("ten", 8), (10.5, 8), (2**20, 2**20)])
def test_read__sizes_that_are_none(size: tuple[Any, Any], tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "x.png", "width": size[0], "height": size[1]}]
    found = Coco().read(coco_file(tmp_path, images=images))
    assert list(found.stream()) == []
    (line,) = found.problems.lines()
    assert line.startswith("1 images without usable width and height, left out")
    assert f"image 1: {size[0]!r} × {size[1]!r}" in line


@pytest.mark.parametrize("number", [None, [1], {"a": 1}])
def test_read__ids_that_are_none(number: object, tmp_path: Path) -> None:
    images = [
        {"id": number, "file_name": "x.jpg", "width": WIDTH, "height": HEIGHT},
        {"id": 1, "file_name": "y.jpg", "width": WIDTH, "height": HEIGHT},
    ]
    categories = [{"id": number, "name": "dog"}, {"id": 7, "name": "cat"}]
    annotations = [_annotation(3) | {"id": number}, _annotation(4) | {"id": number}]
    file = coco_file(tmp_path, images=images, categories=categories, annotations=annotations)
    found = Coco().read(file)
    assert [(p.photo, len(p.regions)) for p in found.stream()] == [("y.jpg", 2)]
    assert found.classes == ("cat",)
    assert found.problems.counts == {
        "categories without an id, left out": 1,
        "images without an id, left out": 1,
    }


def test_read__scores_and_versions_that_are_none(tmp_path: Path) -> None:
    scores = [math.nan, "0.5", None, 10**400, 0.25]
    annotations = [_annotation(i, score=score) for i, score in enumerate(scores)]
    file = coco_file(tmp_path, annotations=annotations, info={"model_version": None})
    (labels,) = Coco().read(file).stream()
    assert [r.score for r in labels.regions] == [0.5, 1.0, 0.25]
    assert labels.model_version == ""


@pytest.mark.parametrize("cluster", [True, -1, 10**9, "0", None])
def test_read__clusters_that_are_none_leave_the_categories(cluster: object, tmp_path: Path) -> None:
    categories = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
    annotations = [_annotation(1, cluster=cluster), _annotation(2, cluster=6)]
    found = Coco().read(coco_file(tmp_path, categories=categories, annotations=annotations))
    assert found.classes == ("cat", "dog")


def test_read__categories_with_ids_that_are_words(tmp_path: Path) -> None:
    categories = [{"id": "c", "name": "cat"}]
    annotations = [_annotation(1, category_id="c", cluster=0)]
    found = Coco().read(coco_file(tmp_path, categories=categories, annotations=annotations))
    (labels,) = found.stream()
    assert (found.classes, labels.regions[0].cluster) == (("cat",), 0)


@pytest.mark.parametrize("name", ["..", "a\0.jpg", "/etc/..", "", None, 5])
def test_read__a_name_that_is_not_that_of_a_file(name: object, tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": name, "width": WIDTH, "height": HEIGHT}]
    found = Coco().read(coco_file(tmp_path, images=images))
    assert list(found.stream()) == []
    assert "file_name" in found.problems.lines()[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [], "annotations": [{"id"', "not complete JSON"),
        ("", "not complete JSON"),
        ("\ufeff", "not complete JSON"),
        ("[" * 100_000, "not complete JSON"),
        (" []", r"a list, as COCO's results are, .*lists of images, annotations and categories"),
        ('{"images": []}', "missing required field `categories`"),
        (
            '{"images": [1], "annotations": []}',
            r"Expected `object`, got `int` - at `\$.images\[0\]",
        ),
        ('{"images": {}, "annotations": []}', r"Expected `array`, got `object` - at `\$.images`"),
    ],
)
def test_read__a_file_that_is_not_instances(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        Coco().read(file)
    assert str(file) in str(error.value)


def test_read__panoptic_files_are_not_taken_for_instances(tmp_path: Path) -> None:
    Coco(panoptic=True).write([prediction("x.jpg", region(box(0, 0, 3, 3)))], tmp_path, context())
    file = tmp_path / "panoptic.json"
    assert not Coco().recognizes(file)
    assert Coco().recognizes(tmp_path)  # instances.json lies beside it
    with pytest.raises(UserError, match="is of COCO's panoptic format") as error:
        Coco().read(file)
    assert str(file) in str(error.value)


@pytest.mark.slow
def test_read__memory_grows_by_little_beside_the_file(tmp_path: Path) -> None:
    """Three ragged objects a photo, of 200 × 300 pixels: about 2 kB of the file."""
    rng = np.random.default_rng(0)
    rles = [encode_rle(cv2.blur(rng.random((200, 300)), (25, 25)) > 0.52) for _ in range(20)]
    regions = [Region(rle, rle_box(rle), rle_area(rle), 1.0, 0) for rle in rles]

    def peak(n: int) -> tuple[int, int]:
        photos = (
            Prediction(f"{i}.jpg", "", 300, 200, tuple(regions[(i + k) % 20] for k in range(3)),
                       0, "")
            for i in range(n)
        )  # fmt: skip
        file = Coco().write(photos, tmp_path, context(""))
        tracemalloc.start()
        try:
            assert sum(len(labels.regions) for labels in Coco().read(file).stream()) == 3 * n
            return tracemalloc.get_traced_memory()[1], file.stat().st_size
        finally:
            tracemalloc.stop()

    peak(1500)  # what is imported and cached on first use, and one batch of masks, do not count
    (few, small), (many, large) = peak(1500), peak(4500)
    # Names, boxes and masks of three objects.
    assert (many - few - (large - small)) / 3000 < 2000


def test_read__masks_that_msgspec_refuses(tmp_path: Path) -> None:
    """NaN among the points, and a text that is none, cost one annotation each."""
    file = coco_file(tmp_path, annotations=[_annotation(1), _annotation(2), _annotation(3)])
    whole = json.loads(file.read_text())
    whole["annotations"][1]["segmentation"] = [[0.0, 0.0, math.nan, 5.0, 5.0, 5.0]]
    file.write_text(json.dumps(whole))
    found = Coco().read(file)
    (labels,) = found.stream()
    assert len(labels.regions) == 2
    (note,) = found.problems.lines()
    assert note.startswith("1 polygons")
    assert note.endswith(f"({file}, annotation 2)")
    whole["annotations"][1]["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": "\ud800"}
    file.write_text(json.dumps(whole))
    found = Coco().read(file)
    (labels,) = found.stream()
    assert len(labels.regions) == 2
    (note,) = found.problems.lines()
    assert note.startswith("1 RLEs")
    assert note.endswith(f"({file}, annotation 2)")


def test_recognizes__coco_and_nothing_else(tmp_path: Path) -> None:
    assert Coco().recognizes(coco_file(tmp_path))
    assert Coco().recognizes(tmp_path)  # the folder that an export fills
    for name, text in (
        ("tasks.json", '[{"id": 1, "annotations": [], "data": {"images": 1}}]'),
        ("empty.json", ""),
        ("predictions.jsonl", '{"photo": "x.jpg"}'),
        ("other.json", '{"a": 1}'),
    ):
        (tmp_path / name).write_text(text)
        assert not Coco().recognizes(tmp_path / name)
    padded = tmp_path / "padded.json"
    padded.write_text(
        '{"annotations": [], "info": "' + "x" * 300_000 + '", "images": [], "categories": []}'
    )
    assert Coco().recognizes(padded)


def test_read__attributes_come_back_as_they_were_written(tmp_path: Path) -> None:
    answers: dict[str, AttributeValue] = {
        "age": 3,
        "sex": "m",
        "parts": ["head", "tail"],
        "share": 0.5,
        "occluded": "yes",
    }
    known = Region(
        encode_rle(box(1, 1, 2, 2)), (1, 1, 2, 2), 4, 1.0, cluster=0, attributes=dict(answers)
    )
    exporter = Coco()
    exporter.write(iter([prediction("a.jpg", known)]), tmp_path, context(version=""))
    (found,) = open_dataset(tmp_path, format="coco").stream()
    del answers["occluded"]  # CVAT's own word for the shape
    assert found.regions[0].attributes == answers


@pytest.mark.parametrize("answer", [None, True, math.inf, [], [1, 2], {"a": 1}, [["a"]]])
def test_read__attributes_that_are_no_answers(answer: object, tmp_path: Path) -> None:
    file = coco_file(tmp_path, annotations=[_annotation(1, attributes={"a": answer, "b": "c"})])
    (found,) = open_dataset(file).stream()
    assert found.regions[0].attributes == {"b": "c"}


@pytest.mark.parametrize("attributes", [None, "a", [1], 7])
def test_read__attributes_that_are_none(attributes: object, tmp_path: Path) -> None:
    file = coco_file(tmp_path, annotations=[_annotation(1, attributes=attributes)])
    (found,) = open_dataset(file).stream()
    assert found.regions[0].attributes == {}


def test_read__foreground_counts_pixels_once(tmp_path: Path) -> None:
    file = coco_file(tmp_path, annotations=[_annotation(1), _annotation(2)])
    (found,) = open_dataset(file).stream()
    assert len(found.regions) == 2
    assert found.foreground == 4 / (WIDTH * HEIGHT)
