"""Two that want to fit one project: one fits, the other follows it and takes its model."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from prelabel.errors import UserError
from prelabel.label_studio import shared_fit
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.shared_fit import fit_once
from prelabel.model import FittedModel
from prelabel.pipeline import fit
from prelabel.storage.progress import RunLog
from support.fake_label_studio import wait_for
from support.small_photos import tiny_config, write_scenes


class Recorded:
    """Progress as it was reported."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def start(self, stage: str, total: int) -> None:
        self.events.append((stage, total))

    def advance(self) -> None:
        self.events.append("+")

    def stop(self) -> None:
        self.events.append("stop")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> FittedModel:
    photos = tmp_path_factory.mktemp("photos")
    write_scenes(photos, 4)
    return fit(photos, tiny_config())


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_fit, "_LOOK_EVERY", 0.02)


class Asking:
    """Somebody who wants a project fitted. ``go_on``: lets the fit end."""

    def __init__(self, folder: Path, model: FittedModel) -> None:
        self.folder = ProjectFolder(folder)
        self.model = model
        self.progress = Recorded()
        self.made: list[RunLog] = []
        self.problem = ""
        self.go_on = threading.Event()

    def make(self, log: RunLog) -> FittedModel:
        self.made.append(log)
        with log.stage("levels", 3):
            log.advance()
            while not self.go_on.wait(0.03):
                log.advance()
            if self.problem:
                raise UserError(self.problem)
        self.folder.save_model(self.model, n_tasks=4)
        return self.model

    def ask(self) -> FittedModel:
        fits = self.folder.state.fits
        return fit_once(self.folder, fits, self.make, RunLog(self.progress))


@pytest.fixture
def two(tmp_path: Path, model: FittedModel) -> tuple[Asking, Asking]:
    other = dataclasses.replace(model, classes=model.classes + 1)
    assert other.fit_hash != model.fit_hash
    return Asking(tmp_path / "1", model), Asking(tmp_path / "1", other)


def _ask_both(first: Asking, second: Asking) -> tuple[Future[FittedModel], Future[FittedModel]]:
    """The second while the first is fitting, which ends once it was followed."""
    pool = ThreadPoolExecutor(2)
    one = pool.submit(first.ask)
    wait_for(lambda: first.made)
    two = pool.submit(second.ask)
    wait_for(lambda: second.progress.events.count("+") >= 2)
    first.go_on.set()
    second.go_on.set()
    pool.shutdown()
    return one, two


def test_fit_once__the_second_follows_the_first_and_takes_its_model(
    two: tuple[Asking, Asking],
) -> None:
    first, second = two
    one, other = _ask_both(first, second)
    assert one.result().fit_hash == other.result().fit_hash == first.model.fit_hash
    assert (len(first.made), len(second.made)) == (1, 0)
    begin, *steps, stop = second.progress.events
    assert begin == (f"levels (by process {os.getpid()})", 3)
    assert (set(steps), stop) == ({"+"}, "stop")
    assert first.progress.events[0] == ("levels", 3)
    assert not (first.folder.path / "fit.json").exists()


def test_fit_once__the_second_fits_if_the_first_fails(two: tuple[Asking, Asking]) -> None:
    first, second = two
    first.problem = "no photo can be fetched"
    one, other = _ask_both(first, second)
    with pytest.raises(UserError, match="no photo"):
        one.result()
    assert other.result().fit_hash == second.model.fit_hash
    assert (len(first.made), len(second.made)) == (1, 1)


def test_fit_once__refitted_to_an_equal_model_the_second_joins_too(
    tmp_path: Path, model: FittedModel
) -> None:
    ProjectFolder(tmp_path / "1").save_model(model, n_tasks=4)
    first, second = Asking(tmp_path / "1", model), Asking(tmp_path / "1", model)
    one, other = _ask_both(first, second)
    assert one.result().fit_hash == other.result().fit_hash == model.fit_hash
    assert (len(first.made), len(second.made)) == (1, 0)


def test_fit_once__asked_later_it_fits_anew(two: tuple[Asking, Asking]) -> None:
    for asking in two:
        asking.go_on.set()
        assert asking.ask().fit_hash == asking.model.fit_hash
    assert [len(asking.made) for asking in two] == [1, 1]


def test_fit_once__a_damaged_model_is_fitted_anew(two: tuple[Asking, Asking]) -> None:
    first, second = two
    first.go_on.set()
    second.go_on.set()
    first.ask()
    (first.folder.model_folder(first.model.fit_hash) / "model.json").write_text("{")
    with pytest.raises(UserError, match="fit again"):
        first.folder.newest_model()
    assert second.ask().fit_hash == second.model.fit_hash


_FITS = """
import sys, time
from pathlib import Path
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.shared_fit import fit_once
from prelabel.storage.progress import RunLog
def make(log):
    with log.stage("levels", 7):
        print("fits", flush=True)
        time.sleep(60)
fit_once(ProjectFolder(Path(sys.argv[1])), 0, make, RunLog())
"""


@pytest.mark.slow
def test_fit_once__a_process_that_was_killed_holds_up_nobody(two: tuple[Asking, Asking]) -> None:
    asking, _ = two
    asking.go_on.set()
    command = [sys.executable, "-c", _FITS, str(asking.folder.path)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as process,
        ThreadPoolExecutor(1) as pool,
    ):
        assert process.stdout
        process.stdout.readline()
        asked = pool.submit(asking.ask)
        wait_for(lambda: asking.progress.events)
        assert asking.progress.events[0] == (f"levels (by process {process.pid})", 7)
        assert not asking.made
        process.kill()
        assert asked.result(30).fit_hash == asking.model.fit_hash
    # What it has left is not taken for a fit, as after a restart of the machine.
    for name in ("fit.lock", "fit.lock.holder", "fit.json"):
        (asking.folder.path / name).write_text(f'{{"pid": {process.pid}, "host": "x"}}')
    asking.progress.events.clear()
    asking.ask()
    assert len(asking.made) == 2
    assert asking.progress.events[0] == ("levels", 3)
