"""Names learned from exemplars, on vectors in the plane."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prelabel.steps.exemplars import Exemplar, Names, classes_of
from prelabel.strategies import registry
from support.exemplars import CENTROIDS, CLUSTERER, RLE, ask, at, vector


def names(*exemplars: Exemplar) -> Names:
    return Names(exemplars, CENTROIDS, clusterer=CLUSTERER)


def test_names__one_exemplar_names_its_class_everywhere() -> None:
    learned = names(at(5, "cat"))
    assert ask(learned, (0, 0), (-40, 0), (90, 1)) == ["cat", "cat", None]


def test_names__two_classes_of_one_label_merge() -> None:
    assert ask(names(at(5, "cat"), at(95, "cat")), (0, 0), (90, 1)) == ["cat", "cat"]


def test_names__a_class_of_two_labels_splits_at_the_nearest() -> None:
    learned = names(at(-20, "cat"), at(20, "dog"))
    assert ask(learned, (-5, 0), (5, 0), (30, 0)) == ["cat", "dog", "dog"]


def test_names__the_nearest_by_the_clusterers_own_measure() -> None:
    """(1, 0) has the direction of the cat, and lies next to the dog."""
    exemplars = [
        Exemplar(name, RLE, np.array(place, dtype=np.float32), name)
        for name, place in {"cat": (9, 0), "dog": (1, 1)}.items()
    ]
    region, class_ = np.array([[1, 0]], dtype=np.float32), np.array([[1, 0]], dtype=np.float32)
    for clusterer, name in {"spherical-kmeans": "cat", "minibatch-kmeans": "dog"}.items():
        learned = Names(exemplars, class_, clusterer=registry.make("clusterer", clusterer, {}))
        assert learned(region, [0]) == [name]
        assert learned.likeliest(region)[0].names[0] == name
        assert not learned.is_like_deleted(region[0])


def test_names__deleted_regions_stay_without_a_name() -> None:
    assert ask(names(at(0, "")), (10, 0)) == [None]
    assert ask(names(at(-20, "cat"), at(20, "")), (-30, 0), (30, 0)) == ["cat", None]


def test_names__what_is_known_of_each_class() -> None:
    learned = names(at(5, "cat"), at(-5, ""), at(-9, "cat"), at(90, ""))
    assert learned.table(3) == [{"cat": 2, "": 1}, {"": 1}, {}]
    assert [learned.knows(cluster) for cluster in (-1, 0, 1, 2, 3)] == [
        *(False, True, True),
        *(False, False),
    ]
    assert ask(learned, (180, 2), (5, -1)) == [None, None]


def test_names__a_refit_that_renumbers_changes_nothing() -> None:
    exemplars = [at(5, "cat"), at(85, "dog")]
    before = Names(exemplars, CENTROIDS, clusterer=CLUSTERER)
    after = Names(exemplars, CENTROIDS[::-1].copy(), clusterer=CLUSTERER)
    assert ask(before, (0, 0), (90, 1)) == ask(after, (0, 2), (90, 1)) == ["cat", "dog"]


def test_names__of_another_embedder_are_left_out() -> None:
    other = Exemplar("p", RLE, np.ones(5, dtype=np.float32), "cat")
    assert ask(names(other), (0, 0)) == [None]


def test_names__of_the_same_embedder_in_other_code_count_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exemplars = [replace(at(5, "cat"), origin="space-old"), replace(at(95, "dog"), origin="")]
    learned = Names(exemplars, CENTROIDS, clusterer=CLUSTERER, origin="space-new")
    assert ask(learned, (0, 0), (90, 1)) == ["cat", "dog"]
    [line] = caplog.messages
    assert "of 2 named examples, 2 were embedded by other code" in line


def test_names__of_another_space_do_not_count_though_they_have_the_same_length(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exemplars = [
        replace(at(5, "cat"), origin="other-code"),
        replace(at(6, "dog"), origin="space-x"),
    ]
    learned = Names(exemplars, CENTROIDS, clusterer=CLUSTERER, origin="space-x")
    assert ask(learned, (0, 0)) == ["dog"]
    assert "1 by another embedder" in caplog.text


def test_names__that_are_up_to_date_cause_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    outright = Exemplar("centroid:1", None, vector(95), "dog", origin="space-fitted")
    exemplars = [replace(at(5, "cat"), origin="space-x"), outright]
    learned = Names(exemplars, CENTROIDS, clusterer=CLUSTERER, origin="space-x")
    assert ask(learned, (0, 0), (90, 1)) == ["cat", "dog"]
    assert not caplog.messages


def test_classes_of__the_nearest_or_none() -> None:
    other = Exemplar("p", RLE, np.ones(5, dtype=np.float32), "cat")
    exemplars = [at(5, "cat"), other, at(100, "dog"), at(170, "")]
    assert classes_of(exemplars, CENTROIDS, CLUSTERER).tolist() == [0, -1, 1, 2]
    assert classes_of(exemplars[:1], CENTROIDS[:0], CLUSTERER).tolist() == [-1]
    assert classes_of([], CENTROIDS, CLUSTERER).tolist() == []
