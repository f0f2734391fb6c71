"""What a run says of all its regions and photos."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from builders import box, prediction, region
from prelabel import config
from prelabel.data.records import Prediction
from prelabel.runs.facts import GroupFacts
from prelabel.runs.survey import Survey
from prelabel.segment import Segment

N = 30


def stream() -> Iterator[tuple[Prediction, Segment]]:
    """Photos with two regions each, of two kinds but of one class; the third photo is like the first."""
    rng = np.random.default_rng(0)
    for i in range(N):
        regions = (region(box(0, 0, 2, 2), 0), region(box(4, 0, 2, 2), 0))
        vectors = np.eye(6, dtype=np.float32)[:2] + rng.normal(0, 0.01, (2, 6)).astype(np.float32)
        cls = np.array([1, 0] if i in (0, 2) else [0, 1], dtype=np.float16)
        pixel_hash = rng.integers(0, 256, 16, dtype=np.uint8) if i not in (0, 2) else np.zeros(16)
        yield (
            prediction(f"{i}.jpg", *regions),
            Segment(
                digest="d",
                width=10,
                height=8,
                regions=regions,
                embeddings=vectors,
                shares=np.zeros((2, 0), dtype=np.float32),
                dropped=0,
                cls=cls,
                pixel_hash=pixel_hash.astype(np.uint8),
            ),
        )


def test_survey__of_a_fixed_number_of_classes() -> None:
    survey = Survey(config.load("fast", ["classes.count=1"]))
    assert list(survey.watch(stream())) == [one for one, _ in stream()]
    assert survey.near_identical() == [["0.jpg", "2.jpg"]]
    facts = survey.region_groups()
    assert facts is not None
    assert (facts.regions, facts.groups, facts.class_silhouette) == (2 * N, 2, None)
    assert facts.group_silhouette == pytest.approx(1, abs=0.01)


def test_survey__groups_are_not_compared_with_themselves() -> None:
    survey = Survey(config.load("fast", ["classes.count=auto"]))
    assert len(list(survey.watch(stream()))) == N
    assert survey.region_groups() is None


def test_survey__of_nothing() -> None:
    survey = Survey(config.load("fast"))
    assert survey.near_identical() == []
    assert survey.region_groups() == GroupFacts(0, 50)
