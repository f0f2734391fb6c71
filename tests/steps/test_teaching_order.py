"""The order in which photos teach most."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prelabel.data.records import LevelResult, PatchFeatures
from prelabel.steps.teaching_order import photo_descriptor, photo_doubt, teaching_order


def _photos(*vectors: tuple[float, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Descriptors float32 (n, 1, dim)."""
    return np.array(vectors, dtype=np.float32)[:, None]


KINDS = _photos((10, 0, 0), (0, 10, 0), (10, 0, 1), (10, 1, 0), (0, 10, 1), (0, 0, 10))
"""Three photos of one kind (0, 2, 3), two of another (1, 4), and one alone (5)."""
KIND = (0, 1, 0, 0, 1, 2)


def test_one_of_each_kind_comes_first_the_largest_first() -> None:
    order = teaching_order(KINDS)
    assert [KIND[i] for i in order[:3]] == [0, 1, 2]
    assert sorted(order) == list(range(6))


def test_what_labelled_photos_explain_comes_last() -> None:
    order = teaching_order(KINDS, taught=[0, 1])
    assert order[0] == 5
    assert sorted(order) == [2, 3, 4, 5]


def test_each_class_without_a_name_comes_before_anything_else() -> None:
    classes = [{1}, {1}, {1}, {1, 2}, {1}, {3}]
    assert set(teaching_order(KINDS, classes=classes)[:3]) > {3, 5}
    # Photo 3 has all that others have, and is labelled: only class 3 is new.
    assert teaching_order(KINDS, classes=classes, taught=[3])[0] == 5
    named = [set[int]() for _ in classes]
    assert teaching_order(KINDS, classes=named) == teaching_order(KINDS)


def test_of_photos_that_are_alike_the_most_doubtful_comes_first() -> None:
    alike = _photos((1, 0), (1, 0), (1, 0), (-1, 0), (-1, 0), (-1, 0))
    doubt = np.array([0.1, 0.3, 0.2, 0.1, 0.1, 0.4], dtype=np.float32)
    assert teaching_order(alike, doubt=doubt)[:2] == [0, 5]
    assert teaching_order(alike, doubt=doubt, taught=[3])[0] == 1


def test_doubt_does_not_choose_the_first_photo() -> None:
    odd = _photos((1, 0), (1, 0), (1, 0), (-9, 0))
    doubt = np.array([0, 0.01, 0.02, 1], dtype=np.float32)
    assert teaching_order(odd, doubt=doubt)[:2] == [0, 3]


def test_after_the_first_200_doubt_alone_decides() -> None:
    rng = np.random.default_rng(0)
    descriptors = rng.normal(size=(260, 2, 4)).astype(np.float32)
    doubt = rng.random(260).astype(np.float32)
    order = teaching_order(descriptors, doubt=doubt)
    assert sorted(order) == list(range(260))
    assert (np.diff(doubt[order[200:]]) <= 0).all()


@given(st.integers(0, 8), st.integers(0, 2**32 - 1))
def test_every_photo_that_is_not_labelled_comes_once(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(n, 2, 3)).astype(np.float32)
    taught = [i for i in range(n) if rng.random() < 0.4]
    classes = [set(rng.integers(0, 3, 2).tolist()) for _ in range(n)]
    doubt = rng.random(n).astype(np.float32)
    order = teaching_order(descriptors, classes=classes, doubt=doubt, taught=taught)
    assert sorted([*order, *taught]) == list(range(n))
    assert order == teaching_order(descriptors, classes=classes, doubt=doubt, taught=taught)
    if order:  # labelling the first one leaves the others in their order
        later = teaching_order(
            descriptors, classes=classes, doubt=doubt, taught=[*taught, order[0]]
        )
        assert later == order[1:]


def test_photo_descriptor__is_the_cls_token_and_the_mean_patch_of_the_foreground() -> None:
    features = PatchFeatures(
        patches=np.array([[[1, 0], [3, 4]]], dtype=np.float16),
        cls=np.array([5, 6], dtype=np.float16),
        attention=np.ones((1, 2), dtype=np.float16),
    )
    found = photo_descriptor(features, np.array([[0.25, 0.75]], dtype=np.float32))
    assert found.tolist() == [[5, 6], [2.5, 3]]
    nothing = photo_descriptor(features, np.zeros((1, 2), dtype=np.float32))
    assert nothing.tolist() == [[5, 6], [0, 0]]


def test_photo_doubt__is_how_far_the_answers_differ() -> None:
    def level(*p: float) -> LevelResult:
        clusters = np.zeros((1, 1, len(p)), dtype=np.int16)
        return LevelResult("x", clusters, (), np.array([p], dtype=np.float32))

    assert photo_doubt([level(0.5, 0.2), level(0.5, 0.2)]) == 0
    # Standard deviations of 0.5 and 0, their mean 0.25, twice that.
    assert photo_doubt([level(0, 1), level(1, 1)]) == 0.5
    learned = np.array([[0.5, 0]], dtype=np.float32)
    # The levels' mean is (0.5, 1): deviations of 0 and 0.5.
    assert photo_doubt([level(0, 1), level(1, 1)], learned) == 0.5
    assert photo_doubt([level(0.5, 1), level(0.5, 1)], np.array([[0.5, 1]], np.float32)) == 0
