"""Names learned from exemplars, on vectors in the plane."""

from __future__ import annotations

import base64
import json
import struct
import subprocess
import sys
import threading
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
from prelabel.label_studio.names.exemplars import ExemplarFile, read_revision
from prelabel.label_studio.names.table import Exemplar, Names
from prelabel.strategies import registry

RLE: Rle = {"size": [1, 1], "counts": "01"}
CLUSTERER = registry.make("clusterer", "spherical-kmeans", {})
CENTROIDS = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)


def at(degrees: float, name: str, photo: str = "p") -> Exemplar:
    return Exemplar(photo, RLE, vector(degrees), name)


def vector(degrees: float) -> NDArray[np.float32]:
    angle = np.deg2rad(degrees)
    return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)


def names(*exemplars: Exemplar, **defaults: str) -> Names:
    known = {int(k[1:]): v for k, v in defaults.items()}
    return Names(exemplars, CENTROIDS, clusterer=CLUSTERER, defaults=known)


def ask(given: Names, *regions: tuple[float, int]) -> list[str | None]:
    return given(np.stack([vector(d) for d, _ in regions]), [c for _, c in regions])


def test_names__one_exemplar_names_its_class_everywhere() -> None:
    learned = names(at(5, "cat"))
    assert ask(learned, (0, 0), (-40, 0), (90, 1)) == ["cat", "cat", None]


def test_names__two_classes_of_one_label_merge() -> None:
    assert ask(names(at(5, "cat"), at(95, "cat")), (0, 0), (90, 1)) == ["cat", "cat"]


def test_names__a_class_of_two_labels_splits_at_the_nearest() -> None:
    learned = names(at(-20, "cat"), at(20, "dog"))
    assert ask(learned, (-5, 0), (5, 0), (30, 0)) == ["cat", "dog", "dog"]


def test_names__deleted_regions_stay_without_a_name() -> None:
    assert ask(names(at(0, "")), (10, 0)) == [None]
    assert ask(names(at(-20, "cat"), at(20, "")), (-30, 0), (30, 0)) == ["cat", None]


def test_names__defaults_until_somebody_names() -> None:
    learned = names(at(5, "cat"), c0="zebra", c1="dog")
    assert ask(learned, (0, 0), (90, 1), (180, 2)) == ["cat", "dog", None]
    assert learned.table(3) == [{"cat": 1}, {}, {}]


def test_names__a_refit_that_renumbers_changes_nothing() -> None:
    exemplars = [at(5, "cat"), at(85, "dog")]
    before = Names(exemplars, CENTROIDS, clusterer=CLUSTERER)
    after = Names(exemplars, CENTROIDS[::-1].copy(), clusterer=CLUSTERER)
    assert ask(before, (0, 0), (90, 1)) == ask(after, (0, 2), (90, 1)) == ["cat", "dog"]


def test_names__of_another_embedder_are_left_out() -> None:
    other = Exemplar("p", RLE, np.ones(5, dtype=np.float32), "cat")
    assert ask(names(other), (0, 0)) == [None]


