"""Consistencies by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prelabel.data.records import LevelResult
from prelabel.strategies.registry import make

Float = NDArray[np.float32]


def _level(clusters: ArrayLike, *scores: Sequence[float]) -> LevelResult:
    """A level from its clusterings (n_runs, h, w) and a score for each cluster of each."""
    runs = np.array(clusters, dtype=np.int16)
    tables = tuple(np.array(table, dtype=np.float32) for table in scores)
    probabilities = [table[run] for table, run in zip(tables, runs, strict=True)]
    return LevelResult("level", runs, tables, np.mean(probabilities, axis=0, dtype=np.float32))


COARSE = _level([[[0, 0], [1, 1]]], [0.9, 0.1])
MIDDLE = _level([[[0, 1], [0, 1]]], [0.6, 0.3])
FINE = _level([[[0, 1], [2, 3]]], [0.0, 0.9, 0.6, 0.0])


def test_mean__by_hand() -> None:
    combined = make("consistency", "mean", {}).combine([COARSE, MIDDLE, FINE])
    assert np.allclose(combined, [[0.5, 0.7], [1.3 / 3, 0.4 / 3]])


def test_vote__by_hand() -> None:
    combined = make("consistency", "vote", {}).combine([COARSE, MIDDLE, FINE])
    assert np.allclose(combined, [[2 / 3, 2 / 3], [2 / 3, 0]])


def test_vote__an_even_split_is_a_half() -> None:
    combined = make("consistency", "vote", {}).combine([COARSE, MIDDLE])
    assert combined.tolist() == [[1, 0.5], [0.5, 0]]


def test_cascade__by_hand() -> None:
    # Of the finest cluster 0 (three patches) COARSE has two in the foreground, MIDDLE two: kept.
    # Its cluster 1 (the last patch) is background in both.
    fine = _level([[[0, 0], [0, 1]]], [0.0, 1.0])
    cascade = make("consistency", "cascade", {})
    assert cascade.combine([COARSE, MIDDLE, fine]).tolist() == [[1, 1], [1, 0]]
    # One patch each: only the first is foreground in every coarser level.
    assert cascade.combine([COARSE, MIDDLE, FINE]).tolist() == [[1, 0], [0, 0]]


def test_cascade__half_is_not_most_and_runs_are_averaged() -> None:
    # First run: the top row is all foreground in COARSE, the bottom row is not.
    # Second run: one cluster of four patches, two of them in the foreground.
    fine = _level([[[0, 0], [1, 1]], [[0, 0], [0, 0]]], [0.5, 0.5], [0.5])
    combined = make("consistency", "cascade", {}).combine([COARSE, fine])
    assert combined.tolist() == [[0.5, 0.5], [0, 0]]


def test_cascade__one_level_is_its_own_answer() -> None:
    assert make("consistency", "cascade", {}).combine([COARSE]).tolist() == (
        COARSE.foreground.tolist()
    )
