"""The class of a region, from a learner's patches and from the nearest exemplars."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from builders import box
from prelabel.data.masks import encode_rle
from prelabel.steps.region_classes import exemplar_scores, mix, region_shares

Float = NDArray[np.float32]


def _array(*values: object) -> Float:
    return np.array(values, dtype=np.float32)


def test_region_shares__are_means_over_the_patches_that_are_covered() -> None:
    classes = _array([0.9, 0.1], [0.5, 0.3], [0.1, 0.7], [0, 0])  # of 2 × 2 patches of 2 × 2 pixels
    left = encode_rle(box(0, 0, 2, 4, photo=(4, 4)))
    wide = encode_rle(box(1, 0, 3, 2, photo=(4, 4)))  # half of the first patch, all of the second
    shares = region_shares(classes, [left, wide], 2, 2)
    assert shares == pytest.approx(_array([0.5, 0.4], [(0.45 + 0.5) / 1.5, (0.05 + 0.3) / 1.5]))
    assert region_shares(classes, [], 2, 2).shape == (0, 2)


def test_exemplar_scores__of_the_nearest_exemplar_of_each_class() -> None:
    exemplars = _array([1, 0], [0.8, 0.6], [0, 1])  # cat, cat, dog
    scores = exemplar_scores(_array([5, 0], [0, 3]), exemplars, _array(0, 0, 1), 3)
    assert scores.shape == (2, 3)
    assert scores.sum(axis=1) == pytest.approx([1, 1])
    assert not scores[:, 2].any()  # a class without an exemplar
    assert scores.argmax(axis=1).tolist() == [0, 1]
    # The second region's cosines: 0.6 to the nearest cat, 1 to the dog.
    steepness = np.log(scores[1, 1] / scores[1, 0]) / (1 - 0.6)
    assert np.log(scores[0, 0] / scores[0, 1]) == pytest.approx(steepness * (1 - 0), rel=1e-4)


def test_exemplar_scores__without_something_to_compare() -> None:
    nothing = np.zeros((0, 0), dtype=np.float32)
    assert exemplar_scores(_array([1, 0]), nothing, _array(), 2).tolist() == [[0, 0]]
    other_length = exemplar_scores(_array([1, 0, 0]), _array([1, 0]), _array(0), 2)
    assert other_length.tolist() == [[0, 0]]


def test_mix__by_the_weight() -> None:
    shares, nearest = _array([0.2, 0.2], [0, 0]), _array([1, 0], [0.3, 0.7])
    mixed = mix(shares, nearest, 0.5)
    assert mixed[0] == pytest.approx([0.75, 0.25])  # shares count relative to each other
    assert mixed[1] == pytest.approx([0.3, 0.7])  # the learner knows nothing of it
    assert mix(shares, nearest * 0, 0.5)[0] == pytest.approx([0.5, 0.5])
