"""One prediction of this tool for each task, whoever else writes at the same time."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prelabel.label_studio import prediction_writer
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.errors import ServerFault
from prelabel.label_studio.format.items import PredictionJson
from prelabel.label_studio.led_tasks import Leading, write_leading
from prelabel.label_studio.model_version import is_own
from prelabel.label_studio.prediction_writer import (
    PredictionWriter,
    TaskAndPrediction,
    surplus,
)
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.storage.locks import InUseError
from support.fake_label_studio import TOKEN, FakeLabelStudio, running
from support.messages import assert_says

OLD, NEW, ALIEN, FOREIGN = "0123456789ab-1", "0123456789ab-12", "ffffffffffff-0", "yolo, the 8th"
N = 6


def prediction(version: str = NEW) -> PredictionJson:
    return {"result": [], "score": 0.5, "model_version": version}


class Project:
    """A project with N tasks on a small server; its folder has given out OLD and NEW."""

    def __init__(self, server: FakeLabelStudio, folder: Path) -> None:
        self.server = server
        name, tasks = server.project(N)
        self.id = int(name.partition(".")[0])
        self.tasks = [task["id"] for task in tasks]
        self.folder = ProjectFolder(folder / "home" / str(self.id))
        self.folder.update(version=NEW, versions=(OLD,))
        self.client = Client(server.url, TOKEN, attempts=1)

    def writer(self, version: str = NEW, **options: Any) -> PredictionWriter:
        return PredictionWriter(self.client, self.id, self.folder, version, **options)

    def made(self, version: str = NEW) -> list[TaskAndPrediction]:
        return [(task, prediction(version)) for task in self.tasks]

    def store(self, version: str, *tasks: int) -> None:
        """As somebody else."""
        chosen = tasks or self.tasks
        self.server.store([{"task": task, **prediction(version)} for task in chosen])

    def versions(self) -> list[list[str]]:
        """Of each task."""
        return [
            [p["model_version"] for p in self.server.tasks[task]["predictions"]]
            for task in self.tasks
        ]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with running() as server:
        yield Project(server, tmp_path)


def test_write__leaves_out_tasks_that_got_one_meanwhile_or_are_gone(project: Project) -> None:
    first, second, third, *rest = project.tasks
    project.store(NEW, first)
    project.store(OLD, second)
    project.store(FOREIGN, *rest)
    made = project.made()
    del project.server.tasks[third]
    project.tasks.remove(third)
    written = project.writer().write(made, only_missing=True)
    assert (written.current, written.earlier, written.gone) == ([first], [second], [third])
    assert written.imported == rest
    assert project.versions() == [[NEW], [OLD], *[[FOREIGN, NEW]] * (N - 3)]
    again = project.writer().write(made)
    assert (again.imported, again.current, again.removed) == ([second], [first, *rest], 0)


def test_write__tasks_that_come_first_keep_their_place(project: Project) -> None:
    first, second, *rest = project.tasks
    write_leading(project.folder.path, Leading(tasks=(second, first)))
    project.writer().write(project.made())
    stored = {t: project.server.tasks[t]["predictions"][0]["score"] for t in project.tasks}
    assert stored[second] == -1
    assert -1 < stored[first] < 0
    assert {stored[task] for task in rest} == {0.5}


@pytest.mark.parametrize("other", [NEW, ALIEN])
def test_write__what_another_machine_stores_at_the_same_moment_is_not_doubled(
    project: Project, other: str
) -> None:
    project.server.on_import = lambda: project.store(other)
    written = project.writer().write(project.made(), only_missing=True)
    assert (len(written.imported), written.removed) == (N, N)
    assert project.versions() == [[NEW]] * N  # the lower number


def test_write__takes_turns_with_other_writers(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_writer, "_BATCH", 1)
    others = [project.writer() for _ in range(3)]
    threads = [threading.Thread(target=lambda w=w: w.write(project.made())) for w in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert project.versions() == [[NEW]] * N


_HOLDS = """
import sys, time
from pathlib import Path
from prelabel.storage.locks import exclusive
with exclusive(Path(sys.argv[1]) / "predictions.lock", "it"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_write__waits_for_another_process_and_not_for_one_that_was_killed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_writer, "_PATIENCE", 0.2)
    command = [sys.executable, "-c", _HOLDS, str(project.folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        with pytest.raises(InUseError) as error:
            project.writer().write(project.made())
        assert_says(error.value, f"the predictions of project {project.id}", str(process.pid))
        assert project.versions() == [[]] * N
        process.kill()
        process.wait()
        assert (project.folder.path / "predictions.lock").exists()
        project.writer().write(project.made())
    assert project.versions() == [[NEW]] * N


def test_remove_earlier__a_whole_version_in_one_request(project: Project) -> None:
    project.store(OLD)
    project.store(FOREIGN)
    project.store(ALIEN)
    writer = project.writer()
    writer.write(project.made())
    assert writer.remove_earlier() == N
    assert project.versions() == [[FOREIGN, ALIEN, NEW]] * N
    assert project.server.count("DELETE /api/predictions") == 0
    assert project.server.count("DELETE /api/projects/1/model-versions") == 1
    assert writer.remove_earlier() == 0
    others = project.writer(replaces=is_own)
    assert others.remove_earlier() == N
    assert project.versions() == [[FOREIGN, NEW]] * N


def test_remove_earlier__stays_where_there_is_no_new_one(project: Project) -> None:
    project.store(OLD)
    writer = project.writer()
    writer.write(project.made()[1:])
    assert writer.remove_earlier() == N - 1
    assert project.versions() == [[OLD], *[[NEW]] * (N - 1)]
    assert project.server.count("DELETE /api/projects") == 0  # would take the first one's too


def test_remove_earlier__two_writers_of_two_versions_leave_one(project: Project) -> None:
    ours, theirs = project.writer(replaces=is_own), project.writer(ALIEN, replaces=is_own)
    ours.write(project.made())
    theirs.write(project.made(ALIEN))
    assert ours.remove_earlier() == N
    assert theirs.remove_earlier() == 0
    assert project.versions() == [[NEW]] * N


@pytest.mark.parametrize("shown", ["prelabel", "", OLD, FOREIGN])
def test_remove_earlier__keeps_what_the_label_stream_shows(
    project: Project, monkeypatch: pytest.MonkeyPatch, shown: str
) -> None:
    project.server.backends[project.id] = ["prelabel"]
    project.store(OLD)
    project.store(FOREIGN)
    project.server.shown[project.id] = shown
    seen: list[Any] = []
    delete_version = project.server.delete_version

    def deleted(number: int, version: str) -> dict[str, Any]:
        seen.append(project.server.shown[project.id])
        return delete_version(number, version)

    monkeypatch.setattr(project.server, "delete_version", deleted)
    writer = project.writer()
    writer.write(project.made())
    assert writer.remove_earlier() == N
    assert project.versions() == [[FOREIGN, NEW]] * N
    assert project.server.shown[project.id] == shown
    # Meanwhile annotators see predictions too.
    assert seen == {"prelabel": [NEW], OLD: []}.get(shown, [shown])


@pytest.mark.parametrize(
    ("shown", "after", "part"),
    [
        ("", NEW, f"model version is {NEW}"),
        (None, NEW, f"model version is {NEW}"),
        (OLD, NEW, f"model version is {NEW}"),
        (ALIEN, NEW, f"model version is {NEW}"),
        (NEW, NEW, f"model version is {NEW}"),
        ("prelabel", "prelabel", "what the backend 'prelabel' predicts"),
        (FOREIGN, FOREIGN, f"choose {NEW} in the project's settings"),
    ],
)
def test_show__unless_others_are_shown(
    project: Project, shown: str | None, after: str, part: str
) -> None:
    project.server.backends[project.id] = ["prelabel"]
    project.store(FOREIGN)
    project.store(NEW)
    project.server.shown[project.id] = shown
    assert part in project.writer().show()
    assert project.server.shown[project.id] == after
    assert project.server.count("PATCH") == (shown != after)
    if after == NEW:
        assert project.server.next_predictions(project.tasks[0]) == [NEW]


def test_show__a_version_without_predictions_cannot_be_shown(project: Project) -> None:
    project.server.shown[project.id] = ""
    assert "none of this version" in project.writer().show()
    assert project.server.count("PATCH") == 0


def test_heal__what_was_doubled_before(project: Project) -> None:
    first, second, third, fourth, *rest = project.tasks
    for version in (OLD, NEW, NEW, FOREIGN):
        project.store(version, first)
    for version in (OLD, OLD):
        project.store(version, second)
    project.store(NEW, third)
    for version in (ALIEN, NEW):
        project.store(version, fourth)
    assert project.writer().heal(project.tasks) == 3
    kept = [[NEW, FOREIGN], [OLD], [NEW], [ALIEN, NEW]]
    assert project.versions() == [*kept, *[[]] * len(rest)]


def test_writer__old_ones_go_when_the_new_ones_are_shown(project: Project) -> None:
    project.store(OLD)
    project.server.shown[project.id] = OLD
    writer = project.writer()
    writer.write(project.made())
    assert project.server.next_predictions(project.tasks[0]) == [OLD]
    writer.show()
    assert project.server.next_predictions(project.tasks[0]) == [NEW]
    writer.remove_earlier()
    assert project.server.next_predictions(project.tasks[0]) == [NEW]
    assert project.versions() == [[NEW]] * N


def test_writer__goes_on_after_a_fault(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_writer, "_BATCH", 2)
    project.store(OLD)

    def fail() -> None:
        project.server.failing = "import/predictions"

    project.server.on_import = fail
    with pytest.raises(ServerFault):
        project.writer().write(project.made())
    assert project.versions() == [*[[OLD, NEW]] * 2, *[[OLD]] * (N - 2)]
    project.server.failing = ""
    written = project.writer().write(project.made())
    assert (len(written.imported), len(written.current)) == (N - 2, 2)
    assert project.writer().remove_earlier() == N
    assert project.versions() == [[NEW]] * N


_OWN = st.lists(
    st.tuples(st.integers(0, 50), st.sampled_from([OLD, NEW, ALIEN])),
    unique_by=lambda pair: pair[0],
)


@given(own=_OWN, most=st.sampled_from([None, 1]), everything=st.booleans())
def test_surplus__leaves_one_and_never_none(
    own: list[tuple[int, str]], most: int | None, everything: bool
) -> None:
    replaces = is_own if everything else OLD.__eq__
    removed = surplus(own, NEW, replaces, most=most)
    left = [(number, version) for number, version in own if number not in removed]
    assert bool(left) == bool(own)
    versions = [version for _, version in left]
    assert len(set(versions)) == len(versions)
    if most:
        assert len(left) <= most
    if any(version == NEW for _, version in own):
        assert not {OLD, ALIEN} & set(versions) or not everything
        assert OLD not in versions
    # Whoever removes next finds nothing to do.
    assert surplus(left, NEW, replaces, most=most) == []
