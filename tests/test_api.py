"""The public API, used as its users use it."""

from __future__ import annotations

import ast
import inspect
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

import prelabel
from builders import box, prediction, region
from prelabel import (
    FittedModel,
    Prediction,
    config,
    export,
    fit,
    load_model,
    open_dataset,
    predict,
)
from prelabel.data.dataset import Dataset
from prelabel.errors import UserError
from prelabel.runs.predictions import write_predictions
from prelabel.runs.run import run
from prelabel.steps.photos import find_photos
from support.places import ROOT
from support.small_photos import tiny_config, write_scenes


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_scenes(folder, 6)
    return folder


@pytest.fixture(scope="module")
def model(photos: Path) -> FittedModel:
    return fit(photos, tiny_config("classes.count=2"))


def test_fit__takes_a_backbone_as_the_command_does(photos: Path) -> None:
    model = fit(photos, tiny_config("backbone.name=timm"), backbone="color-texture")
    assert model.config.backbone.name == "color-texture"
    assert model.config.features.size == tiny_config().features.size
    assert len(repr(model).splitlines()) == 1
    with pytest.raises(UserError, match="no such file"):
        fit(photos, backbone="nowhere.pth")


@pytest.fixture(scope="module")
def predictions(model: FittedModel, photos: Path) -> list[Prediction]:
    return list(predict(model, photos))


