"""Labels of a dataset: matched with photos, and what is known of each photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from builders import box, prediction, region
from prelabel.data.dataset import Dataset
from prelabel.data.records import Image, ImageFile, PatchFeatures, Prediction
from prelabel.errors import UserError
from prelabel.labelled_photos import labelled_photos, match
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.pipeline import fit
from prelabel.steps.patch_labels import LabelledPhoto
from prelabel.steps.photos import find_photos
from prelabel.storage.progress import RunLog
from support.command_line import write_discs
from support.messages import assert_says
from support.small_photos import tiny_config

Float = NDArray[np.float32]
SIZE = (64, 96)
CAT = region(box(10, 10, 20, 20, photo=SIZE), 1)


def _files(*names: str) -> list[ImageFile]:
    return [ImageFile(name, Path(name)) for name in names]


def _labels(*predictions: Prediction) -> Dataset:
    return Dataset(None, ("dog", "cat"), lambda: iter(predictions))


def _named(*names: str) -> Dataset:
    return _labels(*(prediction(name, CAT) for name in names))


def test_match__by_name() -> None:
    labels = _named("b/1.jpg", "a/1.jpg")
    matched = match(labels, _files("a/1.jpg", "b/1.jpg", "c.jpg"))
    assert [(file.name, own.photo) for file, own in matched] == [
        ("b/1.jpg", "b/1.jpg"),
        ("a/1.jpg", "a/1.jpg"),
    ]
    assert not labels.problems.counts


def test_match__by_the_last_part_where_one_photo_has_it() -> None:
    matched = match(_named("export/images/1.jpg", "2.jpg"), _files("a/1.jpg", "b/2.jpg"))
    assert [file.name for file, _ in matched] == ["a/1.jpg", "b/2.jpg"]


def test_match__not_by_a_last_part_that_several_have() -> None:
    labels = _named("images/1.jpg", "c.jpg")
    matched = match(labels, _files("a/1.jpg", "b/1.jpg", "c.jpg"))
    assert [file.name for file, _ in matched] == ["c.jpg"]
    (line,) = labels.problems.lines()
    assert_says(line, "1 ", "not among the photos", "images/1.jpg")


def test_match__without_the_ending_that_voc_does_not_keep() -> None:
    labels = _named("a/1.jpg", "2", "b/1.bmp")
    matched = match(labels, _files("a/1.png", "c/2.png", "b/1.tif", "b/1.gif"))
    assert [file.name for file, _ in matched] == ["a/1.png", "c/2.png"]
    (line,) = labels.problems.lines()
    assert_says(line, "1 ", "not among the photos", "b/1.bmp")


def test_match__the_whole_name_goes_before_a_part_of_it() -> None:
    labels = _named("old/1.png", "1.png")
    ((_, kept),) = match(labels, _files("1.png"))
    assert kept.photo == "1.png"
    assert "twice" in labels.problems.lines()[0]


def test_match__a_label_without_a_name() -> None:
    labels = _named("", "1.png")
    assert len(match(labels, _files("1.png"))) == 1


def test_match__accents_as_macos_writes_them() -> None:
    composed, decomposed = "caf\u00e9.jpg", "cafe\u0301.jpg"
    ((file, _),) = match(_named(composed), _files(decomposed))
    assert file.name == decomposed


def test_match__a_photo_twice() -> None:
    labels = _named("1.jpg", "other/1.jpg")
    ((_, found),) = match(labels, _files("1.jpg"))
    assert found.photo == "1.jpg"
    (line,) = labels.problems.lines()
    assert_says(line, "twice", "1.jpg")


@pytest.mark.parametrize("names", [["other.jpg"], ["x/1.jpg"]])
def test_match__none_fits(names: Sequence[str]) -> None:
    with pytest.raises(UserError) as error:
        match(_named(*names), _files("a/1.jpg", "b/1.jpg"))
    assert_says(error.value, "none of the photos", repr(names[0]), "'a/1.jpg'")


def test_match__labels_without_a_photo() -> None:
    with pytest.raises(UserError, match="hold no photo"):
        match(_named(), _files("a.jpg"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_discs(tmp_path_factory.mktemp("labelled") / "photos", 3)


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> PhotoSegmenter:
    model = fit(folder, tiny_config())
    return PhotoSegmenter(model, model.config, keep_features=True)


def _known(
    folder: Path, segmenter: PhotoSegmenter, labels: Dataset, log: RunLog, *, complete: bool = True
) -> list[LabelledPhoto]:
    matched = match(labels, find_photos(folder).photos)
    found = labelled_photos(matched, labels, segmenter, log, complete=complete)
    return [photo for _, photo in found]


def test_labelled_photos__regions_and_what_is_unknown(
    folder: Path, segmenter: PhotoSegmenter
) -> None:
    crowd = structs.replace(CAT, crowd=True)
    without_class = structs.replace(CAT, cluster=-1)
    as_box = structs.replace(CAT, cluster=0, is_box=True)
    labels = _labels(prediction("photo 1.png", CAT, crowd, without_class, as_box))
    (photo,) = _known(folder, segmenter, labels, RunLog())
    drawn, boxed = photo.regions
    assert (drawn.name, drawn.rle, drawn.weight) == ("cat", CAT.rle, 1)
    assert boxed.name == "dog"
    assert 0 < boxed.weight < 1
    assert photo.unknown == (CAT.rle, CAT.rle)
    assert photo.complete
    assert drawn.vector is not None
    assert boxed.vector is not None
    assert drawn.vector.shape == boxed.vector.shape
    assert drawn.vector.dtype == np.float32


def test_labelled_photos__partial(folder: Path, segmenter: PhotoSegmenter) -> None:
    labels = _labels(prediction("photo 0.png", CAT))
    (photo,) = _known(folder, segmenter, labels, RunLog(), complete=False)
    assert not photo.complete


def test_labelled_photos__without_objects(folder: Path, segmenter: PhotoSegmenter) -> None:
    (photo,) = _known(folder, segmenter, _labels(prediction("photo 0.png", size=SIZE)), RunLog())
    assert photo.regions == ()
    assert photo.complete


def test_labelled_photos__a_pixel_has_a_vector(folder: Path, segmenter: PhotoSegmenter) -> None:
    pixel = region(box(95, 63, 1, 1, photo=SIZE), 0)
    (photo,) = _known(folder, segmenter, _labels(prediction("photo 0.png", pixel)), RunLog())
    assert photo.regions[0].vector is not None
    assert np.isfinite(photo.regions[0].vector).all()


def test_labelled_photos__of_another_size_are_left_out(
    folder: Path, segmenter: PhotoSegmenter
) -> None:
    other = prediction("photo 0.png", region(box(0, 0, 5, 5, photo=(32, 48)), 0))
    labels = _labels(other, prediction("photo 1.png", CAT))
    (photo,) = _known(folder, segmenter, labels, RunLog())
    assert photo.regions[0].rle == CAT.rle
    (line,) = labels.problems.lines()
    assert_says(line, "another size", "photo 0.png", "48 × 32", "96 × 64")


def test_labelled_photos__that_cannot_be_read_are_skipped(
    tmp_path: Path, segmenter: PhotoSegmenter
) -> None:
    photos = write_discs(tmp_path / "photos", 2)
    (photos / "photo 0.png").write_bytes(b"no picture")
    log = RunLog()
    labels = _labels(prediction("photo 0.png", CAT), prediction("photo 1.png", CAT))
    (photo,) = _known(photos, segmenter, labels, log)
    assert list(log.skipped) == ["photo 0.png"]
    assert photo.regions[0].name == "cat"


def test_labelled_photos__a_class_without_a_name_teaches_nothing(
    folder: Path, segmenter: PhotoSegmenter
) -> None:
    labels = replace(_labels(prediction("photo 0.png", CAT)), classes=("dog", ""))
    (photo,) = _known(folder, segmenter, labels, RunLog())
    assert photo.regions == ()
    assert photo.unknown == (CAT.rle,)


def test_labelled_photos__vectors_come_from_the_cache(
    folder: Path, segmenter: PhotoSegmenter, monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    others = [region(box(i, 5, 9, 9, photo=SIZE), 0) for i in range(70)]
    labels = _labels(prediction("photo 0.png", CAT, *others))
    calls: list[int] = []
    embed = segmenter.embed

    def counted(image: Image, features: PatchFeatures, masks: NDArray[np.bool_]) -> Float:
        calls.append(len(masks))
        return embed(image, features, masks)

    monkeypatch.setattr(segmenter, "embed", counted)
    (first,) = _known(folder, segmenter, labels, RunLog())
    assert sum(calls) == 71
    assert max(calls) < 40  # masks in memory at once
    (again,) = _known(folder, segmenter, labels, RunLog())
    assert sum(calls) == 71
    for one, other in zip(first.regions, again.regions, strict=True):
        assert one.vector is not None
        assert other.vector is not None
        assert np.array_equal(one.vector, other.vector)
    changed = _labels(prediction("photo 0.png", *others))
    _known(folder, segmenter, changed, RunLog())
    assert sum(calls) == 71 + 70


def test_labelled_photos__the_labels_are_not_changed(
    folder: Path, segmenter: PhotoSegmenter
) -> None:
    labels = _labels(prediction("photo 0.png", CAT))
    before = list(labels.stream())
    _known(folder, segmenter, labels, RunLog())
    assert list(labels.stream()) == before
