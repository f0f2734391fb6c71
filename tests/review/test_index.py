"""The index of a source's regions on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prelabel.errors import UserError
from prelabel.review.index import RegionIndex, build_index, start_classes
from prelabel.review.source import ReviewPhoto
from support.messages import assert_says
from support.review_source import DIM, SyntheticSource


def test_build__is_read_once_and_gives_what_the_source_gave(tmp_path: Path) -> None:
    source = SyntheticSource(n_photos=5, per_photo=3, names={0: "cat", 1: None})
    index = build_index(source, tmp_path / "index")
    again = build_index(source, tmp_path / "index")
    assert source.read == 1
    assert (len(again), again.n_photos, again.dim) == (15, 5, DIM)
    given_ = list(source.regions())
    assert list(index.photos()) == [index.read_photo(i) for i in range(5)]
    for number, photo in enumerate(given_):
        kept = again.read_photo(number)
        assert (kept.id, kept.name, kept.width, kept.height) == (
            photo.id, photo.name, photo.width, photo.height,
        )  # fmt: skip
        assert list(kept.regions) == list(photo.regions)
        assert list(kept.names) == list(photo.names)
        assert kept.first == 3 * number
    assert again.photo.tolist() == [i // 3 for i in range(15)]
    assert again.start_names == {0: "cat", 1: None, 2: ""}


@settings(max_examples=30)
@given(ids=st.lists(st.integers(0, 23), max_size=40))
def test_vectors__of_any_regions_in_any_order(
    ids: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = SyntheticSource()
    index = build_index(source, tmp_path_factory.getbasetemp() / "index-of-vectors")
    whole = np.concatenate([photo.vectors for photo in source.regions()])
    unit = whole / np.linalg.norm(whole, axis=1, keepdims=True)
    found = index.vectors(np.array(ids, dtype=np.int32))
    assert np.abs(found - unit[ids]).max(initial=0) < 1e-3


def test_vectors__that_come_late_are_of_their_own_regions(tmp_path: Path) -> None:
    class Late(SyntheticSource):
        def regions(self):  # type: ignore[no-untyped-def]
            for i, photo in enumerate(super().regions()):
                nothing = np.zeros((4, 0), dtype=np.float32)
                yield ReviewPhoto(
                    *(photo.id, photo.name, photo.width, photo.height, photo.regions),
                    photo.vectors if i % 3 == 1 else nothing,
                    photo.names,
                )

    index = build_index(Late(), tmp_path / "index")
    lengths = np.linalg.norm(index.vectors(np.arange(24, dtype=np.int32)), axis=1)
    assert lengths.round(2).tolist() == ([0.0] * 4 + [1.0] * 4 + [0.0] * 4) * 2


def test_start_classes__of_several_names_and_without_a_cluster() -> None:
    clusters = np.array([0, 0, 0, 2, 2, -1, -1], dtype=np.int32)
    numbers = np.array([0, 1, 1, 0, 0, 0, 1], dtype=np.int32)
    found, names = start_classes(clusters, numbers, ["", "cat"])
    assert found.tolist() == [5, 0, 0, 2, 2, 3, 4]
    assert names == {0: "cat", 5: "", 2: "", 3: "", 4: "cat"}


def test_a_damaged_index__says_what_to_do(tmp_path: Path) -> None:
    index = build_index(SyntheticSource(), tmp_path / "index")
    (tmp_path / "index" / "score.npy").write_bytes(b"nothing")
    with pytest.raises(UserError) as error:
        RegionIndex(index.folder)
    assert_says(error.value, "is damaged", "remove it")


def test_build__that_was_killed_leaves_nothing(tmp_path: Path) -> None:
    class Killed(SyntheticSource):
        def regions(self):  # type: ignore[no-untyped-def]
            yield from list(super().regions())[:2]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(Killed(), tmp_path / "index")
    assert not list(tmp_path.iterdir())
    assert len(build_index(SyntheticSource(), tmp_path / "index")) == 24
