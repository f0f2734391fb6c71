"""Threads of the backend that fail: each begins again, or what it served does."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest

from prelabel.label_studio.server import supervisor as supervisor_module
from prelabel.label_studio.server.supervisor import Supervisor
from support.backend import Project, started
from support.fake_label_studio import FakeLabelStudio, wait_for
from support.threads import fail, named, untraced


class Harness:
    """``problems``: what was reported."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.supervisor = Supervisor(self.problems.append)


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    monkeypatch.setattr(supervisor_module, "_EVERY", 0.02)
    monkeypatch.setattr(supervisor_module, "_PAUSE", 0.02)
    found = Harness()
    yield found
    found.supervisor.stop()


@pytest.mark.parametrize("error", [ValueError, SystemExit, MemoryError])
def test_keep__begins_again(error: type[BaseException], harness: Harness) -> None:
    runs = itertools.count()
    done = threading.Event()

    def work() -> None:
        if next(runs) < 3:
            raise error("as planned")
        done.set()

    harness.supervisor.keep("work", work)
    assert done.wait(5)
    assert next(runs) == 4
    assert len(harness.problems) == 3
    assert error.__name__ in harness.problems[0]
    assert harness.supervisor.dead() == ["work"]


def test_keep__what_has_returned_is_not_dead(harness: Harness) -> None:
    harness.supervisor.keep("work", lambda: None)
    wait_for(lambda: not named("work"))
    assert harness.supervisor.dead() == []


def test_dead__starts_a_thread_again_that_ended_beside_its_work(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when memory runs out while it reports."""
    runs: list[int] = []
    goes_on = threading.Event()

    def work() -> None:
        runs.append(1)
        goes_on.wait(5)
        if len(runs) == 1:
            raise ValueError

    harness.supervisor.keep("work", work)
    monkeypatch.setattr(harness.supervisor, "_report", None)
    monkeypatch.setattr(threading, "excepthook", lambda *_: None)
    goes_on.set()
    wait_for(lambda: len(runs) == 2, seconds=5)
    assert harness.supervisor.dead() == ["work"]


def test_dead__forgets(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.supervisor.look_after("part", lambda: True)
    wait_for(lambda: harness.supervisor.dead() == ["part"], seconds=5)
    harness.supervisor.look_after("part", lambda: False)
    monkeypatch.setattr(supervisor_module, "_RECENT", 0.1)
    wait_for(lambda: harness.supervisor.dead() == [], seconds=5)


def test_watch__goes_on_after_a_failure(harness: Harness) -> None:
    calls: list[int] = []

    def check() -> bool:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError
        return False

    harness.supervisor.look_after("part", check)
    wait_for(lambda: len(calls) > 5, seconds=5)
    assert harness.supervisor.dead() == ["watch"]


def test_once__a_failure_is_reported(harness: Harness) -> None:
    def work() -> None:
        raise KeyError("as planned")

    harness.supervisor.once("errand", work)
    wait_for(lambda: harness.problems, seconds=5)
    assert "errand" in harness.problems[0]
    assert harness.supervisor.dead() == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["worker reader", "worker writer", "watch", "refresh"])
def test_service__predicts_after_a_thread_has_failed(
    name: str, own_folders: object, server: FakeLabelStudio
) -> None:
    with untraced(), started() as service:
        project = Project(service, server, 3)
        project.setup()
        assert project.predict(project.tasks[0])[0]
        for thread in named(name):
            fail(thread)
        wait_for(lambda: project.predict(server.task(project.id))[0])
        wait_for(lambda: named(name))
        wait_for(lambda: name.split()[0] in service.supervisor.dead())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fit reader", "fit writer"])
def test_service__fits_after_a_thread_has_failed(
    name: str, own_folders: object, server: FakeLabelStudio
) -> None:
    with untraced(), started() as service:
        project = Project(service, server, 4)
        project.setup()
        project.idle()
        with server.holding("/data/upload"):
            service.fit(project.name)
            wait_for(lambda: project.fit_stage == "photos")
            for thread in named(name):
                fail(thread)
            service.fits._fits._running[1].send("x")  # type: ignore[index]
        project.idle()
        assert project.fitted()