def test_names__of_the_same_embedder_in_other_code_count_and_that_is_said(
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


def test_names__that_are_up_to_date_need_no_word(caplog: pytest.LogCaptureFixture) -> None:
    outright = Exemplar("centroid:1", None, vector(95), "dog", origin="space-fitted")
    exemplars = [replace(at(5, "cat"), origin="space-x"), outright]
    learned = Names(exemplars, CENTROIDS, clusterer=CLUSTERER, origin="space-x")
    assert ask(learned, (0, 0), (90, 1)) == ["cat", "dog"]
    assert not caplog.messages


def test_exemplar_file__keeps_what_made_the_vectors(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    kept.learn("a", [replace(at(5, "cat", "a"), origin="space-old")], stamp="1")
    kept.learn("b", [at(5, "cat", "b")], stamp="1")
    kept.learn("c", [replace(at(5, "cat", "c"), origin="space-new")], stamp="1")
    kept.name_class(1, "dog", centroids=CENTROIDS, clusterer=CLUSTERER, origin="space-old")
    again = ExemplarFile(kept.file)
    assert [e.origin for e in again.exemplars] == ["space-old", "", "space-new", "space-old"]
    assert again.outdated("space-new") == ["a", "b"]  # a class has no photo to embed again
    assert not again.is_outdated("c", "space-new")
    assert not again.is_outdated("nobody", "space-new")


def test_name_class__leaves_exemplars_of_another_space_alone(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    kept.learn("a", [replace(at(5, "cat", "a"), origin="other-code")])
    kept.name_class(0, "dog", centroids=CENTROIDS, clusterer=CLUSTERER, origin="space-x")
    assert [e.counts_as for e in kept.exemplars] == ["cat", "dog"]


def test_exemplar_file__survives_and_counts_changes(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    assert kept.learn("a", [at(5, "cat", "a"), at(80, "", "a")])
    assert kept.learn("b", [at(7, "dog 🐕", "b")])
    assert not kept.learn("b", [at(7, "dog 🐕", "b")])
    assert kept.learn("a", [at(5, "cow", "a")])  # corrected again: takes the earlier one's place
    again = ExemplarFile(tmp_path / "names.jsonl")
    assert again.revision == kept.revision == 3
    assert [(e.photo, e.name) for e in again.exemplars] == [("a", "cow"), ("b", "dog 🐕")]
    np.testing.assert_array_equal(again.exemplars[0].embedding, vector(5))


def test_exemplar_file__a_line_per_photo(tmp_path: Path) -> None:
    file = tmp_path / "new" / "names.jsonl"
    embedding = np.array([1, -2.5], dtype=np.float32)
    ExemplarFile(file).learn("7/image", [Exemplar("7/image", RLE, embedding, "cat")], stamp="abc")
    head, line = file.read_text(encoding="ascii").splitlines()
    assert json.loads(head) == {"revision": 1}
    data = base64.b64encode(struct.pack("<2f", 1, -2.5)).decode()
    exemplar = {"name": "cat", "rle": RLE, "embedding": data}
    assert json.loads(line) == {"photo": "7/image", "stamp": "abc", "exemplars": [exemplar]}


def test_exemplar_file__a_new_stamp_alone_is_no_new_revision(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    assert kept.stamp_of("a") is None
    assert kept.learn("a", [at(5, "cat", "a")], stamp="1")
    assert not kept.learn("a", [at(5, "cat", "a")], stamp="2")
    assert not kept.learn("b", [], stamp="3")  # looked at, nothing to learn
    again = ExemplarFile(kept.file)
    assert (again.revision, again.stamp_of("a"), again.stamp_of("b")) == (1, "2", "3")


def test_exemplar_file__what_is_forgotten_teaches_nothing(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    kept.learn("a", [at(5, "cat", "a")], stamp="1")
    kept.learn("b", [], stamp="2")
    assert not kept.forget("c")
    assert not kept.forget("b")
    assert kept.forget("a")
    again = ExemplarFile(kept.file)
    assert (again.revision, again.exemplars) == (2, ())
    assert again.stamp_of("a") is again.stamp_of("b") is None


@pytest.mark.parametrize("other", [at(5, "dog"), at(6, "cat"), Exemplar("p", None, vector(5), "")])
def test_exemplar_file__names_masks_and_embeddings_count(tmp_path: Path, other: Exemplar) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    kept.learn("p", [at(5, "cat")])
    assert kept.learn("p", [other])
    assert kept.revision == 2


def test_read_revision__is_the_first_line_alone(tmp_path: Path) -> None:
    file = tmp_path / "names.jsonl"
    assert read_revision(file) == 0
    file.write_text('{"revision": 7}\n{"photo": "a"', encoding="ascii")
    assert read_revision(file) == 7
    file.write_text("", encoding="ascii")
    with pytest.raises(UserError, match=r"names\.jsonl holds no exemplars"):
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
    assert ExemplarFile(file).learn(photo, given_, stamp="s") == bool(given_)
    again = ExemplarFile(file)
    assert again.revision == read_revision(file) == bool(given_)
    for found, wanted in zip(again.exemplars, given_, strict=True):
        assert (found.photo, found.rle, found.name) == (photo, wanted.rle, wanted.name)
        np.testing.assert_array_equal(found.embedding, wanted.embedding)


def test_exemplar_file__two_that_were_opened_before_lose_nothing(tmp_path: Path) -> None:
    one, other = (ExemplarFile(tmp_path / "names.jsonl") for _ in range(2))
    one.learn("a", [at(5, "cat", "a")])
    other.learn("b", [at(5, "dog", "b")])
    assert [e.name for e in other.exemplars] == ["cat", "dog"]
    assert other.revision == read_revision(other.file) == 2


def test_exemplar_file__threads_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "names.jsonl"
    shared = ExemplarFile(file)

    def learn(thread: int) -> None:
        own = shared if thread % 2 else ExemplarFile(file)
        for i in range(5):
            own.learn(f"{thread}/{i}", [at(i, "cat", f"{thread}/{i}")])

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
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.names.table import Exemplar
kept = ExemplarFile(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for i in range(20):
    photo = f"{sys.argv[2]}/{i}"
    kept.learn(photo, [Exemplar(photo, None, np.ones(2, dtype=np.float32), "cat")])
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
        ExemplarFile(tmp_path / "names.jsonl").learn("a", [at(5, "cat", "a")])


def test_exemplar_file__is_replaced_not_written_to(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    kept.learn("a", [at(5, "cat", "a")])
    (tmp_path / "snapshot.jsonl").hardlink_to(kept.file)
    kept.learn("a", [at(5, "dog", "a")])
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
    kept.learn("a", [at(-20, "dog", "a"), at(20, "", "a"), at(80, "cow", "a")])
    kept.name_class(0, "cat", centroids=CENTROIDS, clusterer=CLUSTERER)
    assert ask(of(kept), (-20, 0), (20, 0), (80, 1)) == ["cat", "cat", "cow"]


def test_name_class__what_is_corrected_later_splits_it(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    kept.name_class(0, "cat", centroids=CENTROIDS, clusterer=CLUSTERER)
    kept.learn("a", [at(30, "dog", "a")])
    assert ask(of(kept), (14, 0), (16, 0), (-40, 0)) == ["cat", "dog", "cat"]
    kept.name_class(0, "cow", centroids=CENTROIDS, clusterer=CLUSTERER)
    assert ask(of(kept), (14, 0), (16, 0), (-40, 0)) == ["cow", "cow", "cow"]


def test_name_class__an_old_label_that_is_still_drawn_does_not_come_back(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    kept.learn("a", [at(20, "dog", "a")], stamp="1")
    kept.name_class(0, "cat", centroids=CENTROIDS, clusterer=CLUSTERER)
    # The photo gets one region more; the first is as it was.
    kept.learn("a", [at(20, "dog", "a"), Exemplar("a", None, vector(90), "cow")], stamp="2")
    assert ask(of(kept), (20, 0), (90, 1)) == ["cat", "cow"]
    kept.learn("a", [at(20, "fox", "a")], stamp="3")  # given another label: a later correction
    assert ask(of(kept), (20, 0), (0, 0)) == ["fox", "cat"]


def test_name_class__survives_a_refit(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    kept.learn("a", [at(25, "dog", "a"), at(60, "cow", "a")])
    kept.name_class(0, "cat", centroids=CENTROIDS, clusterer=CLUSTERER)
    moved = np.stack([vector(180), vector(30), vector(-5)])  # 25° and 60° are in class 1 now
    assert ask(of(kept, moved), (-5, 2), (30, 1), (59, 1)) == ["cat", "cat", "cow"]


def test_name_class__nothing(tmp_path: Path) -> None:
    kept = ExemplarFile(tmp_path / "names.jsonl")
    kept.learn("a", [at(25, "dog", "a")])
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
    kept.learn("a", [at(5, "dog", "a"), at(20, "puppy", "a"), at(-20, "", "a")])
    kept.learn("b", [at(95, "puppy", "b")], stamp="1")
    kept.name_class(2, "puppy", centroids=CENTROIDS, clusterer=CLUSTERER)
    assert kept.revision == 3
    assert kept.rename("puppy", "dog")
    assert kept.revision == read_revision(kept.file) == 4
    assert of(kept).table(3) == [{"dog": 2, "": 1}, {"dog": 1}, {"dog": 1}]
    assert not kept.rename("puppy", "dog")
    kept.learn("b", [at(95, "puppy", "b")], stamp="2")  # the annotation still says so
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
    for use in (lambda: ExemplarFile(file), lambda: kept.learn("a", [at(5, "cat", "a")])):
        with pytest.raises(UserError, match=r"names\.jsonl holds no exemplars"):
            use()
    assert file.read_text(encoding="ascii") == text
