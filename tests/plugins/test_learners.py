"""Learners by hand and against scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier

from prelabel.data.records import LabelledPatches
from prelabel.strategies.protocols import Learner
from prelabel.strategies.registry import make

Float = NDArray[np.float32]
CENTRES = np.array([[0, 0, 0, 0], [3, 0, 1, 0], [0, 3, 0, 1], [-2, -2, 0, 0]], dtype=np.float32)
"""Of background and three classes."""


def _photo(columns: Sequence[int], *, seed: int = 0, n_classes: int = 3) -> LabelledPatches:
    """Patches around the centres of these columns, each covered wholly."""
    rng = np.random.default_rng(seed)
    vectors = CENTRES[list(columns)] + rng.normal(size=(len(columns), 4))
    shares = np.eye(1 + n_classes, dtype=np.float32)[list(columns)]
    return LabelledPatches(vectors.astype(np.float32), shares)


def _balanced(n: int, *, seed: int = 0) -> LabelledPatches:
    return _photo([0, 1, 2, 3] * n, seed=seed)


def _learned(learner: Learner, *photos: LabelledPatches) -> Float:
    """P at new patches."""
    learned = learner.fit([learner.summarize(photos, seed=0)])
    return learner.predict(learned, _balanced(20, seed=99).vectors)


def _logit(p: Float) -> Float:
    return np.asarray(np.log(p / (1 - p)))


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("columns", [[0, 1, 2, 3] * 20, [0] * 70 + [1, 2, 3] * 4])
def test_ridge__foreground_is_scikit_learns_ridge(balance: float, columns: list[int]) -> None:
    learner = make("learner", "ridge", {"balance": balance, "regularization": 0.3})
    photo = _photo(columns)
    p = _learned(learner, photo)
    is_object = np.array(columns) > 0
    n_object, n_background = is_object.sum(), (~is_object).sum()
    weight = np.where(is_object, (n_background / n_object) ** balance, 1)
    mean_square = (weight[:, None] * photo.vectors.astype(float) ** 2).sum() / weight.sum() / 4
    reference = Ridge(alpha=0.3 * mean_square * weight.sum())
    reference.fit(photo.vectors, np.where(is_object, 1, -1), sample_weight=weight)
    values = reference.predict(_balanced(20, seed=99).vectors)
    # P rises with the regression's value, 0.5 at 0.
    ratio = _logit(1 - p[:, 0])[np.abs(values) > 0.05] / values[np.abs(values) > 0.05]
    assert ratio.min() > 0
    assert ratio == pytest.approx(np.full(len(ratio), ratio.mean()), rel=1e-3)


def test_ridge__classes_are_scikit_learns_linear_discriminants() -> None:
    ridge = 0.3
    learner = make("learner", "ridge", {"regularization": ridge})
    photo = _balanced(30)
    p = _learned(learner, photo)
    is_object = photo.shares[:, 0] == 0
    reference = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage=ridge / (1 + ridge), priors=[1 / 3] * 3
    )
    reference.fit(photo.vectors[is_object], photo.shares[is_object].argmax(axis=1))
    scores = reference.decision_function(_balanced(20, seed=99).vectors)
    logs = np.log(p[:, 1:])
    found, expected = logs[:, 1:] - logs[:, :1], scores[:, 1:] - scores[:, :1]
    # S + r·m·I is (1 + r) times scikit-learn's (1 - s)·S + s·m·I.
    assert found * (1 + ridge) == pytest.approx(expected, abs=1e-3)


def test_ridge__by_hand_in_one_dimension() -> None:
    learner = make("learner", "ridge", {"regularization": 1e-9, "balance": 0.0})
    shares = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)
    vectors = np.array([[-3], [-1], [1], [3]], dtype=np.float32)
    learned = learner.fit([learner.summarize([LabelledPatches(vectors, shares)], seed=0)])
    # The line of -1, -1, 1, 1 over -3, -1, 1, 3 has the slope 8 / 20.
    values = _logit(learner.predict(learned, np.array([[0], [1], [2]], np.float32))[:, 1])
    assert values[0] == pytest.approx(0, abs=1e-5)
    assert values[2] == pytest.approx(2 * values[1])


def test_knn__is_scikit_learns_with_its_weights() -> None:
    learner = make("learner", "knn", {"neighbours": 7, "temperature": 0.1})
    photo = _balanced(30)
    p = _learned(learner, photo)
    reference = KNeighborsClassifier(
        7, metric="cosine", weights=lambda distances: np.exp((1 - distances) / 0.1)
    )
    reference.fit(photo.vectors, photo.shares.argmax(axis=1))
    assert p == pytest.approx(reference.predict_proba(_balanced(20, seed=99).vectors), abs=1e-4)


def test_knn__keeps_no_more_than_its_patches() -> None:
    learner = make("learner", "knn", {"patches": 50})
    photos = [_photo([0] * 500 + [1, 2, 3], seed=i) for i in range(5)]
    summary = learner.summarize(photos, seed=0)
    assert len(summary["vectors"]) == len(summary["shares"]) == 50
    kept = summary["shares"].sum(axis=0)
    assert kept[1:].tolist() == [5, 5, 5]  # what is rare is kept
    assert np.linalg.norm(summary["vectors"], axis=1) == pytest.approx(np.ones(50), abs=1e-6)


@pytest.fixture(params=["ridge", "knn"])
def learner(request: pytest.FixtureRequest) -> Learner:
    """Each learner that learns."""
    found: Learner = make("learner", request.param, {})
    return found


def test_learner__separates_what_is_separate(learner: Learner) -> None:
    vectors = np.repeat(4 * CENTRES, 20, axis=0)
    shares = np.repeat(np.eye(4, dtype=np.float32), 20, axis=0)
    learned = learner.fit([learner.summarize([LabelledPatches(vectors, shares)], seed=0)])
    assert learner.predict(learned, 4 * CENTRES).argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_learner__summaries_of_parts_are_as_one_of_all(learner: Learner) -> None:
    photos = [_balanced(5, seed=i) for i in range(4)]
    vectors = _balanced(5, seed=9).vectors
    together = learner.fit([learner.summarize(photos, seed=0)])
    apart = learner.fit([learner.summarize([photo], seed=0) for photo in photos])
    expected = learner.predict(together, vectors)
    assert learner.predict(apart, vectors) == pytest.approx(expected, abs=1e-5)


def test_learner__a_summary_does_not_grow_with_photos(learner: Learner) -> None:
    def sizes(n: int) -> list[int]:
        photos = (_balanced(500, seed=i) for i in range(n))
        return [array.size for array in learner.summarize(photos, seed=0).values()]

    assert sizes(4) == sizes(2)


def test_learner__what_is_unknown_teaches_nothing(learner: Learner) -> None:
    known, other = _balanced(10), _balanced(10, seed=5)
    unknown = LabelledPatches(other.vectors, other.shares * 0)
    summaries = [learner.summarize(photos, seed=0) for photos in ([known], [known, unknown])]
    answers = [
        learner.predict(learner.fit([summary]), _balanced(5, seed=9).vectors)
        for summary in summaries
    ]
    assert np.array_equal(answers[0], answers[1])


def test_learner__is_deterministic_and_does_not_remember(learner: Learner) -> None:
    first = _learned(learner, _balanced(10))
    _learned(learner, _balanced(10, seed=3))
    assert np.array_equal(_learned(learner, _balanced(10)), first)


@pytest.mark.parametrize("columns", [[0] * 20, [1] * 20, [1, 2, 3] * 5, []])
def test_learner__needs_background_and_a_class(learner: Learner, columns: list[int]) -> None:
    photos = [_photo(columns)] if columns else []
    assert not learner.fit([learner.summarize(photos, seed=0)])
    assert not learner.fit([])


def test_learner__one_class_alone_is_foreground(learner: Learner) -> None:
    photo = _photo([0, 1] * 30, n_classes=1)
    learned = learner.fit([learner.summarize([photo], seed=0)])
    p = learner.predict(learned, CENTRES[:2] * 2)
    assert p.shape == (2, 2)
    assert p.argmax(axis=1).tolist() == [0, 1]


def test_learner__vectors_without_length(learner: Learner) -> None:
    photo = _balanced(5)
    photo = LabelledPatches(photo.vectors * 0, photo.shares)
    learned = learner.fit([learner.summarize([photo], seed=0)])
    p = learner.predict(learned, CENTRES)
    assert np.isfinite(p).all()
    assert p.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-5)


def test_learner__no_patches_to_predict(learner: Learner) -> None:
    learned = learner.fit([learner.summarize([_balanced(5)], seed=0)])
    assert learner.predict(learned, np.zeros((0, 4), np.float32)).shape == (0, 4)


def test_none__learns_nothing() -> None:
    learner = make("learner", "none", {})
    summary = learner.summarize([_balanced(5)], seed=0)
    assert not summary
    assert not learner.fit([summary])
    with pytest.raises(ValueError, match="nothing"):
        learner.predict({}, CENTRES)
