"""Names learned from exemplars, on vectors in the plane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prelabel import strategies
from prelabel.errors import UserError
from prelabel.label_studio.naming import Exemplar, ExemplarFile, Names
from prelabel.records import Rle

RLE: Rle = {"size": [1, 1], "counts": "01"}
CENTROIDS = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)


def at(degrees: float, name: str, photo: str = "p") -> Exemplar:
    return Exemplar(photo, RLE, vector(degrees), name)


def vector(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)


def names(*exemplars: Exemplar, **defaults: str) -> Names:
    clusterer = strategies.make("clusterer", "spherical-kmeans", {})
    known = {int(k[1:]): v for k, v in defaults.items()}
    return Names(exemplars, CENTROIDS, clusterer=clusterer, defaults=known)


def ask(given: Names, *regions: tuple[float, int]) -> list[str | None]:
    return given(np.stack([vector(d) for d, _ in regions]), [c for _, c in regions])


def test_names__one_exemplar_names_its_class_everywhere() -> None:
    given = names(at(5, "cat"))
    assert ask(given, (0, 0), (-40, 0), (90, 1)) == ["cat", "cat", None]


def test_names__two_classes_of_one_label_merge() -> None:
    assert ask(names(at(5, "cat"), at(95, "cat")), (0, 0), (90, 1)) == ["cat", "cat"]


def test_names__a_class_of_two_labels_splits_at_the_nearest() -> None:
    given = names(at(-20, "cat"), at(20, "dog"))
    assert ask(given, (-5, 0), (5, 0), (30, 0)) == ["cat", "dog", "dog"]


def test_names__deleted_regions_stay_without_a_name() -> None:
    assert ask(names(at(0, "")), (10, 0)) == [None]
    assert ask(names(at(-20, "cat"), at(20, "")), (-30, 0), (30, 0)) == ["cat", None]


def test_names__defaults_until_somebody_names() -> None:
    given = names(at(5, "cat"), c0="zebra", c1="dog")
    assert ask(given, (0, 0), (90, 1), (180, 2)) == ["cat", "dog", None]
    assert given.table(3) == [{"cat": 1}, {}, {}]


def test_names__a_refit_that_renumbers_changes_nothing() -> None:
    clusterer = strategies.make("clusterer", "spherical-kmeans", {})
    exemplars = [at(5, "cat"), at(85, "dog")]
    before = Names(exemplars, CENTROIDS, clusterer=clusterer)
    after = Names(exemplars, CENTROIDS[::-1].copy(), clusterer=clusterer)
    assert ask(before, (0, 0), (90, 1)) == ask(after, (0, 2), (90, 1)) == ["cat", "dog"]


def test_names__of_another_embedder_are_left_out() -> None:
    other = Exemplar("p", RLE, np.ones(5, dtype=np.float32), "cat")
    assert ask(names(other), (0, 0)) == [None]


def test_exemplar_file__survives_and_counts_changes(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    assert kept.learn("a", [at(5, "cat", "a"), at(80, "", "a")])
    assert kept.learn("b", [at(7, "dog 🐕", "b")])
    assert not kept.learn("b", [at(7, "dog 🐕", "b")])
    assert kept.learn("a", [at(5, "cow", "a")])  # corrected again: takes the earlier one's place
    again = ExemplarFile(tmp_path / "names.jsonl")
    assert again.revision == kept.revision == 3
    assert [(e.photo, e.name) for e in again.exemplars] == [("b", "dog 🐕"), ("a", "cow")]
    np.testing.assert_array_equal(again.exemplars[1].embedding, vector(5))


def test_exemplar_file__damaged(tmp_path: Path) -> None:
    file = tmp_path / "names.jsonl"
    file.write_text('{"revision": 1}\n{"photo": "a"', encoding="ascii")
    with pytest.raises(UserError, match=r"names\.jsonl holds no exemplars"):
        ExemplarFile(file)
