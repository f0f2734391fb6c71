"""Scores of settings: on photos that are left out, by evaluation's own figures."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from builders import box, prediction, region
from prelabel import config, fit, predict
from prelabel.data.dataset import Dataset
from prelabel.data.masks import Mask
from prelabel.errors import UserError
from prelabel.evaluation import evaluate
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.steps.features import Extractor
from prelabel.steps.photos import PhotoSet, find_photos
from prelabel.storage.progress import Silent
from prelabel.tuning import leave_out
from prelabel.tuning.leave_out import LeaveOut, Score, standard_error
from support.command_line import disc_labels, write_discs
from support.messages import assert_says

SETTINGS = ["backbone.name=color-texture", "features.size=112"]


def test_standard_error() -> None:
    assert standard_error([0.2, 0.4, 0.9]) == pytest.approx(math.sqrt(0.13 / 3))  # variance 0.13
    assert standard_error([0.3]) == 0


def test_score__mean_and_gain_on_the_same_photos() -> None:
    one = Score({"a": 0.5, "b": 0.7, "c": 0.9}, 0.1)
    other = Score({"b": 0.6, "a": 0.2, "d": 0.1}, 0.1)
    assert one.mean == pytest.approx(0.7)
    assert one.error == pytest.approx(0.2 / math.sqrt(3))
    gain, error = one.gain_over(other)
    assert gain == pytest.approx((0.3 + 0.1) / 2)
    assert error == pytest.approx(0.1)  # of 0.3 and 0.1: deviation 0.1414, over √2


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> PhotoSet:
    """Six photos with a disc each."""
    return find_photos(write_discs(tmp_path_factory.mktemp("tuning") / "photos", 6))


def _labels(photos: PhotoSet, n: int) -> Dataset:
    assert isinstance(photos.root, Path)
    return disc_labels(photos.root, [photo.name for photo in photos.photos[:n]])


@pytest.mark.slow
def test_measure__equals_leaving_each_photo_out_by_hand(photos: PhotoSet) -> None:
    right = _labels(photos, 4)
    first, *others_right = right.stream()
    inverse = region(~first.regions[0].mask, first.regions[0].cluster)
    # One label that the others contradict: what it teaches must not be in what it is compared with.
    labels = replace(
        right, stream=lambda: iter([structs.replace(first, regions=(inverse,)), *others_right])
    )
    settings = config.load("fast", SETTINGS)
    score = LeaveOut(photos, labels).measure(settings, Silent())

    unlabelled = fit(photos, settings)
    truth = list(labels.stream())
    found = {}
    for i, one in enumerate(truth):  # fewer than 5: each is a fold of its own
        rest = [p for p in truth if p is not one]
        others = Dataset(photos.root, labels.classes, partial(iter, rest))
        taught = fit(photos, settings, labels=others).taught
        model = replace(unlabelled, taught=taught)
        alone = PhotoSet(photos.root, (photos.photos[i],))
        (own,) = predict(model, alone)
        masks: list[Mask] = [np.asarray(r.mask) for r in own.regions]
        mask = np.logical_or.reduce([np.zeros_like(one.regions[0].mask), *masks])
        true = one.regions[0].mask
        found[one.photo] = float((mask & true).sum() / (mask | true).sum())
    assert score.photos == pytest.approx(found)


@pytest.mark.slow
def test_measure__is_deterministic_and_the_same_from_the_cache(photos: PhotoSet) -> None:
    settings = config.load("fast", SETTINGS)
    scores = [LeaveOut(photos, _labels(photos, 3)).measure(settings, Silent()) for _ in range(2)]
    assert scores[0] == scores[1]


def test_measure__continues_from_the_cache(
    photos: PhotoSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config.load("fast", SETTINGS)
    expected = LeaveOut(photos, _labels(photos, 3)).measure(settings, Silent())

    def computed(_: object, of: object, *__: object) -> list[object]:
        assert not of, "features, regions or vectors were computed again"
        return []

    for owner, name in (
        (Extractor, "extract"),
        (PhotoSegmenter, "find"),
        (PhotoSegmenter, "embed"),
    ):
        monkeypatch.setattr(owner, name, computed)
    assert LeaveOut(photos, _labels(photos, 3)).measure(settings, Silent()) == expected


def test_leave_out__at_most_so_many_photos(
    photos: PhotoSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leave_out, "_MOST_LABELLED", 3)
    score = LeaveOut(photos, _labels(photos, 6)).measure(config.load("fast", SETTINGS), Silent())
    assert len(score.photos) == 3


def test_measure__time_saved_is_that_of_evaluation(photos: PhotoSet) -> None:
    labels = _labels(photos, 3)
    score = LeaveOut(photos, labels).measure(config.load("fast", SETTINGS), Silent())
    truth = list(labels.stream())
    perfect = evaluate(labels, labels, classes="by-name", only=("objects",)).figures.objects
    assert perfect is not None
    assert score.time_saved is not None
    assert perfect.time_saved is not None
    assert score.time_saved <= perfect.time_saved
    assert len(score.photos) == len(truth)


def test_measure__masks_of_classes_have_no_time(photos: PhotoSet) -> None:
    labels = replace(_labels(photos, 3), has_objects=False)
    score = LeaveOut(photos, labels).measure(config.load("fast", SETTINGS), Silent())
    assert score.time_saved is None
    assert len(score.photos) == 3


def test_measure__a_photo_without_an_object_counts_what_is_left_free(photos: PhotoSet) -> None:
    labels = _labels(photos, 3)
    empty = prediction(photos.photos[3].name, size=(64, 96), version="")
    with_empty = replace(labels, stream=lambda: iter([*labels.stream(), empty]))
    score = LeaveOut(photos, with_empty).measure(config.load("fast", SETTINGS), Silent())
    assert set(score.photos) == {photo.name for photo in photos.photos[:4]}
    # The disc in it covers 16.6 % of the photo.
    assert score.photos[empty.photo] == pytest.approx(1 - math.pi * 18**2 / (64 * 96), abs=0.1)


def test_leave_out__needs_three_labelled_photos(photos: PhotoSet) -> None:
    with pytest.raises(UserError) as error:
        LeaveOut(photos, _labels(photos, 2))
    assert_says(error.value, "found 2 labelled photos", "at least 3")


def test_leave_out__photos_that_cannot_be_used_do_not_count(photos: PhotoSet) -> None:
    labels = _labels(photos, 2)
    other_size = prediction(
        photos.photos[2].name, region(box(0, 0, 5, 5, photo=(20, 20))), version=""
    )
    made = replace(labels, stream=lambda: iter([*labels.stream(), other_size]))
    with pytest.raises(UserError) as error:
        LeaveOut(photos, made).measure(config.load("fast", SETTINGS), Silent())
    assert_says(error.value, "found 2 labelled photos that can be used", "another size")


@pytest.mark.slow
def test_leave_out__problems_of_labels_are_counted_once(photos: PhotoSet) -> None:
    labels = _labels(photos, 3)
    other_size = prediction(
        photos.photos[4].name, region(box(0, 0, 5, 5, photo=(20, 20))), version=""
    )
    made = replace(labels, stream=lambda: iter([*labels.stream(), other_size]))
    leave_out = LeaveOut(photos, made)
    for size in (112, 126):
        settings = config.load("fast", [SETTINGS[0], f"features.size={size}"])
        assert len(leave_out.measure(settings, Silent()).photos) == 3
    assert list(made.problems.counts.values()) == [1]


def test_leave_out__does_not_write_to_the_folder_of_photos(tmp_path: Path) -> None:
    folder = write_discs(tmp_path / "photos", 3)
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    own = find_photos(folder)
    LeaveOut(own, _labels(own, 3)).measure(config.load("fast", SETTINGS), Silent())
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == before
