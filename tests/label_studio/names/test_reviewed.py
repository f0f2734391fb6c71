"""Names of a review as exemplars: they give every touched region its name, and others keep theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.names.reviewed import (
    NOTHING,
    UNNAMED,
    ReviewedRegions,
    review_key,
    reviewed_exemplars,
)
from prelabel.steps.exemplars import Exemplar, Names
from support.exemplars import CENTROIDS, CLUSTERER, at, vector

NAMES = ("cat", "dog")
CAT, DOG = 0, 1


def _found(
    degrees: Sequence[float],
    kinds: Sequence[int],
    touched: Sequence[bool] | None = None,
    base: Sequence[Exemplar] = (),
) -> tuple[list[Exemplar], list[str | None], list[bool]]:
    """The exemplars, and what they say of all regions beside ``base``: names, and what is nothing."""
    vectors = np.stack([vector(d) for d in degrees])
    found = reviewed_exemplars(
        ReviewedRegions(
            "key",
            NAMES,
            np.array(kinds, dtype=np.int32),
            np.array([True] * len(kinds) if touched is None else touched),
            lambda ids: vectors[ids],
        ),
        base,
        CENTROIDS,
        clusterer=CLUSTERER,
        origin="",
    )
    names = Names([*base, *found], CENTROIDS, clusterer=CLUSTERER)
    clusters = np.argmax(vectors @ CENTROIDS.T, axis=1).tolist()
    return found, names(vectors, clusters), names.is_nothing(vectors, clusters)


def test_a_class_of_one_name_is_named_as_a_whole() -> None:
    found, names, _ = _found([-20, 0, 30, 90], [CAT, CAT, CAT, UNNAMED], [True, True, True, False])
    assert {(e.name, e.rle) for e in found} == {("cat", None)}
    assert len(found) == 4  # its middle, and all of so few regions
    assert Names(found, CENTROIDS, clusterer=CLUSTERER).is_outright(0)
    assert names == ["cat", "cat", "cat", None]


def test_one_region_that_was_moved_names_no_other() -> None:
    _, names, _ = _found([-20, 0, 20], [UNNAMED, UNNAMED, DOG], [False, False, True])
    assert names == [None, None, "dog"]


def test_nothing_is_left_out_and_has_no_name() -> None:
    found, names, nothing = _found([-20, 0, 20, 95], [NOTHING, NOTHING, CAT, NOTHING])
    assert nothing == [True, True, False, True]
    assert names[2] == "cat"
    learned = Names(found, CENTROIDS, clusterer=CLUSTERER)
    assert not learned.may_be_unnamed(1)  # all of it is nothing: no label is needed for it


def test_what_annotators_have_named_is_not_repeated() -> None:
    base = [at(5, "cat")]
    assert _found([0, 10], [CAT, CAT], base=base)[0] == []
    found, names, _ = _found([0, 30], [DOG, DOG], base=base)
    assert found
    assert names == ["dog", "dog"]
    _, names, _ = _found([5, 30], [UNNAMED, DOG], [False, True], base)
    assert names == ["cat", "dog"]


@given(
    st.lists(
        st.tuples(
            st.integers(-35, 215), st.sampled_from([CAT, DOG, NOTHING, UNNAMED]), st.booleans()
        ),
        min_size=1,
        max_size=40,
        unique_by=lambda region: region[0],
    ),
    st.lists(st.tuples(st.integers(-35, 215), st.sampled_from(["", "cat", "ox"])), max_size=4),
)
def test_every_touched_region_has_its_name_and_others_keep_theirs(
    regions: list[tuple[int, int, bool]], annotated: list[tuple[int, str]]
) -> None:
    base = [at(angle + 0.4, name) for angle, name in annotated]
    degrees = [angle for angle, _, _ in regions]
    touched = [one for _, _, one in regions]
    before = _found(degrees, [UNNAMED] * len(degrees), [False] * len(degrees), base)[1]
    _, names, nothing = _found(degrees, [kind for _, kind, _ in regions], touched, base)
    for (_, kind, own), old, name, none in zip(regions, before, names, nothing, strict=True):
        if own:
            assert none == (kind == NOTHING)
            assert name == (NAMES[kind] if kind >= 0 else None)
        else:
            assert (name, none) == (old, False)


def test_the_file_keeps_them_and_the_same_again_is_no_change(tmp_path: Path) -> None:
    file = ExemplarFile(tmp_path / "names.jsonl")
    found, _, _ = _found([-20, 0, 20], [NOTHING, CAT, DOG])
    assert file.review(review_key("key"), found)
    assert not file.review(review_key("key"), found)
    read = ExemplarFile(tmp_path / "names.jsonl")
    assert read.revision == 1
    assert [(e.name, e.nothing) for e in read.exemplars] == [(e.name, e.nothing) for e in found]
    assert file.review(review_key("key"), [])
    assert ExemplarFile(tmp_path / "names.jsonl").exemplars == ()
