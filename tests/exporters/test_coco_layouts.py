"""COCO in the layouts and encodings of other tools, boxes alone, and lists of results."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pycocotools.coco import COCO

from builders import HEIGHT, WIDTH, box, prediction, region
from prelabel.data.dataset import Dataset, ExportContext
from prelabel.data.masks import encode_rle
from prelabel.errors import UserError
from prelabel.evaluation import evaluate
from prelabel.evaluation.boxes import NOTE
from prelabel.runs.datasets import open_dataset
from prelabel_exporters.coco.file import is_instances, is_results
from prelabel_exporters.coco.writer import Coco
from support.command_line import cli, refused
from support.messages import assert_says

SQUARE = [[2, 3, 4, 3, 4, 5, 2, 5]]


def facts(name: str = "x.jpg", **changes: Any) -> dict[str, Any]:
    """One image of 10 × 8 with one 2 × 2 polygon of a cat, in some way changed."""
    annotation = {"id": 1, "image_id": 1, "category_id": 7, "segmentation": SQUARE}
    return {
        "images": [{"id": 1, "file_name": name, "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [annotation | changes],
    }


def names(found: Dataset) -> list[str]:
    return [labels.photo for labels in found.stream()]


@pytest.mark.parametrize(
    "place",
    [
        "instances.json",
        "annotations/instances_default.json",
        "annotations/instances_train2017.json.gz",
        "instances_train.json",
        "result.json",
        "_annotations.coco.json",
    ],
)
def test_folder__of_other_tools(place: str, tmp_path: Path) -> None:
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    data = json.dumps(facts()).encode()
    file.write_bytes(gzip.compress(data) if place.endswith(".gz") else data)
    (tmp_path / "images").mkdir()
    for source in (tmp_path, file):
        found = open_dataset(source)
        assert (names(found), found.classes) == (["x.jpg"], ("cat",))


def test_folder__with_several_files(tmp_path: Path) -> None:
    folder = tmp_path / "annotations"
    folder.mkdir()
    for split in ("train", "val"):
        (folder / f"instances_{split}.json").write_text(json.dumps(facts(f"{split}.jpg")))
        (folder / f"person_keypoints_{split}.json").write_text("{}")
    found = open_dataset(tmp_path)
    for _ in range(2):
        assert names(found) == ["train.jpg", "val.jpg"]
    other = facts("val.jpg") | {"categories": [{"id": 7, "name": "dog"}]}
    (folder / "instances_val.json").write_text(json.dumps(other))
    with pytest.raises(UserError, match="has other categories than"):
        open_dataset(tmp_path)


def test_folder__with_several_other_files_is_not_guessed(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(facts()))
    assert not Coco().recognizes(tmp_path)


def padded(data: dict[str, Any]) -> str:
    """So long that only the ends are looked at."""
    return json.dumps({"info": {"description": "x" * 200_000}, **data})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("write", [json.dumps, padded])
def test_encoding__any_that_json_may_have(
    encoding: str, write: Callable[[dict[str, Any]], str], tmp_path: Path
) -> None:
    file = tmp_path / "x.json"
    text = write(facts("Käse.jpg"))
    file.write_bytes(text.encode(encoding))
    assert names(open_dataset(file)) == ["Käse.jpg"]
    file.write_bytes(gzip.compress(text.encode(encoding)))
    assert names(open_dataset(file)) == ["Käse.jpg"]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: data[: len(data) // 2], "was it cut off?"),
        (lambda data: data[:-8], "was it cut off?"),
        (lambda data: b"\x1f\x8b" + data[10:], "cannot be read"),
    ],
)
def test_gzip__that_is_damaged(damage: Callable[[bytes], bytes], says: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json.gz"
    file.write_bytes(damage(gzip.compress(json.dumps(facts()).encode())))
    with pytest.raises(UserError) as error:
        Coco().read(file)
    assert_says(error.value, says)


def test_gzip__a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prelabel_exporters.coco.source._LARGEST", 1000)
    file = tmp_path / "x.json.gz"
    file.write_bytes(gzip.compress(padded(facts()).encode()))
    with pytest.raises(UserError, match="GB unpacked"):
        Coco().read(file)


def test_encoding__bytes_that_are_no_text(tmp_path: Path) -> None:
    for broken in (
        b'"segmentation": "\xff"',
        b'"segmentation": {"size": [8, 10], "counts": "\xe9"}',
    ):
        data = (
            json.dumps(facts()).encode().replace(b'"segmentation": [[2, 3', broken + b', "x": [[2')
        )
        (tmp_path / "x.json").write_bytes(data)
        with pytest.raises(UserError, match="is not text in UTF-8"):
            Coco().read(tmp_path / "x.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1, 2]", '[{"image_id": 1}]', "\xff"])
def test_look__what_is_neither(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text, encoding="latin-1")
    assert not is_instances(tmp_path / "x.json")
    assert not is_results(tmp_path / "x.json")
    assert not is_instances(tmp_path / "gone.json")


@pytest.mark.parametrize("alone", [{}, {"segmentation": []}, {"segmentation": None}])
@pytest.mark.parametrize(
    ("bbox", "expected"),
    [
        ([2, 3, 4, 2], (2, 3, 4, 2)),
        ([1.6, 2.5, 4.2, 2.1], (2, 2, 4, 3)),
        (["2", "3", "4", "2"], (2, 3, 4, 2)),
        ([-5, -5, 100, 100], (0, 0, 10, 8)),
        ([3.2, 3.2, 0.1, 0.1], (3, 3, 1, 1)),
    ],
)
def test_boxes__alone_are_read_as_boxes(
    alone: dict[str, Any], bbox: list[Any], expected: tuple[int, ...], tmp_path: Path
) -> None:
    data = facts(bbox=bbox, **alone)
    if not alone:
        del data["annotations"][0]["segmentation"]
    (tmp_path / "x.json").write_text(json.dumps(data))
    found = open_dataset(tmp_path / "x.json")
    ((own,),) = (labels.regions for labels in found.stream())
    assert own.is_box
    assert own.box == expected
    x, y, width, height = expected
    assert own.rle == encode_rle(box(x, y, width, height))
    assert found.problems.lines()[0].startswith("1 annotations with a box alone, read as boxes")


@pytest.mark.parametrize(
    "bbox",
    [
        *([20, 3, 4, 2], [2, 3, 0, 2], [2, 3, -4, 2], [2, 3, 4], [2, 3, 4, math.nan], ["a"] * 4),
        *([None] * 4, [[1]] * 4, [2, 3, 4, 10**400]),
    ],
)
def test_boxes__that_are_none_cost_themselves(bbox: list[Any], tmp_path: Path) -> None:
    data = facts(bbox=bbox, segmentation=[])
    (tmp_path / "x.json").write_text(json.dumps(data))
    found = open_dataset(tmp_path / "x.json")
    assert [labels.regions for labels in found.stream()] == [()]
    (line,) = found.problems.lines()
    assert line.startswith("1 boxes that ")
    assert "left out" in line


def test_boxes__written_and_read_again(tmp_path: Path) -> None:
    data = facts(bbox=[2, 3, 4, 2], segmentation=[])
    (tmp_path / "x.json").write_text(json.dumps(data))
    found = open_dataset(tmp_path / "x.json")
    for to in ("coco", "voc", "label-studio"):
        done = cli("convert", tmp_path / "x.json", tmp_path / to, "--to", to)
        assert done.exit_code == 0
        assert ("boxes without a mask, written as filled boxes" in done.stdout) == (to != "coco")
    task = json.loads((tmp_path / "label-studio/tasks.json").read_text())[0]
    assert task["predictions"][0]["result"][0]["type"] == "brushlabels"
    args = ("convert", tmp_path / "x.json", tmp_path / "box", "--to", "label-studio")
    done = cli(*args, "--set", "label-studio.kind=rectangle")
    assert "boxes without a mask" not in done.stdout
    task = json.loads((tmp_path / "box/tasks.json").read_text())[0]
    value = task["predictions"][0]["result"][0]["value"]
    assert [value[side] for side in ("x", "y", "width", "height")] == [20, 37.5, 40, 25]
    again = open_dataset(tmp_path / "coco")
    assert list(again.stream()) == list(found.stream())
    assert COCO(str(tmp_path / "coco/instances.json")).anns.popitem()[1]["bbox"] == [2, 3, 4, 2]
    (labels,) = open_dataset(tmp_path / "voc").stream()
    assert labels.regions[0].box == (2, 3, 4, 2)


def written(folder: Path, *photos: Any, model: str = "") -> Path:
    folder.mkdir()
    Coco().write(photos, folder, ExportContext(folder, ("cat", "dog"), model))
    return folder


def test_boxes__are_evaluated_as_boxes(tmp_path: Path) -> None:
    # A triangle's box is the true one: as masks their IoU would be about a half.
    triangle = box(2, 1, 6, 6)
    for row in range(6):
        triangle[1 + row, 2 + row + 1 :] = False
    found = written(tmp_path / "found", prediction("x.jpg", region(triangle)), model="m-1")
    data = facts(bbox=[2, 1, 6, 6], segmentation=[])
    (tmp_path / "true.json").write_text(json.dumps(data))
    figures = evaluate(open_dataset(found), open_dataset(tmp_path / "true.json")).figures
    assert figures.coco is not None
    assert figures.coco.bbox_agnostic.ap == figures.coco.segm_agnostic.ap == 1.0
    assert any(NOTE in line for line in figures.sources.problems)
    masks = facts(segmentation=encode_rle(box(2, 1, 6, 6)))
    (tmp_path / "masks.json").write_text(json.dumps(masks))
    figures = evaluate(open_dataset(found), open_dataset(tmp_path / "masks.json")).figures
    assert figures.coco is not None
    assert figures.coco.segm_agnostic.ap == 0.2  # IoU 21 / 36: at 0.5 and 0.55 of ten
    assert not any(NOTE in line for line in figures.sources.problems)


RESULTS = [
    {"image_id": 1, "category_id": 7, "bbox": [2, 3, 2, 2], "score": 0.75},
    {"image_id": 1, "category_id": 7, "segmentation": SQUARE, "score": 0.25},
    {"image_id": 9, "category_id": 7, "bbox": [2, 3, 2, 2], "score": 0.5},
]


def test_results__with_the_instances_that_they_are_about(tmp_path: Path) -> None:
    (tmp_path / "true.json").write_text(json.dumps(facts()))
    (tmp_path / "mine.json").write_text(json.dumps(RESULTS))
    error = refused("convert", tmp_path / "mine.json", tmp_path / "out", "--to", "coco")
    assert_says(error, "name no photos", "instances.json beside it", "coco.instances=FILE")
    own = {"coco": {"instances": str(tmp_path / "true.json")}}
    found = open_dataset(tmp_path / "mine.json", settings=own)
    (labels,) = found.stream()
    assert labels.photo == "x.jpg"
    assert [(r.box, r.score, r.is_box) for r in labels.regions] == [
        ((2, 3, 2, 2), 0.75, True),
        ((2, 3, 2, 2), 0.25, False),
    ]
    assert (found.classes, found.model_version) == (("cat",), "mine")
    assert "annotations of images that are not there" in "".join(found.problems.lines())
    (tmp_path / "instances.json").write_text(json.dumps(facts()))
    assert names(open_dataset(tmp_path / "mine.json")) == ["x.jpg"]


def test_results__are_a_prediction_for_evaluate(tmp_path: Path) -> None:
    (tmp_path / "true.json").write_text(json.dumps(facts()))
    (tmp_path / "mine.json").write_text(json.dumps(RESULTS[1:2]))
    out = tmp_path / "out"
    done = cli("evaluate", tmp_path / "mine.json", tmp_path / "true.json", "--out", out)
    assert done.exit_code == 0, done.output
    figures = json.loads((out / "evaluation.json").read_text())
    assert figures["coco"]["segm_by_class"]["ap"] == 1.0


def test_results__of_our_own_export(tmp_path: Path) -> None:
    folder = written(tmp_path / "out", prediction("x.jpg", region(box(1, 1, 3, 3), 1)), model="m-1")
    (labels,) = open_dataset(folder / "results.json").stream()
    (expected,) = open_dataset(folder).stream()
    assert [(r.box, r.cluster, r.score) for r in labels.regions] == [
        (r.box, r.cluster, r.score) for r in expected.regions
    ]


@pytest.mark.parametrize(
    ("place", "photos"),
    [
        ("annotations/instances_default.json", "images"),
        ("annotations/instances_default.json", "images/default"),
        ("annotations/instances_val2017.json", "val2017"),
        ("instances.json", "images"),
    ],
)
def test_photos__of_cvat_and_others_are_found_beside(
    place: str, photos: str, tmp_path: Path
) -> None:
    """In their sizes, too: the second one has another than its labels."""
    data = facts("a/x.jpg")
    data["images"].append({"id": 2, "file_name": "y.jpg", "width": 4, "height": 4})
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(json.dumps(data))
    assert open_dataset(tmp_path).photos is None
    for name in ("a/x.jpg", "y.jpg"):
        (tmp_path / photos / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / photos / name)
    found = open_dataset(tmp_path)
    assert found.photos == tmp_path / photos
    assert names(found) == ["a/x.jpg"]
    (tmp_path / "other").mkdir()
    assert open_dataset(tmp_path, photos=tmp_path / "other").photos == tmp_path / "other"


@pytest.mark.parametrize("name", ["../x.jpg", "/etc/hostname", "", "x\0.jpg", "a" * 5000])
def test_photos__a_name_that_leads_elsewhere_finds_none(name: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "x.jpg").touch()
    (tmp_path / "instances.json").write_text(json.dumps(facts(name)))
    assert open_dataset(tmp_path).photos is None


def datumaro(*annotations: dict[str, Any], **image: Any) -> dict[str, Any]:
    """A file as datumaro writes it, with one item."""
    labels: list[dict[str, Any]] = [
        {"name": name, "parent": "", "attributes": []} for name in ("dog", "cat")
    ]
    return {
        "infos": {},
        "categories": {"label": {"labels": labels, "label_groups": [], "attributes": []}},
        "items": [
            {
                "id": "a/x",
                "annotations": [{"id": 0, "group": 0, "label_id": 1} | one for one in annotations],
                "image": {"path": "a/x.jpg", "size": [HEIGHT, WIDTH]} | image,
            }
        ],
    }


def test_datumaro__masks_polygons_boxes_and_groups(tmp_path: Path) -> None:
    square, other = [2, 3, 4, 3, 4, 5, 2, 5], [6, 3, 8, 3, 8, 5, 6, 5]
    mask = encode_rle(box(0, 0, 3, 2))
    data = datumaro(
        {"type": "polygon", "points": square, "attributes": {"score": 0.5, "colour": "red"}},
        {"type": "mask", "rle": mask, "label_id": 0, "attributes": {"is_crowd": True}},
        {"type": "bbox", "bbox": [1, 1, 4, 4], "group": 3},
        {"type": "bbox", "bbox": [2, 3, 6, 2], "group": 7},
        {"type": "polygon", "points": square, "group": 7},
        {"type": "polygon", "points": other, "group": 7},
        {"type": "ellipse", "points": [0, 0, 8, 6]},
        {"type": "caption", "caption": "a dog"},
    )
    file = tmp_path / "annotations" / "train.json"
    file.parent.mkdir()
    file.write_text(json.dumps(data))
    (tmp_path / "images" / "train" / "a").mkdir(parents=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / "train" / "a" / "x.jpg")
    found = open_dataset(tmp_path)
    assert found.photos == tmp_path / "images" / "train"
    (labels,) = found.stream()
    assert (labels.photo, found.classes) == ("a/x.jpg", ("dog", "cat"))
    kept = [(own.cluster, own.box, own.area, own.crowd, own.is_box) for own in labels.regions]
    assert (1, (2, 3, 2, 2), 4, False, False) in kept
    assert (0, (0, 0, 3, 2), 6, True, False) in kept
    assert (1, (1, 1, 4, 4), 16, False, True) in kept
    assert (1, (2, 3, 6, 2), 8, False, False) in kept  # two polygons of one group, and no box
    (ellipse,) = (own for own in labels.regions if own.area > 30)
    assert ellipse.area == pytest.approx(math.pi * 4 * 3, abs=3)
    assert len(kept) == 5
    (scored,) = (own for own in labels.regions if own.score == 0.5)
    assert scored.attributes == {"colour": "red"}
    assert_says("; ".join(found.problems.lines()), "1 annotations without a segmentation")


def test_datumaro__without_a_size_or_a_path(tmp_path: Path) -> None:
    data = datumaro({"type": "bbox", "bbox": [1, 1, 4, 4]}, path="", size=None)
    (tmp_path / "default.json").write_text(json.dumps(data))
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "x.jpg")
    (tmp_path / "a").mkdir()
    (tmp_path / "x.jpg").rename(tmp_path / "a" / "x.jpg")
    (labels,) = open_dataset(tmp_path / "default.json", photos=tmp_path).stream()
    assert (labels.photo, labels.width, labels.height) == ("a/x.jpg", WIDTH, HEIGHT)
    assert [own.box for own in labels.regions] == [(1, 1, 4, 4)]
