"""Regions to the classes of the labels, where they are of one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from builders import box, prediction, region
from prelabel.label_classes import LabelClasses
from prelabel.model import FittedModel
from prelabel.segment import Segment
from prelabel.steps.taught import Facts, Taught
from support.small_models import small_model

Float = NDArray[np.float32]
CLASSES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
"""Directions of the classes that were found without labels."""


def _taught(exemplars: Float, classes: list[int]) -> Taught:
    facts = Facts(
        classes=("cat", "dog"), photos=2, weight=0.5, name_weight=0.5, scores={}, name_scores={}
    )
    return Taught(
        facts=facts,
        learned={},
        exemplars=exemplars,
        exemplar_classes=np.array(classes, dtype=np.float32),
    )


NEAR_FIRST = np.array([[1, 0, 0], [0.8, 0.6, 0]], dtype=np.float32)
"""A cat and a dog, both nearest to the first class that was found."""


def _classified(
    model: FittedModel, taught: Taught, vectors: Float, clusters: list[int], shares: Float
) -> list[int]:
    regions = tuple(region(box(i, 0, 1, 1), c) for i, c in enumerate(clusters))
    cls, pixel_hash = np.zeros(3, np.float16), np.zeros(16, np.uint8)
    segment = Segment("d", 10, 8, regions, vectors, shares, 0, cls, pixel_hash)
    found = LabelClasses(model, taught)(prediction("a.jpg", *regions), segment)
    return [r.cluster for r in found.regions]


@pytest.fixture
def model() -> FittedModel:
    return replace(small_model(dim=3), classes=CLASSES)


def test_label_classes__a_region_in_a_class_with_exemplars_is_of_the_nearest_one(
    model: FittedModel,
) -> None:
    vectors = np.array([[1, 0.1, 0], [0.8, 0.7, 0], [0, 0, 1]], dtype=np.float32)
    nothing = np.zeros((3, 2), dtype=np.float32)
    taught = _taught(NEAR_FIRST, [0, 1])
    # The third lies in a class without exemplars: found classes come after those of the labels.
    assert _classified(model, taught, vectors, [0, 0, 2], nothing) == [0, 1, 4]


def test_label_classes__the_learner_decides_where_it_is_sure(model: FittedModel) -> None:
    vectors = np.array([[0, 0, 1], [0, 0, 1]], dtype=np.float32)
    shares = np.array([[0.1, 0.7], [0.1, 0.1]], dtype=np.float32)
    taught = _taught(NEAR_FIRST, [0, 1])
    taught = replace(taught, facts=replace(taught.facts, name_weight=1.0))
    assert _classified(model, taught, vectors, [2, 2], shares) == [1, 4]


def test_label_classes__without_classes_that_were_found(model: FittedModel) -> None:
    bare = replace(model, classes=np.zeros((0, 0), dtype=np.float32))
    vectors = np.array([[1, 0, 0], [1, 0, 0]], dtype=np.float32)
    shares = np.array([[0.9, 0], [0.1, 0.1]], dtype=np.float32)
    taught = _taught(NEAR_FIRST, [0, 1])
    assert _classified(bare, taught, vectors, [-1, -1], shares) == [0, -1]


def test_label_classes__without_labels_or_regions(model: FittedModel) -> None:
    taught = _taught(NEAR_FIRST[:0], [])
    taught = replace(taught, facts=replace(taught.facts, classes=()))
    vectors = np.array([[1, 0, 0]], dtype=np.float32)
    assert _classified(model, taught, vectors, [1], np.zeros((1, 0), np.float32)) == [1]
    assert _classified(model, _taught(NEAR_FIRST, [0, 1]), vectors[:0], [], vectors[:0, :2]) == []


def test_label_classes__exemplars_of_another_length_name_nothing(model: FittedModel) -> None:
    taught = _taught(NEAR_FIRST[:, :2], [0, 1])
    vectors = np.array([[1, 0, 0]], dtype=np.float32)
    assert _classified(model, taught, vectors, [0], np.zeros((1, 2), np.float32)) == [2]
