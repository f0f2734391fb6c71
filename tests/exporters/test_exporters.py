"""What the exporters write, read back by the tools that their formats belong to."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from label_studio_sdk.converter import brush
from label_studio_sdk.label_interface import LabelInterface
from PIL import Image
from pycocotools.coco import COCO

from builders import HEIGHT, PARTS, RING, WIDTH, box, prediction, region
from prelabel.data.colors import class_color, voc_color
from prelabel.data.dataset import ExportContext
from prelabel.data.masks import decode_rle
from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.runs.datasets import open_dataset
from prelabel.storage.remote import RemoteFolder
from prelabel.strategies import registry
from prelabel.strategies.protocols import Exporter

EXPORTERS = ["coco", "label-studio", "voc"]
AWKWARD = [
    "plain.jpg",
    "sub/deeper/a-weird Filename.asdf.jpg",
    "quotes '\" & <b>?#%20.png",
    "emoji 🐕 ümlaut.webp",
    "new\nline\ttab.jpg",
    "back\\slash.jpg",
    "no UTF-8 \udcff.jpg",
    ".jpg",
]
CONTEXT = ExportContext(
    photos=Path("/data/my photos"), classes=("dog", "cat", "tree"), model_version="m-1"
)


def _two_regions(photo: str) -> Prediction:
    first, second = region(RING, cluster=2, score=0.75), region(PARTS, score=0.25)
    return prediction(photo, first, second)


def _exporter(name: str, **settings: Any) -> Any:
    return registry.make("exporter", name, settings)


def _files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder, hidden files too."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize("name", EXPORTERS)
def test_exporter__fits_its_protocol_and_returns_what_it_wrote(name: str, tmp_path: Path) -> None:
    exporter = _exporter(name)
    assert isinstance(exporter, Exporter)
    written = exporter.write([_two_regions("x.jpg")], tmp_path, CONTEXT)
    assert written.exists()
    assert written.parent == tmp_path
    assert not [file for file in _files(tmp_path) if file.startswith(".")]


@pytest.mark.parametrize("name", EXPORTERS)
def test_exporter__writes_the_same_bytes_again(name: str, tmp_path: Path) -> None:
    photos = [_two_regions(photo) for photo in AWKWARD]
    _exporter(name).write(photos, tmp_path, CONTEXT)
    first = _files(tmp_path)
    _exporter(name).write(photos, tmp_path, CONTEXT)
    assert _files(tmp_path) == first


@pytest.mark.parametrize("name", EXPORTERS)
def test_exporter__no_photo_at_all(name: str, tmp_path: Path) -> None:
    written = _exporter(name).write([], tmp_path, CONTEXT)
    if written.is_file():
        json.loads(written.read_text(encoding="utf-8"))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("name", EXPORTERS)
def test_exporter__a_failed_export_changes_nothing(
    name: str, earlier: bool, error: BaseException, tmp_path: Path
) -> None:
    def broken() -> Iterator[Prediction]:
        yield prediction("x.jpg", region(PARTS))
        raise error

    if earlier:
        _exporter(name).write([_two_regions("x.jpg"), _two_regions("y.jpg")], tmp_path, CONTEXT)
    before = _files(tmp_path)
    with pytest.raises(type(error)):
        _exporter(name).write(broken(), tmp_path, CONTEXT)
    assert _files(tmp_path) == before


@pytest.mark.parametrize("name", EXPORTERS)
def test_exporter__what_a_killed_run_left_is_cleared_away(name: str, tmp_path: Path) -> None:
    _exporter(name).write([_two_regions("x.jpg")], tmp_path, CONTEXT)
    expected = _files(tmp_path)
    (tmp_path / ".tmp-1").mkdir()
    (tmp_path / ".tmp-1" / "gone.png").write_bytes(b"half")
    (tmp_path / ".tmp-2.json").write_bytes(b"half")
    for left in tmp_path.glob(".tmp-*"):
        os.utime(left, (0, 0))  # younger ones may be another process's
    _exporter(name).write([_two_regions("x.jpg")], tmp_path, CONTEXT)
    assert _files(tmp_path) == expected


@pytest.mark.parametrize("name", EXPORTERS)
def test_exporter__a_class_that_has_no_name(name: str, tmp_path: Path) -> None:
    photos = [prediction("a/x.jpg", region(RING, cluster=3))]
    with pytest.raises(UserError, match=r"^a/x.jpg: a region is of class 3, .* 3 classes"):
        _exporter(name).write(photos, tmp_path, CONTEXT)
    assert _files(tmp_path) == {}


@pytest.mark.parametrize("name", ["coco", "voc"])
def test_exporter__a_region_without_a_class_is_left_out_and_counted(
    name: str, tmp_path: Path
) -> None:
    context = ExportContext(CONTEXT.photos, CONTEXT.classes, CONTEXT.model_version)
    both = prediction("a/x.jpg", region(RING, cluster=-1), region(RING, cluster=1))
    _exporter(name).write([both], tmp_path, context)
    assert context.problems.lines() == ["1 regions without a class, left out (a/x.jpg)"]
    found = list(registry.make("exporter", name, {}).read(tmp_path).stream())
    assert [region.cluster for region in found[0].regions] == [1]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTERS)
def test_exporter__memory_stays_flat(name: str, tmp_path: Path) -> None:
    ring = region(RING)

    def peak(n_photos: int) -> int:
        photos = (prediction(f"{n:040}.jpg", ring) for n in range(n_photos))
        tracemalloc.start()
        _exporter(name).write(photos, tmp_path, CONTEXT)
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    peak(10)
    # The lesser of two: a table of Python's own, where pathlib keeps names, now and then grows.
    assert min(peak(2_000), peak(2_000)) - peak(100) < 1_900 * 300  # bytes


def test_coco__is_loaded_by_pycocotools_with_exact_masks(tmp_path: Path) -> None:
    photos = [*(_two_regions(photo) for photo in AWKWARD), prediction("nothing.jpg")]
    coco = COCO(_exporter("coco").write(photos, tmp_path, CONTEXT))
    assert [image["file_name"] for image in coco.dataset["images"]] == [*AWKWARD, "nothing.jpg"]
    assert {(image["width"], image["height"]) for image in coco.imgs.values()} == {(10, 8)}
    assert len(coco.imgs) == len(AWKWARD) + 1
    assert len(coco.anns) == 2 * len(AWKWARD)
    for image_id, image in coco.imgs.items():
        annotations = coco.loadAnns(coco.getAnnIds(image_id))
        if image["file_name"] == "nothing.jpg":
            assert annotations == []
            continue
        first, second = annotations
        assert np.array_equal(coco.annToMask(first), RING)
        assert np.array_equal(coco.annToMask(second), PARTS)
        # The ring: 5 × 5 with a hole of 3. The parts: five single pixels.
        assert (first["area"], first["bbox"], second["area"]) == (22, [2, 1, 5, 5], 5)
        assert second["bbox"] == [0, 7, 9, 1]
        assert (first["category_id"], first["cluster"], first["score"]) == (3, 2, 0.75)
        assert (second["category_id"], second["cluster"], second["score"]) == (1, 0, 0.25)
        assert {first["iscrowd"], second["iscrowd"]} == {0}
        assert {first["model_version"], second["model_version"]} == {"m-1"}
    assert coco.dataset["info"]["model_version"] == "m-1"
    assert [(c["id"], c["name"], c["color"]) for c in coco.loadCats(coco.getCatIds())] == [
        (1, "dog", [128, 0, 0]),
        (2, "cat", [0, 128, 0]),
        (3, "tree", [128, 128, 0]),
    ]


def test_coco__ids_do_not_depend_on_the_other_photos(tmp_path: Path) -> None:
    def ids(photos: list[str]) -> dict[str, tuple[int, list[int]]]:
        file = _exporter("coco").write(map(_two_regions, photos), tmp_path, CONTEXT)
        data = json.loads(file.read_text(encoding="utf-8"))
        return {
            image["file_name"]: (
                image["id"],
                [a["id"] for a in data["annotations"] if a["image_id"] == image["id"]],
            )
            for image in data["images"]
        }

    few, many = ids(["b.jpg", "a.jpg"]), ids([*AWKWARD, "a.jpg", "b.jpg", "c.jpg"])
    assert few == {name: many[name] for name in few}
    images = [image for image, _ in many.values()]
    annotations = [number for _, numbers in many.values() for number in numbers]
    assert len(set(images)) == len(many)
    assert len(set(annotations)) == 2 * len(many)
    assert all(0 < number < 2**53 for number in images + annotations)


def test_coco__equal_hashes_still_get_two_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prelabel_exporters.coco.items.stable_id", lambda *_, size: bytes(size))
    file = _exporter("coco").write(map(_two_regions, "ab"), tmp_path, CONTEXT)
    data = json.loads(file.read_text(encoding="utf-8"))
    assert [image["id"] for image in data["images"]] == [1, 2]
    assert [a["id"] for a in data["annotations"]] == [4096, 4097, 8192, 8193]


def test_classes_of_one_name__are_one_category(tmp_path: Path) -> None:
    context = ExportContext(Path("p"), classes=("dog", "dog", "cat"), model_version="m-1")
    photos = [prediction("x.jpg", region(RING, cluster=1), region(PARTS, cluster=2))]
    data = json.loads(_exporter("coco").write(photos, tmp_path, context).read_text())
    assert [(c["id"], c["name"]) for c in data["categories"]] == [(1, "dog"), (3, "cat")]
    assert [(a["category_id"], a["cluster"]) for a in data["annotations"]] == [(1, 1), (3, 2)]
    values = np.asarray(Image.open(_exporter("voc").write(photos, tmp_path, context) / "x.png"))
    assert np.array_equal(values, RING * 1 + PARTS * 3)
    assert (tmp_path / "labels.txt").read_text() == "0\tbackground\n1\tdog\n3\tcat\n"
    _exporter("label-studio").write(photos, tmp_path, context)
    config = LabelInterface((tmp_path / "label_config.xml").read_text())
    assert config.get_control("label").labels == ["dog", "cat"]


def test_coco__categories_have_the_numbers_they_were_given(tmp_path: Path) -> None:
    given = {"cat": 1, "tree": 7, "cow": 7}
    classes = ("dog", "cat", "tree", "cow")
    context = ExportContext(Path("p"), classes, "m-1", category_ids=given)
    regions = [region(RING, cluster=c) for c in range(4)]
    file = _exporter("coco").write([prediction("x.jpg", *regions)], tmp_path, context)
    data = json.loads(file.read_text())
    # Dog's would be 1, which is cat's; cow's is tree's.
    expected = [(2, "dog"), (1, "cat"), (7, "tree"), (4, "cow")]
    assert [(c["id"], c["name"]) for c in data["categories"]] == expected
    assert [a["category_id"] for a in data["annotations"]] == [2, 1, 7, 4]
    (found,) = (dataset := open_dataset(file)).stream()
    assert [dataset.classes[r.cluster] for r in found.regions] == list(classes)
    plain = ExportContext(Path("p"), classes, "m-1")
    again = json.loads(_exporter("coco").write([], tmp_path, plain).read_text())
    colors = [[c["color"] for c in found["categories"]] for found in (data, again)]
    assert colors[0] == colors[1]
    assert [line[:40] for line in context.problems.lines()] == [
        "1 classes whose category another class has too"[:40]
    ]


def test_voc__palette_and_values_as_pillow_reads_them(tmp_path: Path) -> None:
    folder = _exporter("voc").write([_two_regions("x.jpg")], tmp_path, CONTEXT)
    with Image.open(folder / "x.png") as image:
        assert image.mode == "P"
        assert image.size == (10, 8)
        assert np.array_equal(np.asarray(image), RING * 3 + PARTS * 1)
        palette = np.reshape(np.array(image.getpalette()), (256, 3)).tolist()
        assert image.convert("RGB").getpixel((2, 1)) == (128, 128, 0)
    # From the VOC devkit's own table: aeroplane, bicycle, bird, person, train, void.
    assert palette[0] == [0, 0, 0]
    assert palette[1:4] == [[128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert palette[15] == [192, 128, 128]
    assert palette[19] == [128, 192, 0]
    assert palette[255] == [224, 224, 192]
    assert (tmp_path / "labels.txt").read_text() == "0\tbackground\n1\tdog\n2\tcat\n3\ttree\n"


def test_class_color__is_voc_s_and_no_two_are_equal() -> None:
    assert [class_color(index) for index in (0, 1, 14)] == [
        (128, 0, 0),
        (0, 128, 0),
        (192, 128, 128),
    ]
    assert len({voc_color(value) for value in range(2_000)}) == 2_000


def test_voc__awkward_names_and_photos_without_regions(tmp_path: Path) -> None:
    photos = [*(_two_regions(photo) for photo in AWKWARD), prediction("nothing.jpg")]
    folder = _exporter("voc").write(photos, tmp_path, CONTEXT)
    assert set(_files(folder)) == {
        "plain.png",
        "sub/deeper/a-weird Filename.asdf.png",
        "quotes '\" & <b>?#%20.png",
        "emoji 🐕 ümlaut.png",
        "new\nline\ttab.png",
        "back\\slash.png",
        "no UTF-8 \udcff.png",
        ".jpg.png",
        "nothing.png",
    }
    assert not np.asarray(Image.open(folder / "nothing.png")).any()


def test_voc__photos_of_one_stem_do_not_collide(tmp_path: Path) -> None:
    names = ["a/x.jpg", "a/x.jpg.png", "a/x.png", "a/x.webp", "b/x.jpg"]
    masks = [box(0, 0, n + 1, 1) for n in range(len(names))]
    photos = [prediction(name, region(mask)) for name, mask in zip(names, masks, strict=True)]
    folder = _exporter("voc").write(photos, tmp_path, CONTEXT)
    written = ["a/x.png", "a/x.jpg.png", "a/x.png.png", "a/x.webp.png", "b/x.png"]
    assert set(_files(folder)) == set(written)
    for name, mask in zip(written, masks, strict=True):
        assert np.array_equal(np.asarray(Image.open(folder / name)), mask)


def test_voc__a_whole_name_that_is_taken_too(tmp_path: Path) -> None:
    photos = map(_two_regions, ["x.jpg.png", "x.bmp", "x.jpg"])
    folder = _exporter("voc").write(photos, tmp_path, CONTEXT)
    assert set(_files(folder)) == {"x.jpg.png", "x.png", "_x.jpg.png"}


def test_voc__the_higher_score_wins_where_regions_overlap(tmp_path: Path) -> None:
    whole = box(0, 0, WIDTH, HEIGHT)
    photos = [
        prediction("a.jpg", region(RING, score=0.9), region(whole, cluster=1, score=0.1)),
        prediction("b.jpg", region(whole, cluster=1, score=0.1), region(RING, score=0.9)),
    ]
    folder = _exporter("voc").write(photos, tmp_path, CONTEXT)
    for name in ("a.png", "b.png"):
        assert np.array_equal(np.asarray(Image.open(folder / name)), np.where(RING, 1, 2))


def test_voc__254_classes_fit_and_255_do_not(tmp_path: Path) -> None:
    context = ExportContext(Path("p"), tuple(f"c{n}" for n in range(254)), "m-1")
    photos = [prediction("x.jpg", region(RING, cluster=253))]
    folder = _exporter("voc").write(photos, tmp_path, context)
    assert np.asarray(Image.open(folder / "x.png")).max() == 254
    context = ExportContext(Path("p"), tuple(f"c{n}" for n in range(255)), "m-1")
    with pytest.raises(UserError, match="at most 254 classes, found 255"):
        _exporter("voc").write(photos, tmp_path, context)


@pytest.mark.parametrize("name", ["../x.jpg", "a/../../x.jpg", "/x.jpg"])
def test_voc__a_name_that_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leads out of the folder"):
        _exporter("voc").write([_two_regions(name)], tmp_path, CONTEXT)
    assert _files(tmp_path) == {}


def test_voc__leaves_other_files_alone(tmp_path: Path) -> None:
    own = tmp_path / "SegmentationClass" / "drawn by hand.png"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    _exporter("voc").write([_two_regions("x.jpg")], tmp_path, CONTEXT)
    assert own.read_bytes() == b"mine"


def test_label_studio__the_sdk_accepts_config_and_predictions(tmp_path: Path) -> None:
    context = ExportContext(
        Path("/data/photos"), classes=("dog", 'cat & "kitten" <b>', "été 🌳"), model_version="m-1"
    )
    photos = [_two_regions("x.jpg"), prediction("nothing.jpg")]
    file = _exporter("label-studio").write(photos, tmp_path, context)
    config = LabelInterface((tmp_path / "label_config.xml").read_text(encoding="utf-8"))
    config.validate()
    assert config.get_control("label").tag == "BrushLabels"
    assert config.get_control("label").to_name == ["image"]
    assert config.get_object("image").value_name == "image"
    labels = config.get_control("label").labels_attrs
    assert {name: label.attr["background"] for name, label in labels.items()} == {
        "dog": "#800000",
        'cat & "kitten" <b>': "#008000",
        "été 🌳": "#808000",
    }
    for task in json.loads(file.read_text(encoding="utf-8")):
        (written,) = task["predictions"]
        assert config.validate_prediction(written, return_errors=True) == []


def test_label_studio__the_sdk_decodes_the_exact_masks(tmp_path: Path) -> None:
    photos = [_two_regions("x.jpg"), _two_regions("y.jpg"), prediction("nothing.jpg")]
    file = _exporter("label-studio").write(photos, tmp_path, CONTEXT)
    x, y, nothing = (task["predictions"][0] for task in json.loads(file.read_text()))
    assert nothing == {"model_version": "m-1", "score": 0.0, "result": []}
    assert (x["model_version"], x["score"]) == ("m-1", 0.5)
    for item, mask, label, score in zip(
        x["result"], (RING, PARTS), ("tree", "dog"), (0.75, 0.25), strict=True
    ):
        values = brush.decode_rle(item["value"]["rle"]).reshape(8, 10, 4)
        assert np.array_equal(values, np.repeat(mask[..., None] * 255, 4, axis=2))
        assert (item["original_width"], item["original_height"]) == (10, 8)
        assert item["value"]["format"] == "rle"
        assert item["value"]["brushlabels"] == [label]
        assert (item["type"], item["image_rotation"]) == ("brushlabels", 0)
        assert (item["from_name"], item["to_name"]) == ("label", "image")
        assert item["score"] == score
    ids = [item["id"] for written in (x, y) for item in written["result"]]
    assert len(set(ids)) == 4


def test_label_studio__region_ids_follow_photo_and_mask(tmp_path: Path) -> None:
    def ids(*regions: Region) -> list[str]:
        photos = [prediction("x.jpg", *regions)]
        file = _exporter("label-studio").write(photos, tmp_path, CONTEXT)
        (task,) = json.loads(file.read_text())
        return [item["id"] for item in task["predictions"][0]["result"]]

    ring, parts = region(RING), region(PARTS)
    assert ids(ring, parts) == [*ids(ring), *ids(parts)] == ids(parts, ring)[::-1]
    assert ids(region(RING, cluster=1, score=0.1)) == ids(ring)


def test_label_studio__urls_lead_to_the_photos(tmp_path: Path) -> None:
    def images(**settings: str) -> list[str]:
        exporter = _exporter("label-studio", **settings)
        file = exporter.write(map(prediction, AWKWARD), tmp_path, CONTEXT)
        return [task["data"]["image"] for task in json.loads(file.read_text())]

    local = images()
    assert local[0] == "/data/local-files/?d=my%20photos/plain.jpg"
    assert (
        local[2]
        == "/data/local-files/?d=my%20photos/quotes%20%27%22%20%26%20%3Cb%3E%3F%23%2520.png"
    )
    for url, name in zip(local, AWKWARD, strict=True):
        path = unquote_to_bytes(url.removeprefix("/data/local-files/?d="))
        assert path.decode("utf-8", "surrogateescape") == f"my photos/{name}"
    assert images(url_prefix="https://photos.example.com/")[1] == (
        "https://photos.example.com/sub/deeper/a-weird%20Filename.asdf.jpg"
    )
    assert images(url_prefix="")[0] == "plain.jpg"


def test_label_studio__photos_in_object_storage_have_their_own_address(tmp_path: Path) -> None:
    def address(**settings: str) -> str:
        exporter = _exporter("label-studio", **settings)
        context = ExportContext(RemoteFolder("s3://bucket/photos"), CONTEXT.classes, "m-1")
        file = exporter.write([prediction("a b/100%.jpg")], tmp_path, context)
        return str(json.loads(file.read_text())[0]["data"]["image"])

    assert address() == "s3://bucket/photos/a b/100%.jpg"
    assert address(url_prefix="https://x/") == "https://x/a%20b/100%25.jpg"


def test_exports_agree_on_a_photo_sized_mask(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mask = np.kron(rng.random((96, 128)) < 0.4, np.ones((10, 10))).astype(np.bool_)
    photos = [prediction("x.jpg", region(mask, cluster=1))]
    (annotation,) = json.loads(_exporter("coco").write(photos, tmp_path, CONTEXT).read_text())[
        "annotations"
    ]
    assert np.array_equal(decode_rle(annotation["segmentation"]), mask)
    folder = _exporter("voc").write(photos, tmp_path, CONTEXT)
    assert np.array_equal(np.asarray(Image.open(folder / "x.png")), mask * 2)
    (task,) = json.loads(_exporter("label-studio").write(photos, tmp_path, CONTEXT).read_text())
    rle = task["predictions"][0]["result"][0]["value"]["rle"]
    assert rle == brush.mask2rle(mask.astype(np.uint8) * 255)
