"""Folders of class masks: recognised, read, and what is wrong with one counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from prelabel.data.colors import voc_color
from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel.runs.datasets import open_dataset

NAMES: Any = {"0": "background", "1": "cat", "3": "dog"}


def _folder(root: Path, names: Any = NAMES, **masks: Any) -> Path:
    (root / "masks").mkdir(parents=True)
    (root / "classes.json").write_text(json.dumps(names))
    for name, values in masks.items():
        Image.fromarray(np.asarray(values, dtype=np.uint8)).save(root / "masks" / f"{name}.png")
    return root


def _only(root: Path) -> Prediction:
    (found,) = open_dataset(root).stream()
    return found


A = [[1, 0, 1, 3], [255, 0, 1, 3]]


@pytest.mark.parametrize("inside", ["", "masks"])
def test_read__a_region_for_each_class_and_void_as_a_crowd(tmp_path: Path, inside: str) -> None:
    dataset = open_dataset(_folder(tmp_path / "x", a=A) / inside)
    assert dataset.classes == ("cat", "object 2", "dog")
    assert not dataset.has_objects
    (found,) = dataset.stream()
    assert (found.photo, found.width, found.height) == ("a.jpg", 4, 2)
    cat, dog, void = found.regions
    assert cat.mask.tolist() == [[True, False, True, False], [False, False, True, False]]
    assert (cat.cluster, dog.cluster, void.cluster) == (0, 2, -1)
    assert (dog.box, dog.area) == ((3, 0, 1, 2), 2)
    assert (void.crowd, cat.crowd, found.foreground) == (True, False, 5 / 8)
    assert dataset.problems.lines() == []


@pytest.mark.parametrize("mode", ["P", "I;16"])
def test_read__other_modes_of_one_channel(tmp_path: Path, mode: str) -> None:
    root = _folder(tmp_path / "x")
    image = Image.fromarray(np.array(A, dtype=np.uint16 if mode == "I;16" else np.uint8))
    if mode == "P":
        image.putpalette([9, 9, 9] * 256)
    image.save(root / "masks" / "a.png")
    assert [region.cluster for region in _only(root).regions] == [0, 2, -1]


def test_read__a_rewritten_palette_by_its_colours(tmp_path: Path) -> None:
    root = _folder(tmp_path / "x")
    image = Image.fromarray(np.array([[2, 1, 2, 0]], dtype=np.uint8))
    # VOC's colours of 3, 0 and 1.
    image.putpalette([*voc_color(3), *voc_color(0), *voc_color(1)])
    image.save(root / "masks" / "a.PNG")
    assert [(r.cluster, r.area) for r in _only(root).regions] == [(0, 2), (2, 1)]


def test_read__photos_beside_the_masks_give_their_names(tmp_path: Path) -> None:
    root = _folder(tmp_path / "x", a=A, b=A, c=A)
    (root / "images").mkdir()
    Image.new("RGB", (4, 2)).save(root / "images" / "a.webp")
    Image.new("RGB", (5, 2)).save(root / "images" / "b.png")
    dataset = open_dataset(root)
    assert dataset.photos == root / "images"
    assert [found.photo for found in dataset.stream()] == ["a.webp", "c.jpg"]
    assert list(dataset.problems.counts) == ["labels of another size than their photo, left out"]


def test_read__names_as_a_list(tmp_path: Path) -> None:
    root = _folder(tmp_path / "x", ["background", "cat"], a=[[1, 0]])
    assert open_dataset(root).classes == ("cat",)


def test_read__what_is_wrong_with_one_mask_costs_that_mask(tmp_path: Path) -> None:
    root = _folder(tmp_path / "x", a=[[1, 2]])
    Image.new("RGB", (2, 2)).save(root / "masks" / "colours.png")
    (root / "masks" / "broken.png").write_bytes(b"no picture")
    dataset = open_dataset(root)
    assert [found.photo for found in dataset.stream()] == ["a.jpg"]
    assert dataset.problems.counts == {
        "masks that cannot be read, left out": 2,
        "masks with values that classes.json does not name, read as background": 1,
    }


@pytest.mark.parametrize("names", [7, {"x": "cat"}, {"0": "background"}, [], None])
def test_read__names_that_are_none(tmp_path: Path, names: Any) -> None:
    with pytest.raises(UserError, match=r"classes\.json"):
        open_dataset(_folder(tmp_path / "x", names, a=A))


def test_recognizes__needs_both(tmp_path: Path) -> None:
    root = _folder(tmp_path / "x", a=A)
    (root / "classes.json").unlink()
    with pytest.raises(UserError, match="neither of a known format"):
        open_dataset(root)
    with pytest.raises(UserError, match="neither of a known format"):
        open_dataset(_folder(tmp_path / "y"))
