"""Scores of regions: an estimate of the P that they are objects."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from prelabel.steps.region_scores import object_scores, region_facts

LEFT = np.zeros((4, 8), dtype=np.bool_)
LEFT[:, :4] = True
CORNER = np.zeros((4, 8), dtype=np.bool_)
CORNER[:2, 6:] = True


def _vectors() -> NDArray[np.float32]:
    """2 × 4 patches of 2 × 2 pixels: the left half (1, 0), the corner (-1, 1), the rest (0, 1)."""
    vectors = np.zeros((2, 4, 2), dtype=np.float32)
    vectors[:, :2] = (1, 0)
    vectors[:, 2:] = (0, 1)
    vectors[0, 3] = (-1, 1)
    return vectors


def _labels(*masks: NDArray[np.bool_]) -> NDArray[np.int32]:
    labels = np.zeros((4, 8), dtype=np.int32)
    for number, mask in enumerate(masks, start=1):
        labels[mask] = number
    return labels


def test_facts__by_hand() -> None:
    foreground = np.full((4, 8), 0.5, dtype=np.float32)
    foreground[LEFT] = 0.8
    foreground[CORNER] = 0.6
    facts = region_facts(_labels(LEFT, CORNER), foreground, _vectors())
    assert facts[0] == pytest.approx([math.log(4), 0, 0], abs=1e-6)
    assert facts[1] == pytest.approx([math.log(1.5), math.sqrt(0.5), math.log(4 / 16)], abs=1e-6)


def test_scores__by_hand() -> None:
    foreground = np.where(LEFT, 0.8, 0.1).astype(np.float32)
    [score] = object_scores(_labels(LEFT), foreground, _vectors())
    cosine = -1 / math.sqrt(17)  # of (1, 0) with a mean along (-1, 4)
    assert score == pytest.approx(
        1 / (1 + math.exp(2.7 - 2 * math.log(4) + 1.4 * cosine)), abs=1e-6
    )


def test_scores__of_no_region() -> None:
    assert object_scores(_labels(), np.zeros((4, 8), np.float32), _vectors()) == []


def test_scores__a_region_that_is_the_whole_photo_has_nothing_to_differ_from() -> None:
    everything = np.ones((4, 8), dtype=np.bool_)
    facts = region_facts(_labels(everything), np.full((4, 8), 0.5, np.float32), _vectors())
    assert facts.tolist() == [[0, 0, 0]]


def test_facts__patches_that_pixels_do_not_divide_by() -> None:
    labels = np.zeros((5, 7), dtype=np.int32)
    labels[:, :3] = 1
    vectors = np.array([[[1, 0], [0, 1]]], dtype=np.float32)  # columns 0 to 3, and 4 to 6
    [facts] = region_facts(labels, np.full((5, 7), 0.5, np.float32), vectors)
    assert facts == pytest.approx([0, 1 / math.sqrt(1 + 3**2), 0], abs=1e-6)


@given(st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_scores__rise_with_p_and_stay_inside_0_and_1(a: float, b: float) -> None:
    low, high = sorted((a, b))
    scores = [
        object_scores(_labels(CORNER), np.full((4, 8), p, dtype=np.float32), _vectors())[0]
        for p in (low, high)
    ]
    assert 0 < scores[0] <= scores[1] < 1
