"""Refits keep the ids of classes, and the project's labels decide how many there are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prelabel.label_studio.fit import keep_ids, project_config
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.strategies import registry
from support.small_photos import tiny_config

E = np.eye(4, dtype=np.float32)
CLUSTERER = tiny_config().strategy("clusterer")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # The same three, in another order, and a little moved.
        ([0, 1, 2], [2, 0, 1], [0, 1, 2]),
        # A fourth one is new: it comes last.
        ([0, 1, 2], [3, 2, 0, 1], [0, 1, 2, 3]),
        # One fewer: the first keep their places, and the third takes that of the one that is gone.
        ([0, 1, 2], [2, 0], [0, 2]),
        ([], [1, 0], [1, 0]),
    ],
)
def test_keep_ids__by_hand(old: list[int], new: list[int], expected: list[int]) -> None:
    moved = E[new] * 3 + 0.1
    kept = keep_ids(E[old], moved, CLUSTERER)
    assert kept.argmax(axis=1).tolist() == expected


def test_keep_ids__by_the_clusterers_own_measure() -> None:
    """The first new one has the direction of the first old one, and lies at the second."""
    old = np.array([[1, 0], [9, 1]], dtype=np.float32)
    new = np.array([[9, 0], [2, 1]], dtype=np.float32)
    assert keep_ids(old, new, CLUSTERER).tolist() == new.tolist()
    distance = registry.make("clusterer", "minibatch-kmeans", {})
    assert keep_ids(old, new, distance).tolist() == new[::-1].tolist()


def test_keep_ids__vectors_of_another_embedder_say_nothing() -> None:
    new = np.ones((2, 5), dtype=np.float32)
    assert keep_ids(E, new, CLUSTERER) is new


@settings(max_examples=50)
@given(
    old=hnp.arrays(
        np.float32, st.tuples(st.integers(1, 6), st.just(3)), elements=st.floats(-1, 1, width=32)
    ),
    new=hnp.arrays(
        np.float32, st.tuples(st.integers(1, 6), st.just(3)), elements=st.floats(-1, 1, width=32)
    ),
)
def test_keep_ids__loses_none(old: np.ndarray, new: np.ndarray) -> None:  # type: ignore[type-arg]
    kept = keep_ids(old, new, CLUSTERER)
    assert sorted(map(tuple, kept.tolist())) == sorted(map(tuple, new.tolist()))


def test_project_config__labels_of_the_project_unless_the_config_says_more() -> None:
    label_config = parse_label_config(
        '<View><Image name="i" value="$image"/><BrushLabels name="b" toName="i">'
        '<Label value="cat"/><Label value="dog"/></BrushLabels></View>'
    )
    assert project_config(tiny_config(), label_config).classes.labels == ("cat", "dog")
    counted = tiny_config("classes.count=7")
    assert project_config(counted, label_config) == counted
    named = tiny_config('classes.labels=["bird"]')
    assert project_config(named, label_config) == named
