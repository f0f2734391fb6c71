"""A review beside its page: names count in the background, and what fails is said and tried again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from prelabel.errors import UserError
from prelabel.review import applier, map
from prelabel.review.closeness import kmeans, ordered
from prelabel.review.edits import MoveEdit, NameEdit
from prelabel.review.map import RegionMap
from prelabel.review.review import Review
from support.messages import assert_says
from support.review_source import SyntheticSource, review_of


def until(true: Callable[[], object]) -> None:
    """Wait until something is so, for at most 20 seconds."""
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_apply__gathers_edits_and_says_what_is_decided(tmp_path: Path) -> None:
    review, source = review_of(tmp_path)
    review.start()
    review.edit(NameEdit([0], "cat"))
    review.edit(MoveEdit([1, 2], 0))
    review.stop()
    [decisions] = source.applied
    assert decisions.revision == 2
    assert decisions.names == {0: "cat", 1: "", 2: ""}
    assert decisions.class_of.tolist()[:4] == [0, 0, 0, 0]
    assert decisions.start.tolist()[:4] == [0, 1, 2, 0]
    photos = list(decisions.photos())
    assert [p.photo.id for p in photos] == [f"p{i}" for i in range(6)]
    assert list(photos[0].photo.names) == ["cat", "cat", "cat", "cat"]
    assert photos[1].classes.tolist() == [1, 2, 0, 1]
    assert photos[1].photo.vectors.shape == (4, 8)


def test_apply__what_a_killed_process_left_is_applied_at_the_next_start(tmp_path: Path) -> None:
    review, first = review_of(tmp_path)
    review.edit(NameEdit([0], "cat"))
    again, second = review_of(tmp_path)
    again.start()
    until(lambda: second.applied)
    again.stop()
    third, nothing = review_of(tmp_path)
    third.start()
    third.stop()
    assert (len(first.applied), len(second.applied), len(nothing.applied)) == (0, 1, 0)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (UserError("the folder is in use"), "the folder is in use"),
        (OSError(28, "No space left"), "No space left"),
        (ZeroDivisionError("oops"), "a fault of prelabel (ZeroDivisionError: oops)"),
    ],
)
def test_apply__a_failure_is_shown_and_tried_again_with_the_next_edit(
    error: Exception, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applier, "_QUIET", 0.01)
    review, source = review_of(tmp_path, failing=error)
    review.start()
    review.edit(NameEdit([0], "cat"))
    until(lambda: applying(review).state == "failed")
    assert_says(applying(review).message, says)
    source.failing = None
    review.edit(NameEdit([1], "dog"))
    until(lambda: applying(review).state == "idle")
    review.stop()
    assert [d.revision for d in source.applied] == [2]


def test_apply__a_failure_is_tried_again_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applier, "_QUIET", 0.01)
    monkeypatch.setattr(applier, "_AGAIN", 0.05)
    review, source = review_of(tmp_path, failing=UserError("busy"))
    review.start()
    review.edit(NameEdit([0], "cat"))
    until(lambda: applying(review).state == "failed")
    source.failing = None
    until(lambda: source.applied)
    review.stop()


def applying(review: Review) -> applier.Applying:
    state = review.state(None)
    assert state is not None
    return state.applying


class Pushing(SyntheticSource):
    """A source with stored predictions. ``problem``: what goes wrong."""

    problem: Exception | None = None

    def push(self, progress: Callable[[int, int], None]) -> str:
        """Two tasks."""
        progress(1, 2)
        if self.problem:
            raise self.problem
        progress(2, 2)
        return "2 tasks have the names"


@pytest.mark.parametrize("problem", [None, UserError("no token"), ValueError("oops")])
def test_push__shows_how_far_it_is(problem: Exception | None, tmp_path: Path) -> None:
    source = Pushing()
    source.problem = problem
    review = Review(source, tmp_path)
    state = review.state(None)
    assert state is not None
    assert state.push is not None
    assert state.push.state == "idle"
    review.push()
    until(lambda: (review.state(None).push.state) in ("done", "failed"))  # type: ignore[union-attr]
    pushed = review.state(None).push  # type: ignore[union-attr]
    assert pushed is not None
    if problem is None:
        assert (pushed.done, pushed.total, pushed.message) == (2, 2, "2 tasks have the names")
    else:
        assert (pushed.done, pushed.total) == (1, 2)
        assert_says(pushed.message, str(problem))


def test_push__only_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    source, goes_on = Pushing(), threading.Event()
    monkeypatch.setattr(source, "push", lambda progress: str(goes_on.wait(20)))
    review = Review(source, tmp_path)
    review.push()
    with pytest.raises(UserError, match="already"):
        review.push()
    goes_on.set()


def test_another_key__is_another_review(tmp_path: Path) -> None:
    review, _ = review_of(tmp_path)
    review.edit(NameEdit([0], "cat"))
    other, _ = review_of(tmp_path, key="k2")
    assert set(other.board.snapshot().names.values()) == {""}
    assert (tmp_path / "k1" / "edits.jsonl").exists()


def test_kmeans__finds_what_is_apart_and_is_the_same_each_time(tmp_path: Path) -> None:
    review, _ = review_of(tmp_path)
    ids = np.flatnonzero(review.index.start < 2).astype(np.int32)
    found = kmeans(review.index, ids, 2)
    assert len(set(found.tolist())) == 2
    for part in (0, 1):
        assert len(set(review.index.start[ids[found == part]].tolist())) == 1
    assert np.array_equal(kmeans(review.index, ids, 2), found)


def test_ordered__by_the_cosine_to_the_mean(tmp_path: Path) -> None:
    review, source = review_of(tmp_path)
    ids = review.board.regions_of(1)
    vectors = np.concatenate([p.vectors for p in source.regions()])[ids]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = unit.mean(axis=0)
    expected = unit @ mean / np.linalg.norm(mean)
    found = ordered(review.index, ids)
    assert found.ids.tolist() == ids[np.argsort(-expected)].tolist()
    assert np.abs(found.closeness - np.sort(expected)[::-1]).max() < 1e-3


def test_map__is_computed_once_and_a_damaged_one_again(tmp_path: Path) -> None:
    review, _ = review_of(tmp_path)
    first = RegionMap(review.index)
    first.compute()
    kept = RegionMap(review.index)
    assert first.places is not None
    assert kept.places is not None
    assert np.array_equal(kept.places, first.places)
    (review.index.folder / "map.npy").write_bytes(b"damaged")
    assert RegionMap(review.index).places is None


class Umap:
    """In place of the library: regions on a diagonal. ``fails``: it does not work."""

    fails = False

    class UMAP:
        """As the library's."""

        def __init__(self, **_: object) -> None: ...

        def fit_transform(self, vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            if Umap.fails:
                raise RuntimeError("oops")
            return np.repeat(np.arange(len(vectors), dtype=np.float32)[:, None], 2, axis=1)


class HereProcess:
    """A process that runs here."""

    def __init__(self, target: Callable[..., None], args: tuple[Path, Path], daemon: bool) -> None:
        self.run, self.args, self.exitcode = target, args, 0

    def start(self) -> None:
        try:
            self.run(*self.args)
        except RuntimeError:
            self.exitcode = 1

    def join(self) -> None: ...


@pytest.mark.parametrize("fails", [False, True])
def test_map__by_umap_where_it_is_installed_and_works(
    fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    review, _ = review_of(tmp_path)
    monkeypatch.setattr(Umap, "fails", fails)
    monkeypatch.setitem(sys.modules, "umap", Umap)
    monkeypatch.setattr(map, "find_spec", lambda name: name == "umap" or None)
    monkeypatch.setattr(map, "get_context", lambda _: SimpleNamespace(Process=HereProcess))
    own = RegionMap(review.index)
    own.compute()
    assert own.places is not None
    on_diagonal = np.abs(own.places - np.linspace(0, 1, 24)[:, None]).max() < 1e-6
    assert on_diagonal == (not fails)
