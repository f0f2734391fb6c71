"""The teacher: what stays between two lessons changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prelabel.config import change
from prelabel.labelled_photos import labelled_photos, match
from prelabel.model import FittedModel
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.pipeline import fit
from prelabel.segment import Segmenter
from prelabel.steps.patch_labels import LabelledPhoto
from prelabel.steps.photos import find_photos
from prelabel.steps.taught import Taught
from prelabel.storage.progress import RunLog
from prelabel.strategies.protocols import MoreRegions
from prelabel.teacher import Teacher
from support.command_line import disc_labels, write_discs
from support.small_photos import tiny_config


@pytest.fixture(scope="module")
def lesson(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[FittedModel, PhotoSegmenter, list[LabelledPhoto]]:
    """A model without labels, and five labelled photos of its dataset."""
    folder = write_discs(tmp_path_factory.mktemp("teacher") / "photos", 5)
    model = fit(folder, tiny_config())
    segmenter = PhotoSegmenter(model, model.config, keep_features=True)
    labels = disc_labels(folder, [f"photo {i}.png" for i in range(5)])
    matched = match(labels, find_photos(folder).photos)
    known = labelled_photos(matched, labels, segmenter, RunLog(), complete=True)
    return model, segmenter, [photo for _, photo in known]


def _bits(taught: Taught) -> tuple[object, ...]:
    arrays = taught.to_arrays()
    return (taught.facts, *((name, arrays[name].tobytes()) for name in sorted(arrays)))


Lesson = tuple[FittedModel, PhotoSegmenter, list[LabelledPhoto]]


def test_teach__a_photo_that_was_removed_leaves_no_trace(lesson: Lesson) -> None:
    model, segmenter, known = lesson
    teacher = Teacher(model, segmenter.known_features)
    all_of_them = teacher.teach(known)
    for removed in (0, 4):
        rest = [photo for i, photo in enumerate(known) if i != removed]
        without = teacher.teach(rest)
        assert _bits(without) == _bits(Teacher(model, segmenter.known_features).teach(rest))
        assert _bits(without) != _bits(all_of_them)
    assert _bits(teacher.teach(known)) == _bits(all_of_them)


def test_teach__a_label_that_was_wrong_and_is_corrected_leaves_no_trace(lesson: Lesson) -> None:
    model, segmenter, known = lesson
    teacher = Teacher(model, segmenter.known_features)
    right = teacher.teach(known)
    wrong = [replace(known[0], regions=(replace(known[0].regions[0], name="green"),)), *known[1:]]
    assert teacher.teach(wrong).facts.classes == ("blue", "green", "red")
    assert _bits(teacher.teach(known)) == _bits(right)


def test_teach__what_a_model_was_taught_before_does_not_count(lesson: Lesson) -> None:
    model, segmenter, known = lesson
    first = Teacher(model, segmenter.known_features).teach(known)
    again = Teacher(replace(model, taught=first), segmenter.known_features).teach(known[:3])
    assert _bits(again) == _bits(Teacher(model, segmenter.known_features).teach(known[:3]))


def test_segmenter__of_what_taught_nothing_finds_what_levels_find(
    lesson: Lesson, tmp_path: Path
) -> None:
    from prelabel.data.images import read_image

    model, segmenter, known = lesson
    folder = write_discs(tmp_path / "photos", 5)
    image = read_image(folder / "photo 3.png")
    [features] = segmenter.features([image])
    empty = [replace(photo, regions=()) for photo in known]  # all background
    taught = Teacher(model, segmenter.known_features).teach(empty)
    assert taught.facts.weight == 0
    plain = Segmenter(model).find(image, features)
    found = Segmenter(replace(model, taught=taught)).find(image, features)
    assert found.regions == plain.regions
    assert np.array_equal(found.masks, plain.masks)


def test_segmenter__makes_more_regions_where_labels_say_so(lesson: Lesson) -> None:
    model, segmenter, known = lesson
    model = replace(model, config=change(model.config, ["separator.name=merge"]))
    taught = Teacher(model, segmenter.known_features).teach(known)
    separator = Segmenter(replace(model, taught=taught)).separator
    assert separator == model.config.strategy("separator")
    more = replace(taught, facts=replace(taught.facts, more_regions=True))
    assert more.digest != taught.digest
    found = Segmenter(replace(model, taught=more)).separator
    assert isinstance(separator, MoreRegions)
    assert found == separator.with_more_regions()
    plain = replace(model, taught=more, config=change(model.config, ["separator.name=connected"]))
    assert Segmenter(plain).separator == plain.config.strategy("separator")
