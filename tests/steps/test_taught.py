"""What labelled photos have taught, and how it is used on a photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from prelabel.errors import ContractError
from prelabel.steps.region_classes import exemplar_scores
from prelabel.steps.taught import (
    Facts,
    Taught,
    facts_json,
    predict_patches,
)

Float = NDArray[np.float32]
FACTS = Facts(
    classes=("cat", "dog"),
    photos=3,
    weight=0.25,
    name_weight=0.5,
    scores={"0": 0.2, "0.25": 0.4},
    name_scores={"0": 1.0},
    neck=0.65,
    more_regions=True,
)


def _array(*values: object) -> Float:
    return np.array(values, dtype=np.float32)


TAUGHT = Taught(
    facts=FACTS,
    learned={"a": _array([1, 2], [3, 4]), "b": _array(0.5)},
    exemplars=_array([1, 0], [0, 1]),
    exemplar_classes=_array(0, 1),
)


class Answers:
    """A learner that answers with the vectors that it is given."""

    def predict(self, learned: Mapping[str, Float], vectors: Float) -> Float:
        return vectors


def test_foreground__blends_the_learner_with_the_levels() -> None:
    p = _array([0.7, 0.2, 0.1], [0.1, 0.4, 0.5])  # of background, cat and dog at two patches
    classes, foreground = TAUGHT.foreground(Answers(), p, _array([0.8, 0.4]))  # type: ignore[arg-type]
    assert classes.tolist() == p[:, 1:].tolist()
    odds = (788 / 212) ** 0.75 * (308 / 692) ** 0.25, (404 / 596) ** 0.75 * (884 / 116) ** 0.25
    expected = [(o / (1 + o) - 0.02) / 0.96 for o in odds]  # P is held at 0.02 + 0.96 P
    assert foreground == pytest.approx(_array(expected), abs=1e-6)


@pytest.mark.parametrize(("weight", "expected"), [(0.0, [[0.8, 0.4]]), (1.0, [[0.3, 0.9]])])
def test_foreground__of_one_of_them_alone(weight: float, expected: list[list[float]]) -> None:
    taught = replace(TAUGHT, facts=replace(FACTS, weight=weight))
    p = _array([0.7, 0.2, 0.1], [0.1, 0.4, 0.5])
    _, foreground = taught.foreground(Answers(), p, _array([0.8, 0.4]))  # type: ignore[arg-type]
    assert foreground == pytest.approx(_array(*expected))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (_array([1, 0]), r"\(1, 2\).*\(1, 3\)"),
        (_array([np.nan, 0, 0]), "finite"),
        (_array([2, 0, 0]), "0 to 1"),
    ],
)
def test_predict_patches__of_a_learner_that_breaks_its_contract(answer: Float, words: str) -> None:
    with pytest.raises(ContractError, match=f"learner Answers.*{words}"):
        predict_patches(Answers(), {}, answer, 2)  # type: ignore[arg-type]


def test_region_scores__mix_both() -> None:
    scores = TAUGHT.region_scores(_array([0.1, 0.3]), _array([1, 0]))
    nearest = exemplar_scores(_array([1, 0]), TAUGHT.exemplars, TAUGHT.exemplar_classes, 2)
    assert scores == pytest.approx(0.5 * _array([0.25, 0.75]) + 0.5 * nearest)


def test_taught__to_arrays_and_back() -> None:
    again = Taught.from_arrays(TAUGHT.to_arrays(), facts_json(FACTS))
    assert again.facts == FACTS
    assert again.digest == TAUGHT.digest
    assert again.learned.keys() == TAUGHT.learned.keys()
    for name, array in TAUGHT.learned.items():
        assert np.array_equal(again.learned[name], array)
    assert np.array_equal(again.exemplars, TAUGHT.exemplars)
    assert np.array_equal(again.exemplar_classes, TAUGHT.exemplar_classes)


def test_from_arrays__what_is_missing_or_wrong() -> None:
    arrays = TAUGHT.to_arrays()
    arrays.pop("exemplars")
    with pytest.raises(KeyError):
        Taught.from_arrays(arrays, facts_json(FACTS))
    for damage in ({"classes": 3}, {"weight": "much"}, {"scores": [1]}):
        with pytest.raises(ValueError, match="Expected"):
            Taught.from_arrays(TAUGHT.to_arrays(), {**facts_json(FACTS), **damage})


def test_digest__changes_with_what_decides_regions() -> None:
    others = [
        replace(TAUGHT, facts=replace(FACTS, weight=0.5)),
        replace(TAUGHT, learned={**TAUGHT.learned, "b": _array(0.25)}),
        replace(TAUGHT, learned={"a": TAUGHT.learned["a"]}),
        replace(TAUGHT, learned={"c": TAUGHT.learned["a"], "b": TAUGHT.learned["b"]}),
    ]
    assert len({TAUGHT.digest, *(other.digest for other in others)}) == 5
    # Names are decided later, so that regions in the cache stay good.
    assert replace(TAUGHT, facts=replace(FACTS, name_weight=1.0)).digest == TAUGHT.digest