@pytest.fixture(scope="module")
def result(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `prelabel run` leaves."""
    out = tmp_path_factory.mktemp("result") / "out"
    run(find_photos(photos), out, tiny_config("classes.count=2"), formats=["coco"])
    return out


def test_fit_predict_export_and_open_again(
    model: FittedModel, predictions: list[Prediction], photos: Path, tmp_path: Path
) -> None:
    assert [p.photo for p in predictions] == sorted(
        file.relative_to(photos).as_posix() for file in photos.rglob("*.png")
    )
    written = export(predictions, tmp_path / "out", model=model, photos=photos)
    assert written == {"coco": tmp_path / "out" / "coco" / "instances.json"}
    coco = COCO(written["coco"])
    masks = [coco.annToMask(a).astype(bool) for a in coco.dataset["annotations"]]
    assert len(masks) == sum(len(p.regions) for p in predictions) > 0
    expected = [r.mask for p in predictions for r in p.regions]
    assert all(np.array_equal(a, b) for a, b in zip(masks, expected, strict=True))

    again = open_dataset(tmp_path / "out" / "coco")
    assert again.classes == model.class_names == ("object 1", "object 2")
    assert [p.regions for p in again.stream()] == [p.regions for p in predictions]


def test_mask__is_what_was_drawn() -> None:
    found = region(box(2, 1, 3, 4, photo=(6, 9))).mask
    assert found.dtype == np.bool_
    expected = np.zeros((6, 9), dtype=np.bool_)
    expected[1:5, 2:5] = True
    np.testing.assert_array_equal(found, expected)


def test_load_model__from_its_own_folder_and_from_a_runs(
    model: FittedModel, result: Path, tmp_path: Path
) -> None:
    model.save(str(tmp_path / "model"))
    assert load_model(tmp_path / "model").version == model.version
    assert load_model(str(result)).version == model.version
    with pytest.raises(UserError, match=r"model\.json"):
        load_model(tmp_path / "model" / "model")


def test_repr__of_a_model_is_one_line(model: FittedModel) -> None:
    assert repr(model) == (
        f"FittedModel('none (colour and texture)', 6 photos, 2 classes, version {model.version})"
    )


def test_export__the_same_from_a_run_its_file_a_dataset_and_predictions(
    model: FittedModel, predictions: list[Prediction], result: Path, photos: Path, tmp_path: Path
) -> None:
    sources: dict[str, str | Path | Dataset | Iterator[Prediction]] = {
        "run": result,
        "file": str(result / "predictions.jsonl"),
        "dataset": open_dataset(result),
        "generator": iter(predictions),
    }
    texts = {}
    for name, source in sources.items():
        written = export(source, tmp_path / name, ["coco", "voc"], model=model, photos=photos)
        assert list(written) == ["coco", "voc"]
        assert all(path.is_relative_to(tmp_path / name) for path in written.values())
        texts[name] = written["coco"].read_text()
    assert len(set(texts.values())) == 1


def test_export__into_the_runs_own_folder(result: Path) -> None:
    before = json.loads((result / "run.json").read_text())
    written = export(result, result, "label-studio")
    assert written["label-studio"].is_relative_to(result / "label-studio")
    after = json.loads((result / "run.json").read_text())
    assert after == before | {"formats": ["coco", "label-studio"]}


def test_export__predictions_need_their_model(
    predictions: list[Prediction], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="model=model"):
        export(predictions, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_export__unknown_names(model: FittedModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'coco'"):
        export([], tmp_path / "out", "cocoa", model=model)
    with pytest.raises(UserError, match="'polygons'"):
        export([], tmp_path / "out", model=model, settings={"coco": {"polygon": True}})
    assert not (tmp_path / "out").exists()


def test_export__settings_reach_the_format_and_notes_are_logged(
    model: FittedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ring = box(1, 1, 5, 5) & ~box(3, 3, 1, 1)
    with caplog.at_level(logging.WARNING):
        written = export(
            [prediction("a.jpg", region(ring), region(box(7, 1, 2, 2)))],
            tmp_path,
            model=model,
            settings={"coco": {"polygons": True}},
        )
    first, second = json.loads(written["coco"].read_text())["annotations"]
    assert isinstance(first["segmentation"], dict)  # a polygon has no hole
    assert second["segmentation"] == [[7, 1, 7, 3, 9, 3, 9, 1]]
    assert any(record.getMessage().startswith("1 ") for record in caplog.records)


def test_export__a_predictions_file_without_a_run_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    write_predictions(file, [prediction("a.jpg", region(box(1, 1, 2, 2), cluster=1))])
    with pytest.raises(UserError, match="photos"):
        export(file, tmp_path / "out")
    written = export(file, tmp_path / "out", photos=tmp_path)
    categories = json.loads(written["coco"].read_text())["categories"]
    assert [c["name"] for c in categories] == ["object 1", "object 2"]


def test_open_dataset__photos_take_the_place_of_what_the_source_says(
    result: Path, photos: Path, tmp_path: Path
) -> None:
    assert open_dataset(str(result)).photos == photos
    assert open_dataset(result, photos=tmp_path).photos == tmp_path
    with pytest.raises(UserError, match="no such file or folder"):
        open_dataset("nowhere")


DOCUMENTS = [
    str(path.relative_to(ROOT))
    for path in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    if "\n```python\n" in path.read_text("utf-8")
    and path.name != "plugins.md"  # its package is made from the templates, and tested there
]


def test_documents__are_found() -> None:
    assert {"docs/start.md", "docs/python.md"} <= {*DOCUMENTS}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents__their_code_runs(
    document: str, result: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(photos)
    (tmp_path / "labels.json").symlink_to(result / "coco" / "instances.json")
    monkeypatch.setattr("prelabel.pipeline.Config", tiny_config)  # whoever names no settings
    load = config.load
    small = ["backbone.name=color-texture"]
    monkeypatch.setattr(config, "load", lambda recipe, own: load(recipe, [*small, *own]))
    text = (ROOT / document).read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, document, "exec"), names)
    assert (tmp_path / "out" / "coco" / "instances.json").is_file()


# The package itself


def test_names__are_seen_by_type_checkers() -> None:
    tree = ast.parse(inspect.getsource(prelabel))
    (checking,) = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {
        alias.name: node.module
        for node in checking.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == prelabel._MODULES
    assert sorted(imported) == sorted(prelabel.__all__)
    assert set(prelabel.__all__) <= set(dir(prelabel))


def test_names__an_unknown_one_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        prelabel.no_such_name  # noqa: B018


@pytest.mark.parametrize("name", prelabel.__all__)
def test_names__say_what_they_return_or_show_it(name: str) -> None:
    text = inspect.getdoc(getattr(prelabel, name)) or ""
    assert "\nReturns:\n" in text or "\nExample:\n" in text


def test_import__is_lazy_and_nothing_public_needs_torch() -> None:
    code = """
import sys
import prelabel
print(sorted({"numpy", "cv2", "sklearn", "msgspec", "pydantic", "torch"} & sys.modules.keys()))
print([name for name in prelabel.__all__ if getattr(prelabel, name).__name__ != name])
print(sorted({"torch", "timm"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]", "[]"]
