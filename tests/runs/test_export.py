"""`prelabel convert`, and exporting labels that come from anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from PIL import Image
from pycocotools.coco import COCO

from builders import HEIGHT, PARTS, RING, WIDTH
from prelabel.data.brush import encode_brush
from prelabel.data.dataset import Dataset, Problems
from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel.runs.datasets import open_dataset
from prelabel.runs.export import convert, export_dataset, export_predictions
from prelabel.runs.predictions import FILE, write_predictions
from prelabel.storage.files import LOCK
from prelabel.strategies import registry
from support.command_line import cli, refused
from support.labelled_photos import PHOTOS, labelled
from support.messages import assert_says

FILE_OF_COCO = "instances.json"


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def _readable() -> list[str]:
    return [
        name
        for name in registry.names("exporter")
        if hasattr(registry.load("exporter", name), "recognizes")
    ]


@pytest.mark.parametrize("second", ["coco", "label-studio", "voc"])
@pytest.mark.parametrize("first", _readable())
def test_convert__between_any_two(first: str, second: str, tmp_path: Path) -> None:
    a, b, direct = tmp_path / "a", tmp_path / "b", tmp_path / "direct"
    convert(labelled(), a, first)
    before = _files(a)
    photos = None
    if first == "yolo-seg":  # which does not state sizes
        photos = tmp_path / "photos"
        for photo in PHOTOS:
            (photos / photo.photo).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (WIDTH, HEIGHT)).save(photos / photo.photo)
    result = cli("convert", a, b, "--to", second, *(["--photos", photos] if photos else []))
    assert result.exit_code == 0, result.output
    assert _files(a) == before
    assert json.loads((b / "run.json").read_text())["command"] == "convert"
    found, expected = open_dataset(a, photos=photos), labelled()
    assert found.classes == expected.classes
    names = sorted(Path(p.photo).with_suffix("") for p in found.stream())
    assert names == [Path(p.photo).with_suffix("") for p in PHOTOS]
    convert(open_dataset(a, photos=photos), direct, second)
    assert _files(direct) == _files(b)


def test_convert__label_studio_to_coco_keeps_every_pixel(tmp_path: Path) -> None:
    convert(labelled(), tmp_path / "a", "label-studio")
    result = cli("convert", tmp_path / "a" / "tasks.json", tmp_path / "b", "--to", "coco")
    assert result.exit_code == 0, result.output
    coco = COCO(tmp_path / "b" / "instances.json")
    assert [i["file_name"] for i in coco.dataset["images"]] == ["a/x.jpg", "nothing.png"]
    first, second = coco.dataset["annotations"]
    assert np.array_equal(coco.annToMask(first), RING)
    assert np.array_equal(coco.annToMask(second), PARTS)
    assert (first["score"], first["category_id"]) == (0.75, 2)
    assert [c["name"] for c in coco.dataset["categories"]] == ["dog", "cat"]


def test_convert__settings_of_what_is_read_and_what_is_written(tmp_path: Path) -> None:
    value = {"format": "rle", "rle": encode_brush(RING), "brushlabels": ["cat"]}
    item = {
        "id": "r",
        "type": "brushlabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "value": value,
    }
    other = item | {"value": value | {"brushlabels": ["dog"]}}
    task = {
        "id": 1,
        "data": {"image": "/data/upload/1/x.jpg"},
        "annotations": [{"id": 1, "result": [item]}],
        "predictions": [{"id": 2, "result": [other], "model_version": "m-1"}],
    }
    source = tmp_path / "export.json"
    source.write_text(json.dumps([task]))
    for what, label in (("annotations", "cat"), ("predictions", "dog")):
        out = tmp_path / what
        result = cli(
            *("convert", source, out, "--to", "label-studio"),
            *("--set", f"label-studio.what={what}", "--set", "label-studio.kind=rectangle"),
        )
        assert result.exit_code == 0, result.output
        (written,) = json.loads((out / "tasks.json").read_text())
        (box,) = written["predictions"][0]["result"]
        assert box["value"]["rectanglelabels"] == [label]
        assert "  1 regions of which only the box is kept (x.jpg)\n" in result.stdout


def test_convert__problems_are_reported_once(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "1.jpg")
    tasks: list[dict[str, Any]] = [
        {"id": n, "data": {"image": f"/data/upload/1/{n}.jpg"}, "annotations": [{"result": []}]}
        for n in (1, 2)
    ]
    source = tmp_path / "export.json"
    source.write_text(json.dumps(tasks))
    out = tmp_path / "out"
    result = cli("convert", source, out, "--to", "coco", "--photos", folder)
    assert result.exit_code == 0, result.output
    (note,) = [line for line in result.stdout.splitlines() if line.startswith("note")]
    assert "1 photos left out (" in note
    assert "task 2: 2.jpg cannot be read" in note
    images = json.loads((out / "instances.json").read_text())["images"]
    assert [(i["file_name"], i["width"], i["height"]) for i in images] == [("1.jpg", 10, 8)]


def test_convert__a_damaged_source_changes_nothing(tmp_path: Path) -> None:
    convert(labelled(), tmp_path / "a", "label-studio")
    tasks = tmp_path / "a" / "tasks.json"
    whole, out = tasks.read_text(), tmp_path / "b"
    assert cli("convert", tmp_path / "a", out, "--to", "coco").exit_code == 0
    before = _files(out)
    tasks.write_text(whole[: len(whole) // 2])
    result = cli("convert", tmp_path / "a", out, "--to", "coco")
    assert result.exit_code == 2
    assert "tasks.json: cut off in item" in result.stderr
    assert _files(out) == before
    assert cli("convert", tmp_path / "a", tmp_path / "c", "--to", "coco").exit_code == 2
    assert not (tmp_path / "c").exists()


def test_convert__what_was_not_finished_is_not_read(tmp_path: Path) -> None:
    convert(labelled(), tmp_path / "a", "voc")
    facts = json.loads((tmp_path / "a" / "run.json").read_text())
    (tmp_path / "a" / "run.json").write_text(json.dumps({**facts, "state": "started"}))
    result = cli("convert", tmp_path / "a", tmp_path / "b", "--to", "coco")
    assert result.exit_code == 2
    assert "was not finished: run the same `prelabel convert` again" in result.stderr
    assert not (tmp_path / "b").exists()


def test_convert__wrong_names_and_places(tmp_path: Path) -> None:
    convert(labelled(), tmp_path / "a", "label-studio")

    def refusal(*words: object) -> str:
        result = cli("convert", *words)
        assert result.exit_code == 2
        return result.stderr

    assert "did you mean 'coco'?" in refusal(tmp_path / "a", tmp_path / "b", "--to", "cocoo")
    assert "no format is named 'x'" in refusal(
        tmp_path / "a", tmp_path / "b", "--to", "coco", "--from", "x"
    )
    assert "no such file or folder" in refusal(tmp_path / "gone", tmp_path / "b", "--to", "coco")
    (tmp_path / "text.json").write_text("{}")
    assert "known format" in refusal(tmp_path / "text.json", tmp_path / "b", "--to", "coco")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    assert "is not an earlier result of prelabel" in refusal(tmp_path / "a", mine, "--to", "coco")
    assert _files(mine) == {"notes.txt": b"mine"}


def test_export_dataset__several_formats_from_one_reading(tmp_path: Path) -> None:
    problems, read = Problems(), 0

    def stream() -> Iterator[Prediction]:
        nonlocal read
        read += 1
        problems.note("strange things", "x.jpg")
        yield from PHOTOS

    dataset = Dataset(None, ("dog", "cat"), stream, problems)
    done = export_dataset(dataset, tmp_path / "out", ["coco", "voc", "label-studio"])
    assert read == 1
    assert (done.photos, done.regions) == (2, 2)
    assert list(done.files) == ["coco", "voc", "label-studio"]
    assert all(file.exists() for file in done.files.values())
    assert done.notes[0] == "1 strange things (x.jpg)"


def test_export__a_run_or_a_project_but_not_both(tmp_path: Path) -> None:
    rest = ("--format", "coco", "--out", tmp_path / "out")
    assert "found neither a RUN nor a --project" in cli("export", *rest).stderr
    both = cli("export", tmp_path, "--project", 1, *rest)
    assert both.exit_code == 2
    assert "found both a RUN and a --project" in both.stderr
    photos = cli("export", "--project", 1, "--photos", tmp_path, *rest)
    assert photos.exit_code == 2
    assert "--photos-into" in photos.stderr


def test_export_dataset__an_unknown_format_before_anything_is_read(tmp_path: Path) -> None:
    def stream() -> Iterator[Prediction]:
        raise AssertionError

    dataset = Dataset(None, (), stream)
    with pytest.raises(UserError, match="no format is named"):
        export_dataset(dataset, tmp_path / "out", ["nothing"])


def test_export__into_the_runs_own_folder_and_another(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_predictions(run / FILE, PHOTOS)
    written = {
        "command": "run", "state": "done", "model_version": "m-1", "from_the_future": [1],
        "class_names": ["dog", "cat"], "photos": {"folder": "/p"}, "formats": ["voc"],
    }  # fmt: skip
    (run / "run.json").write_text(json.dumps(written))
    done = export_predictions(run, run, ["coco"])
    assert (done.photos, done.regions) == (2, 2)
    facts = json.loads((run / "run.json").read_text())
    assert facts == {**written, "formats": ["voc", "coco"]}
    assert list(facts) == list(written)
    other = tmp_path / "other"
    export_predictions(run, other, ["coco", "voc"])
    assert json.loads((other / "run.json").read_text()) == {
        "command": "export", "state": "done", "model_version": "m-1", "formats": ["coco", "voc"],
    }  # fmt: skip
    assert (other / "coco" / FILE_OF_COCO).read_bytes() == (
        run / "coco" / FILE_OF_COCO
    ).read_bytes()


def test_export__a_lone_file_needs_the_folder_of_its_photos(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    write_predictions(file, PHOTOS)
    with pytest.raises(UserError, match="--photos"):
        export_predictions(file, tmp_path / "out", ["coco"])
    assert not (tmp_path / "out").exists()
    export_predictions(file, tmp_path / "out", ["coco"], photos=tmp_path)
    written = json.loads((tmp_path / "out" / "coco" / FILE_OF_COCO).read_text())
    assert [one["name"] for one in written["categories"]] == ["object 1", "object 2"]


def _coco(folder: Path, **changes: object) -> Path:
    """A COCO file of one photo with one annotation, in some way changed."""
    image = {"id": 1, "file_name": "x.jpg", "width": 10, "height": 8}
    square = [[1, 1, 5, 1, 5, 5, 1, 5]]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": square}
    data = {
        "images": [image],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [annotation | changes],
    }
    file = folder / "in.json"
    file.write_text(json.dumps(data))
    return file


@pytest.mark.parametrize(
    ("changes", "to", "reason"),
    [
        ({"category_id": 9}, "coco", "categories that are not there, left out"),
        ({"segmentation": [[1, 1]]}, "voc", "fewer than three points"),
        ({"iscrowd": 1}, "label-studio", "label-studio would keep none of the 1 regions"),
        ({"iscrowd": 1}, "label-studio", "1 crowds left out"),
    ],
)
def test_convert__if_everything_was_left_out_nothing_is_written(
    changes: dict[str, object], to: str, reason: str, tmp_path: Path
) -> None:
    source, out = _coco(tmp_path, **changes), tmp_path / "out"
    assert reason in refused("convert", source, out, "--to", to)
    assert not out.exists()
    # An earlier result stays, and an empty folder stays empty.
    convert(labelled(), out, to)
    before = _files(out)
    assert reason in refused("convert", source, out, "--to", to)
    assert {name: data for name, data in _files(out).items() if name != LOCK} == {
        name: data for name, data in before.items() if name != LOCK
    }
    (tmp_path / "empty").mkdir()
    assert reason in refused("convert", source, tmp_path / "empty", "--to", to)
    assert [name for name in _files(tmp_path / "empty") if name != LOCK] == []


def test_convert__no_photo_at_all(tmp_path: Path) -> None:
    source = _coco(tmp_path)
    data = json.loads(source.read_text())
    source.write_text(json.dumps({**data, "images": [], "annotations": []}))
    error = refused("convert", source, tmp_path / "out", "--to", "coco")
    assert_says(error, "no photo can be used", "there is none")
    source.write_text(json.dumps({**data, "images": [{"id": 1, "file_name": "x.jpg"}]}))
    error = refused("convert", source, tmp_path / "out", "--to", "coco")
    assert_says(error, "no photo can be used", "without usable width and height")
    assert not (tmp_path / "out").exists()


def test_convert__photos_that_have_no_objects_are_a_result(tmp_path: Path) -> None:
    source = _coco(tmp_path)
    data = json.loads(source.read_text())
    source.write_text(json.dumps({**data, "annotations": []}))
    for to in ("coco", "voc", "label-studio"):
        assert cli("convert", source, tmp_path / to, "--to", to).exit_code == 0


def test_export__a_format_that_would_hold_nothing(tmp_path: Path) -> None:
    unnamed = [structs.replace(region, cluster=-1) for region in PHOTOS[0].regions]
    write_predictions(tmp_path / FILE, [structs.replace(PHOTOS[0], regions=tuple(unnamed))])
    error = refused(
        *("export", tmp_path / FILE, "--out", tmp_path / "out", "--photos", tmp_path),
        *("--format", "coco", "--format", "label-studio"),
    )
    assert_says(error, "coco would keep none", "regions without a class, left out")
    # Label Studio holds regions without a class: that one is whole.
    assert not (tmp_path / "out/coco").exists()
    assert json.loads((tmp_path / "out/run.json").read_text())["formats"] == ["label-studio"]
    assert len(open_dataset(tmp_path / "out/label-studio").stream().__next__().regions) == 2
    error = refused(
        *("export", tmp_path / FILE, "--out", tmp_path / "alone", "--photos", tmp_path),
        *("--format", "coco"),
    )
    assert not (tmp_path / "alone").exists()
