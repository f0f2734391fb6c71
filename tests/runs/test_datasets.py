"""Opening labels from runs, predictions files and other formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from prelabel.errors import UserError
from prelabel.runs.datasets import open_dataset
from prelabel.runs.export import convert
from prelabel.runs.facts import FolderFacts, PhotoFolder
from prelabel.runs.folder import write_facts
from prelabel.runs.predictions import FILE, write_predictions
from prelabel.strategies import registry
from prelabel_exporters.label_studio.writer import LabelStudio
from support.labelled_photos import PHOTOS, labelled


def test_open__a_reader_that_raises_costs_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(labelled(), tmp_path / "a", "coco")

    def broken(*_: object) -> bool:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(LabelStudio, "recognizes", broken)
    monkeypatch.setattr(registry, "names", lambda _: ["label-studio", "coco"])
    assert open_dataset(tmp_path / "a").classes == labelled().classes
    (tmp_path / "text.json").write_text("{}")
    with pytest.raises(UserError, match=r"label-studio failed \(ZeroDivisionError: a bug\)"):
        open_dataset(tmp_path / "text.json")


def test_open__predictions_under_another_name(tmp_path: Path) -> None:
    write_predictions(tmp_path / "mine.jsonl", PHOTOS)
    assert list(open_dataset(tmp_path / "mine.jsonl").stream()) == PHOTOS


def test_open__a_run_knows_its_classes_and_photos(tmp_path: Path) -> None:
    write_predictions(tmp_path / FILE, PHOTOS)
    facts = FolderFacts("run", "done", "m-7", class_names=["dog", "cat"], photos=PhotoFolder("/p"))
    write_facts(tmp_path, facts)
    for source in (tmp_path, tmp_path / FILE):
        found = open_dataset(source)
        assert (found.classes, found.photos) == (("dog", "cat"), Path("/p"))
        assert found.model_version == "m-7"
        assert list(found.stream()) == PHOTOS
    assert open_dataset(tmp_path, photos=tmp_path / "here").photos == tmp_path / "here"


def test_open__classes_without_names_are_numbered(tmp_path: Path) -> None:
    write_predictions(tmp_path / "mine.jsonl", PHOTOS)
    found = open_dataset(tmp_path / "mine.jsonl")
    assert found.classes == ("object 1", "object 2")
    assert (found.photos, found.model_version) == (None, "m-1")


def test_open__what_can_be_written_but_not_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'boxes' can be written but not read"):
        open_dataset(tmp_path, format="boxes")
