"""Names from exemplars and a learner together; vectors in the plane, shares by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prelabel.label_studio.names.region_names import name_by_both
from prelabel.steps.exemplars import Exemplar, Names
from prelabel.steps.taught import Facts, Taught
from support.exemplars import CENTROIDS, CLUSTERER, at, vector

CLASSES = ("cat", "dog")
CAT, DOG, NEITHER = (0.8, 0.1), (0.1, 0.8), (0.2, 0.1)
"""Shares of regions: cat, dog, and what is hardly foreground."""
LEARNER_ALONE = 1.0
EAST, NORTH, WEST = range(3)
"""Classes that were found, by the direction of their centroids."""


def taught(*exemplars: Exemplar, name_weight: float = LEARNER_ALONE) -> Taught:
    named = [e for e in exemplars if e.counts_as]
    facts = Facts(
        classes=CLASSES, photos=1, weight=1.0, name_weight=name_weight, scores={}, name_scores={}
    )
    vectors = np.stack([e.embedding for e in named]) if named else np.zeros((0, 2))
    numbers = [CLASSES.index(e.counts_as) for e in named]
    return Taught(
        facts=facts,
        learned={"a": np.zeros(1, dtype=np.float32)},
        exemplars=vectors.astype(np.float32),
        exemplar_classes=np.array(numbers, dtype=np.float32),
    )


def name(
    exemplars: list[Exemplar],
    degrees: float,
    cluster: int,
    shares: tuple[float, ...],
    *,
    name_weight: float = LEARNER_ALONE,
) -> tuple[str | None, bool]:
    """The name of one region, and whether people have said it."""
    names = Names(exemplars, CENTROIDS, clusterer=CLUSTERER)
    given = np.array([shares], dtype=np.float32)
    learner = taught(*exemplars, name_weight=name_weight)
    [found] = name_by_both(names, learner, vector(degrees)[None], [cluster], given)
    return found


def test_both__the_learner_speaks_where_exemplars_of_the_class_say_otherwise() -> None:
    exemplars = [at(5, "cat"), at(-5, "cat")]
    assert name(exemplars, 0, EAST, DOG) == ("dog", True)
    assert name(exemplars, 0, EAST, CAT) == ("cat", True)
    # By leave-one-out exemplars may be right more often.
    assert name(exemplars, 0, EAST, DOG, name_weight=0.0) == ("cat", True)


def test_both__a_class_without_exemplars_has_a_name_if_the_learner_is_sure() -> None:
    exemplars = [at(0, "cat")]
    assert name(exemplars, 90, NORTH, DOG) == ("dog", True)
    assert name(exemplars, 90, NORTH, NEITHER) == (None, False)


def test_both__the_only_class_so_far_is_not_that_of_every_object() -> None:
    exemplars = [at(0, "cat")]
    names = Names(exemplars, CENTROIDS, clusterer=CLUSTERER)
    learner = taught(*exemplars)
    alone = replace(learner, facts=replace(learner.facts, classes=("cat",)))
    vectors, shares = np.stack([vector(5), vector(90)]), np.array([[0.9], [0.9]], np.float32)
    found = name_by_both(names, alone, vectors, [EAST, NORTH], shares)
    assert found == [("cat", True), (None, False)]


def test_both__a_class_that_was_named_outright_keeps_its_name() -> None:
    outright = Exemplar("centroid:x", None, vector(0), "cat")
    assert name([outright], 0, EAST, DOG) == ("cat", True)
    assert name([replace(outright, name="")], 0, EAST, DOG) == (None, True)
    # Until somebody has called one of its regions otherwise.
    assert name([outright, at(10, "dog")], 0, EAST, DOG) == ("dog", True)


@pytest.mark.parametrize("shares", [DOG, NEITHER])
def test_both__what_is_most_like_a_deleted_region_has_no_name(shares: tuple[float, ...]) -> None:
    exemplars = [at(20, ""), at(-20, "dog")]
    assert name(exemplars, 15, EAST, shares) == (None, True)
    assert name(exemplars, -15, EAST, shares, name_weight=0.0) == ("dog", True)


def test_both__a_deleted_region_elsewhere_does_not_count() -> None:
    """The region lies in a class of deleted ones, but is more like a dog of another class."""
    exemplars = [at(-40, ""), at(50, "dog")]
    assert name(exemplars, 44, EAST, DOG) == ("dog", True)


def test_without_a_learner__exemplars_alone_name() -> None:
    names = Names([at(0, "cat")], CENTROIDS, clusterer=CLUSTERER)
    none = np.zeros((2, 0), dtype=np.float32)
    vectors = np.stack([vector(0), vector(90)])
    assert name_by_both(names, None, vectors, [EAST, NORTH], none) == [("cat", True), (None, False)]
