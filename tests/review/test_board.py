"""Edits: what they change, how they are undone, and that they survive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prelabel.errors import UserError
from prelabel.review.board import Board
from prelabel.review.edits import (
    BackgroundEdit,
    Edit,
    MergeEdit,
    MoveEdit,
    NameEdit,
    SplitEdit,
    UndoEdit,
)
from prelabel.review.history import Change, Done, History
from prelabel.review.journal import Journal
from support.messages import assert_says

START = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 3], dtype=np.int32)


def board(folder: Path) -> Board:
    """A board with 10 regions of 4 classes without names; k-means puts regions into parts in turn."""
    return Board(
        START,
        dict.fromkeys(range(4), ""),
        Journal(folder / "edits.jsonl"),
        lambda ids, parts: np.arange(len(ids)) % parts,
    )


def state(found: Board) -> tuple[list[int], dict[int, str | None]]:
    snapshot = found.snapshot()
    return snapshot.class_of.tolist(), dict(snapshot.names)


def test_name__several_classes_at_once_stay_classes(tmp_path: Path) -> None:
    own = board(tmp_path)
    own.edit(NameEdit([0, 2], "cat"))
    assert state(own) == (START.tolist(), {0: "cat", 1: "", 2: "cat", 3: ""})
    assert own.names_used() == ["cat"]


def test_background_then_name__is_an_object_again(tmp_path: Path) -> None:
    own = board(tmp_path)
    own.edit(BackgroundEdit([3]))
    assert own.snapshot().names[3] is None
    own.edit(NameEdit([3], "dog"))
    assert own.snapshot().names[3] == "dog"


@pytest.mark.parametrize(
    ("before", "classes", "into"),
    [
        ([], [0, 1], 0),  # the largest
        ([NameEdit([3], "dog")], [0, 3], 3),  # the named one
        ([NameEdit([3], "dog"), NameEdit([2], "cat")], [0, 3, 2], 2),  # the largest named one
        ([BackgroundEdit([3])], [1, 3], 3),
        ([BackgroundEdit([1]), NameEdit([3], "dog")], [1, 3], 3),
    ],
)
def test_merge__keeps_the_named_or_the_largest(
    before: list[Edit], classes: list[int], into: int, tmp_path: Path
) -> None:
    own = board(tmp_path)
    for edit in before:
        own.edit(edit)
    own.edit(MergeEdit(classes))
    found, names = state(own)
    assert found == [into if c in classes else c for c in START.tolist()]
    assert set(classes) & names.keys() == {into}


def test_split__by_kmeans_leaves_the_largest_part(tmp_path: Path) -> None:
    own = board(tmp_path)
    own.edit(NameEdit([1], "cat"))
    made = own.edit(SplitEdit(1, parts=2))
    assert isinstance(made, SplitEdit)
    assert made.created == {4: [5]}  # of 4, 5, 6 the parts are 0, 1, 0
    assert state(own)[1] == {0: "", 1: "cat", 2: "", 3: "", 4: ""}


def test_split__by_regions_takes_those_of_the_class(tmp_path: Path) -> None:
    own = board(tmp_path)
    own.edit(SplitEdit(0, regions=[3, 2, 9]))
    assert state(own)[0] == [0, 0, 4, 4, 1, 1, 1, 2, 2, 3]


def test_move__to_another_and_to_a_new_class(tmp_path: Path) -> None:
    own = board(tmp_path)
    own.edit(MoveEdit([0, 9], 2))
    own.edit(MoveEdit([0, 4], None))
    found, names = state(own)
    assert found == [4, 0, 0, 0, 4, 1, 1, 2, 2, 2]
    assert 3 not in names  # it has no region any more


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (NameEdit([4], "cat"), "no class 4"),
        (NameEdit([0, -1], "cat"), "no class -1"),
        (MergeEdit([0]), "expected two"),
        (MergeEdit([1, 1]), "expected two"),
        (SplitEdit(0), "expected either"),
        (SplitEdit(0, parts=2, regions=[1]), "expected either"),
        (SplitEdit(0, parts=1), "1 parts"),
        (SplitEdit(0, parts=33), "33 parts"),
        (SplitEdit(0, regions=[0, 1, 2, 3]), "all of its regions"),
        (SplitEdit(0, regions=[9]), "none of those"),
        (SplitEdit(3, parts=2), "all alike"),
        (MoveEdit([10], 0), "no region 10"),
        (MoveEdit([-1], 0), "no region -1"),
        (MoveEdit([2**40], None), "no region"),
        (MoveEdit([1], 77), "no class 77"),
        (UndoEdit(), "nothing to undo"),
    ],
)
def test_edit__that_cannot_be_made_changes_nothing(edit: Edit, says: str, tmp_path: Path) -> None:
    own = board(tmp_path)
    with pytest.raises(UserError) as error:
        own.edit(edit)
    assert_says(error.value, says)
    assert state(own) == (START.tolist(), dict.fromkeys(range(4), ""))
    assert not (tmp_path / "edits.jsonl").exists()


def test_edit__that_cannot_be_kept_changes_nothing(tmp_path: Path) -> None:
    own = board(tmp_path)
    (tmp_path / "edits.jsonl").mkdir()
    with pytest.raises(OSError, match="edits"):
        own.edit(NameEdit([0], "cat"))
    assert own.snapshot().names[0] == ""


_EDITS = st.one_of(
    st.builds(NameEdit, st.lists(st.integers(0, 8), min_size=1), st.sampled_from(["cat", "dog"])),
    st.builds(BackgroundEdit, st.lists(st.integers(0, 8), min_size=1)),
    st.builds(MergeEdit, st.lists(st.integers(0, 8), min_size=1)),
    st.builds(SplitEdit, st.integers(0, 8), parts=st.integers(2, 3)),
    st.builds(SplitEdit, st.integers(0, 8), regions=st.lists(st.integers(0, 9), min_size=1)),
    st.builds(MoveEdit, st.lists(st.integers(0, 9), min_size=1), st.none() | st.integers(0, 8)),
    st.builds(UndoEdit),
)


@pytest.mark.slow
@settings(max_examples=50)
@given(edits=st.lists(_EDITS, max_size=25))
def test_any_edits__are_undone_one_by_one_and_come_back_from_the_journal(
    edits: list[Edit], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("board")
    own = board(folder)
    states = [state(own)]
    for edit in edits:
        try:
            own.edit(edit)
        except UserError:
            assert state(own) == states[-1]
            continue
        if isinstance(edit, UndoEdit):
            states.pop()
            assert state(own) == states[-1]
        else:
            states.append(state(own))
    again = board(folder)
    assert (state(again), again.problems) == (states[-1], [])
    assert again.edits == own.edits
    assert again.names_used() == own.names_used()
    for expected in reversed(states[:-1]):
        again.edit(UndoEdit())
        assert state(again) == expected
    assert not again.undo_texts(99)


def test_a_damaged_line__is_named_and_the_others_count(tmp_path: Path) -> None:
    own = board(tmp_path)
    for edit in (
        NameEdit([0], "cat"),
        MoveEdit([9], None),
        NameEdit([4], "dog"),
        NameEdit([1], "ox"),
    ):
        own.edit(edit)
    file = tmp_path / "edits.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    lines[1] = b'{"at":1,"edit":{"kind":"mo\xff\n'
    file.write_bytes(b"".join(lines))
    again = board(tmp_path)
    assert dict(again.snapshot().names) == {0: "cat", 1: "ox", 2: "", 3: ""}
    damaged, following = again.problems
    assert_says(damaged, "edits.jsonl, line 2", "left out")
    assert_says(following, "line 3", "no class 4")


def test_a_line_that_a_killed_process_left__is_not_read(tmp_path: Path) -> None:
    own = board(tmp_path)
    own.edit(NameEdit([0], "cat"))
    with (tmp_path / "edits.jsonl").open("ab") as file:
        file.write(b'{"at":1,"edit":{"kind":"name","cla')
    again = board(tmp_path)
    assert not again.problems
    again.edit(NameEdit([1], "dog"))
    third = board(tmp_path)
    assert dict(third.snapshot().names) == {0: "cat", 1: "dog", 2: "", 3: ""}


def test_history__forgets_the_oldest_where_many_regions_moved() -> None:
    history = History(100)
    half = np.arange(50, dtype=np.int32)
    for i in range(100):
        history.add(Done(f"move {i}", Change({}, half, half)))
    kept = history.texts(99)
    assert kept == [f"move {i}" for i in range(64, 100)]  # 8 · 100 + 1000 regions
    for text in reversed(kept):
        done = history.pop()
        assert done is not None
        assert done.text == text
    assert history.pop() is None


def test_history__forgets_the_oldest_of_many_edits() -> None:
    history = History(100)
    for i in range(1100):
        history.add(Done(str(i), Change({0: ""})))
    assert len(history.texts(2000)) == 1000
