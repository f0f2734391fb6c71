"""Exemplars on disk: learned, named, renamed, and never lost; vectors in the plane."""

from __future__ import annotations

import base64
import json
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from prelabel.data.masks import Rle
from prelabel.errors import UserError
from prelabel.label_studio.names import exemplars as exemplars_module
from prelabel.label_studio.names.exemplar_lines import PhotoExemplars, read_revision
from prelabel.label_studio.names.exemplars import ExemplarFile, Lessons
from prelabel.steps.exemplars import Exemplar, Names
from support.exemplars import CENTROIDS, CLUSTERER, RLE, ask, at, vector


def teach(
    kept: ExemplarFile, photo: str, exemplars: Iterable[Exemplar], *, stamp: str = ""
) -> bool:
    return kept.learn({photo: PhotoExemplars(stamp, tuple(exemplars))})


def test_exemplar_file__keeps_what_made_the_vectors(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    teach(kept, "a", [replace(at(5, "cat", "a"), origin="space-old")], stamp="1")
    teach(kept, "b", [at(5, "cat", "b")], stamp="1")
    teach(kept, "c", [replace(at(5, "cat", "c"), origin="space-new")], stamp="1")
    kept.name_class(1, "dog", centroids=CENTROIDS, clusterer=CLUSTERER, origin="space-old")
    again = ExemplarFile(kept.file)
    assert [e.origin for e in again.exemplars] == ["space-old", "", "space-new", "space-old"]


def test_name_class__leaves_exemplars_of_another_space_alone(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    teach(kept, "a", [replace(at(5, "cat", "a"), origin="other-code")])
    kept.name_class(0, "dog", centroids=CENTROIDS, clusterer=CLUSTERER, origin="space-x")
    assert [e.counts_as for e in kept.exemplars] == ["cat", "dog"]


def test_exemplar_file__survives_and_counts_changes(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    assert teach(kept, "a", [at(5, "cat", "a"), at(80, "", "a")])
    assert teach(kept, "b", [at(7, "dog 🐕", "b")])
    assert not teach(kept, "b", [at(7, "dog 🐕", "b")])
    assert teach(kept, "a", [at(5, "cow", "a")])  # corrected again: takes the earlier one's place
    again = ExemplarFile(tmp_path / "names.jsonl")
    assert again.revision == kept.revision == 3
    assert [(e.photo, e.name) for e in again.exemplars] == [("a", "cow"), ("b", "dog 🐕")]
    np.testing.assert_array_equal(again.exemplars[0].embedding, vector(5))


def test_exemplar_file__a_line_per_photo(tmp_path: Path) -> None:
    file = tmp_path / "new" / "names.jsonl"
    embedding = np.array([1, -2.5], dtype=np.float32)
    teach(ExemplarFile(file), "7/image", [Exemplar("7/image", RLE, embedding, "cat")], stamp="abc")
    head, line = file.read_text(encoding="ascii").splitlines()
    assert json.loads(head) == {"revision": 1}
    data = base64.b64encode(struct.pack("<2f", 1, -2.5)).decode()
    exemplar = {"name": "cat", "rle": RLE, "embedding": data}
    assert json.loads(line) == {"photo": "7/image", "stamp": "abc", "exemplars": [exemplar]}


def test_exemplar_file__a_new_stamp_alone_keeps_the_revision(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    assert kept.stamp_of("a") is None
    assert teach(kept, "a", [at(5, "cat", "a")], stamp="1")
    assert not teach(kept, "a", [at(5, "cat", "a")], stamp="2")
    assert not teach(kept, "b", [], stamp="3")  # looked at, nothing to learn
    again = ExemplarFile(kept.file)
    assert (again.revision, again.stamp_of("a"), again.stamp_of("b")) == (1, "2", "3")


def test_exemplar_file__a_photo_that_is_learned_as_empty_teaches_nothing(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    teach(kept, "a", [at(5, "cat", "a")], stamp="1")
    assert teach(kept, "a", [])
    again = ExemplarFile(kept.file)
    assert (again.revision, again.exemplars, again.stamp_of("a")) == (2, (), "")


def test_exemplar_file__several_photos_at_once_are_one_revision(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    lessons: Lessons = {name: PhotoExemplars("1:x", (at(5, "cat", name),)) for name in ("a", "b")}
    assert kept.learn(lessons)
    assert not kept.learn(lessons)
    assert (kept.revision, len(kept.exemplars)) == (1, 2)


def test_exemplar_file__photos_of_annotations(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    for photo, stamp in (("a", "1:x"), ("b", "12:x"), ("c", "")):
        teach(kept, photo, [], stamp=stamp)
    assert kept.photos_of_annotations([1, 2]) == ["a"]
    assert kept.photos_of_annotations(["12", "1"]) == ["a", "b"]
    assert kept.photos_of_annotations([]) == []


def test_exemplar_file__written_by_an_earlier_version(tmp_path: Path) -> None:
    def embedding(*numbers: float) -> str:
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()

    file = tmp_path / "names.jsonl"
    file.write_text(
        '{"revision": 7}\n'
        '{"photo": "3/image", "stamp": "9:0123456789abcdef", "exemplars": [{"name": "d\\u00f6g", '
        f'"rle": {{"size": [1, 1], "counts": "01"}}, "embedding": "{embedding(1, -2.5)}"}}, '
        f'{{"name": "", "rle": null, "embedding": "{embedding(0.5)}", "renamed": "cat"}}]}}\n'
        '{"photo": "4/image/1", "stamp": "", "exemplars": []}\n'
        f'{{"photo": "centroid:00", "stamp": "", "exemplars": [{{"name": "\\ud83d", "rle": null, '
        f'"embedding": "{embedding()}"}}]}}\n',
        encoding="ascii",
    )
    text = file.read_text(encoding="ascii")
    kept = ExemplarFile(file)
    assert [(e.photo, e.rle, e.embedding.tolist(), e.name, e.renamed) for e in kept.exemplars] == [
        ("3/image", RLE, [1, -2.5], "d\u00f6g", None),
        ("3/image", None, [0.5], "", "cat"),
        ("centroid:00", None, [], "\ud83d", None),
    ]
    assert (kept.revision, kept.stamp_of("3/image")) == (7, "9:0123456789abcdef")
    assert teach(kept, "5/image", [at(5, "cat", "5/image")], stamp="1:x")
    head, *lines = file.read_text(encoding="ascii").splitlines()
    assert head == '{"revision": 8}'
    assert lines[:3] == text.splitlines()[1:]  # what is not changed is written as it was


@pytest.mark.parametrize("other", [at(5, "dog"), at(6, "cat"), Exemplar("p", None, vector(5), "")])
def test_exemplar_file__names_masks_and_embeddings_count(tmp_path: Path, other: Exemplar) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    teach(kept, "p", [at(5, "cat")])
    assert teach(kept, "p", [other])
    assert kept.revision == 2


def test_read_revision__is_the_first_line_alone(tmp_path: Path) -> None:
    file = tmp_path / "names.jsonl"
    assert read_revision(file) == 0
    file.write_text('{"revision": 7}\n{"photo": "a"', encoding="ascii")
    assert read_revision(file) == 7
    file.write_text("", encoding="ascii")
    with pytest.raises(UserError, match=r"names\.jsonl cannot be read as names"):
        read_revision(file)


@given(
    st.lists(
        st.tuples(
            st.text(max_size=6),
            st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=4),
            st.none() | st.just(RLE),
        ),
        max_size=4,
    ),
    st.text(max_size=6),
)
def test_exemplar_file__gives_back_what_it_was_given(
    tmp_path_factory: pytest.TempPathFactory,
    facts: list[tuple[str, list[float], Rle | None]],
    photo: str,
) -> None:
    file = tmp_path_factory.mktemp("names") / "names.jsonl"
    given_ = [Exemplar(photo, rle, np.array(v, dtype=np.float32), name) for name, v, rle in facts]
    assert teach(ExemplarFile(file), photo, given_, stamp="s") == bool(given_)
    again = ExemplarFile(file)
    assert again.revision == read_revision(file) == bool(given_)
    for found, expected in zip(again.exemplars, given_, strict=True):
        assert (found.photo, found.rle, found.name) == (photo, expected.rle, expected.name)
        np.testing.assert_array_equal(found.embedding, expected.embedding)


def test_exemplar_file__two_that_were_opened_before_lose_nothing(tmp_path: Path) -> None:
    one, other = (ExemplarFile(tmp_path / "names.jsonl") for _ in range(2))
    teach(one, "a", [at(5, "cat", "a")])
    teach(other, "b", [at(5, "dog", "b")])
    assert [e.name for e in other.exemplars] == ["cat", "dog"]
    assert other.revision == read_revision(other.file) == 2


def test_exemplar_file__threads_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "names.jsonl"
    shared = ExemplarFile(file)

    def learn(thread: int) -> None:
        own = shared if thread % 2 else ExemplarFile(file)
        for i in range(5):
            teach(own, f"{thread}/{i}", [at(i, "cat", f"{thread}/{i}")])

    threads = [threading.Thread(target=learn, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    photos = {e.photo for e in ExemplarFile(file).exemplars}
    assert photos == {f"{thread}/{i}" for thread in range(4) for i in range(5)}
    assert read_revision(file) == 20


LEARN = """
import sys
from pathlib import Path
import numpy as np
from prelabel.label_studio.names.exemplar_lines import PhotoExemplars
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.steps.exemplars import Exemplar
kept = ExemplarFile(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for i in range(20):
    photo = f"{sys.argv[2]}/{i}"
    exemplar = Exemplar(photo, None, np.ones(2, dtype=np.float32), "cat")
    kept.learn({photo: PhotoExemplars("", (exemplar,))})
"""


@pytest.mark.slow
def test_exemplar_file__processes_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "names.jsonl"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", LEARN, str(file), str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for n in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:  # both are loaded: they start together
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    found = {e.photo for e in ExemplarFile(file).exemplars}
    assert found == {f"{n}/{i}" for n in range(2) for i in range(20)}
    assert read_revision(file) == 40


def test_exemplar_file__locked_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exemplars_module, "_PATIENCE", 0.1)
    with FileLock(tmp_path / "names.jsonl.lock"), pytest.raises(UserError, match="locked"):
        teach(ExemplarFile(tmp_path / "names.jsonl"), "a", [at(5, "cat", "a")])


def test_exemplar_file__is_replaced_not_written_to(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    teach(kept, "a", [at(5, "cat", "a")])
    (tmp_path / "snapshot.jsonl").hardlink_to(kept.file)
    teach(kept, "a", [at(5, "dog", "a")])
    assert ExemplarFile(tmp_path / "snapshot.jsonl").exemplars[0].name == "cat"


def of(kept: ExemplarFile, centroids: NDArray[np.float32] = CENTROIDS) -> Names:
    """The names as another process would read them."""
    return Names(ExemplarFile(kept.file).exemplars, centroids, clusterer=CLUSTERER)


def test_name_class__without_exemplars_names_all_of_it(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    assert kept.name_class(1, "cat", centroids=CENTROIDS, clusterer=CLUSTERER)
    assert not kept.name_class(1, "cat", centroids=CENTROIDS, clusterer=CLUSTERER)
    assert kept.revision == 1
    assert kept.exemplars[0].photo.startswith("centroid:")
    assert kept.exemplars[0].rle is None
    assert ask(of(kept), (90, 1), (50, 1), (0, 0)) == ["cat", "cat", None]
    assert of(kept).table(3) == [{}, {"cat": 1}, {}]


def test_name_class__wins_over_what_was_corrected_before(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    teach(kept, "a", [at(-20, "dog", "a"), at(20, "", "a"), at(80, "cow", "a")])
    kept.name_class(0, "cat", centroids=CENTROIDS, clusterer=CLUSTERER)
    assert ask(of(kept), (-20, 0), (20, 0), (80, 1)) == ["cat", "cat", "cow"]


def test_name_class__what_is_corrected_later_splits_it(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    kept.name_class(0, "cat", centroids=CENTROIDS, clusterer=CLUSTERER)
    teach(kept, "a", [at(30, "dog", "a")])
    assert ask(of(kept), (14, 0), (16, 0), (-40, 0)) == ["cat", "dog", "cat"]
    kept.name_class(0, "cow", centroids=CENTROIDS, clusterer=CLUSTERER)
    assert ask(of(kept), (14, 0), (16, 0), (-40, 0)) == ["cow", "cow", "cow"]


def test_name_class__an_old_label_that_is_still_drawn_does_not_come_back(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    teach(kept, "a", [at(20, "dog", "a")], stamp="1")
    kept.name_class(0, "cat", centroids=CENTROIDS, clusterer=CLUSTERER)
    # The photo gets one region more; the first is as it was.
    teach(kept, "a", [at(20, "dog", "a"), Exemplar("a", None, vector(90), "cow")], stamp="2")
    assert ask(of(kept), (20, 0), (90, 1)) == ["cat", "cow"]
    teach(kept, "a", [at(20, "fox", "a")], stamp="3")  # given another label: a later correction
    assert ask(of(kept), (20, 0), (0, 0)) == ["fox", "cat"]


def test_name_class__survives_a_refit(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    teach(kept, "a", [at(25, "dog", "a"), at(60, "cow", "a")])
    kept.name_class(0, "cat", centroids=CENTROIDS, clusterer=CLUSTERER)
    moved = np.stack([vector(180), vector(30), vector(-5)])  # 25° and 60° are in class 1 now
    assert ask(of(kept, moved), (-5, 2), (30, 1), (59, 1)) == ["cat", "cat", "cow"]


def test_name_class__nothing(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    teach(kept, "a", [at(25, "dog", "a")])
    kept.name_class(0, "", centroids=CENTROIDS, clusterer=CLUSTERER)
    assert ask(of(kept), (25, 0)) == [None]


@pytest.mark.parametrize(("index", "n"), [(3, 3), (-1, 3), (0, 0)])
def test_name_class__that_is_not_there(tmp_path: Path, index: int, n: int) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    with pytest.raises(UserError, match=f"no class {index}"):
        kept.name_class(index, "cat", centroids=CENTROIDS[:n], clusterer=CLUSTERER)
    assert not kept.file.exists()


def test_rename__makes_one_name_of_two(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    teach(kept, "a", [at(5, "dog", "a"), at(20, "puppy", "a"), at(-20, "", "a")])
    teach(kept, "b", [at(95, "puppy", "b")], stamp="1")
    kept.name_class(2, "puppy", centroids=CENTROIDS, clusterer=CLUSTERER)
    assert kept.revision == 3
    assert kept.rename("puppy", "dog")
    assert kept.revision == read_revision(kept.file) == 4
    assert of(kept).table(3) == [{"dog": 2, "": 1}, {"dog": 1}, {"dog": 1}]
    assert not kept.rename("puppy", "dog")
    teach(kept, "b", [at(95, "puppy", "b")], stamp="2")  # the annotation still says so
    assert kept.revision == 4
    assert ask(of(kept), (95, 1)) == ["dog"]


def test_rename__of_an_empty_name(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    for old, new in (("", "dog"), ("dog", "")):
        with pytest.raises(UserError, match="neither may be empty"):
            kept.rename(old, new)


def test_exemplar_file__damaged(tmp_path: Path) -> None:
    file = tmp_path / "names.jsonl"
    kept = ExemplarFile(file)
    text = '{"revision": 1}\n{"photo": "a"'
    file.write_text(text, encoding="ascii")
    for use in (lambda: ExemplarFile(file), lambda: teach(kept, "a", [at(5, "cat", "a")])):
        with pytest.raises(UserError, match=r"names\.jsonl cannot be read as names"):
            use()
    assert file.read_text(encoding="ascii") == text
